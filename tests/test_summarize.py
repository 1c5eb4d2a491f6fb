"""People's own texts are summarised as the study's are, and what cannot be summarised is refused by name."""

from __future__ import annotations

import dataclasses
import json
import math
import resource
import string
import sys
import time
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import helpers  # noqa: F401  (one thread)
from metastudy import checkpoint, own_texts, summarize, summarizer_file
from metastudy.adapt import FromScratch, InputScore, Prototypes, Unadapted
from metastudy.errors import DataError, ParameterError
from metastudy.evidence import EvidenceMixture
from metastudy.families.documents import HAND_FEATURES, Idf
from metastudy.families.selection import LENGTH, Sentences
from metastudy.families.sentence_rows import SentenceRows
from metastudy.methods import RandomScores
from metastudy.own_texts import STRETCH, sentences
from metastudy.summarize import Summarizer, Summary
from metastudy.text import rouge1, split_sentences, words
from metastudy.train import TrainConfig
from toy_summaries import WORDS, TinyFamily

METHOD = EvidenceMixture(
    "g", (InputScore(0, "lead"), InputScore(1, "lexrank"), Unadapted(), FromScratch(n_steps=3), Prototypes())
)
TEXT = "Stone walls stand by the river. The green house is seven years old! Under the cloud, music plays."
EXAMPLES = [(TEXT, "A green house is seven years old."), ("Paper is light. Tables are not.", ["Paper is light", "No"])]
CHINESE = "今天天气很好。我们去公园散步。"
ARABIC = "الطقس جميل اليوم. ذهبنا إلى الحديقة."
GERMAN = "Der Fluß ist grün. Über dem Haus ziehen Wolken. Das Papier liegt auf dem Tisch."


@pytest.fixture(scope="module")
def fitted():
    family = TinyFamily()
    fold = family.folds()[0]
    config = TrainConfig(steps=4, tasks_per_step=2, validate_every=2)
    return family, fold, METHOD.fit(family, fold, config, seed=0)


@pytest.fixture(scope="module")
def summarizer(fitted):
    return Summarizer.of(*fitted)


@pytest.fixture
def path(summarizer, tmp_path):
    summarizer.save(tmp_path / "g.safetensors")
    return tmp_path / "g.safetensors"


def test_texts_are_summarised_as_in_the_study(fitted, summarizer):
    family, fold, method = fitted
    spec = family.freeze(np.random.default_rng(0))[0]
    for shots in (1, 3):
        task = family.build(spec, shots, fold)
        expected = family.chosen(task, method.predict([task], shots)[0])
        support = [(d.sentences, d.summaries) for d in (family.documents[i] for i in spec.support[0][:shots])]
        found = summarizer([family.documents[i].sentences for i in spec.query], support)
        assert [s.chosen for s in found] == [expected[i] for i in spec.query]
    assert len({s.chosen for s in found}) > 1, "they differ, so the comparison says something"
    beta = method.weights([family.build(spec, shots, fold) for shots in (1, 3)])
    assert float(beta[0].max()) > 0.21, "learned from earlier tasks"
    assert float((beta[1] - beta[0]).abs().max()) > 0.01, "and from three examples"


def test_a_summary_says_what_was_chosen(summarizer):
    (found,) = summarizer([TEXT], EXAMPLES, n_words=12)
    assert found.sentences == tuple(split_sentences(TEXT)) and 0 < len(found.chosen) < 3
    assert list(found.chosen) == sorted(set(found.chosen))
    assert str(found) == repr(found) == found.text == " ".join(found.sentences[i] for i in found.chosen)
    assert found.n_words == len(words(found.text))
    assert Summary(("One two.", "Three-four.", "Five."), (0, 1)).n_words == 4


def test_the_examples_give_length_and_gains(summarizer):
    examples = own_texts.read_examples(EXAMPLES)
    assert [d.n_words for d in examples] == [7, 2], "the second has two summaries, of three words and of one"
    by_hand = [max(rouge1(s, [r]) for r in ("Paper is light", "No")) / 100 for s in examples[1].sentences]
    assert examples[1].gains.tolist() == pytest.approx(by_hand) and by_hand[0] == 1
    text = [f"{w} {v}." for w in WORDS for v in WORDS]
    short, long = summarizer([text], EXAMPLES)[0], summarizer([text], [(TEXT, TEXT * 4)])[0]
    assert short.n_words == 6 and abs(long.n_words - LENGTH * 4 * len(words(TEXT))) <= 1
    assert summarizer([text], EXAMPLES, n_words=1)[0].n_words == 2, "at least one sentence"
    assert summarizer([text], EXAMPLES, n_words=math.inf)[0].chosen == tuple(range(144))


def test_a_reference_longer_than_its_text_makes_a_summary_of_all_of_a_short_one(summarizer):
    (found,) = summarizer([TEXT], [("Stone is seven.", "Stone is what the river has. " * 9)])
    assert found.chosen == (0, 1, 2)


def test_other_texts_and_their_number_change_nothing(summarizer, monkeypatch):
    rng = np.random.default_rng(1)
    texts = [[" ".join(rng.choice(WORDS, 5)) + "." for _ in range(n)] for n in (3, 9, 1, 30)]
    together = summarizer(texts, EXAMPLES)
    assert [summarizer([t], EXAMPLES)[0] for t in texts] == together
    monkeypatch.setattr(summarize, "ROWS", 10)
    assert [len(c) for c in summarize.chunks_of_rows(texts)] == [1, 2, 1]
    assert summarizer(texts, EXAMPLES) == together
    assert list(summarize.chunks_of_rows([])) == []


def test_more_examples_than_in_any_study_and_a_text_among_the_examples(summarizer):
    rng = np.random.default_rng(2)
    texts = [" ".join(f"{' '.join(rng.choice(WORDS, 6)).capitalize()}." for _ in range(4)) for _ in range(30)]
    support = [(t, t.partition(".")[0]) for t in texts]
    assert all(len(s.sentences) == 4 and s.chosen for s in summarizer(texts[:2], support))
    assert summarizer([TEXT], [(TEXT, TEXT)])[0].chosen


def test_sentences_without_words_are_as_if_not_there(summarizer):
    plain = ["Stone and river.", "The green house.", "Music and paper, paper and music.", "Seven walks."]
    decorated = ["***", plain[0], "", plain[1], plain[2], "—", plain[3]]
    places = [1, 3, 4, 6]
    for n_words in (2, 6, 100):
        (found,), (expected,) = (summarizer([t], EXAMPLES, n_words) for t in (decorated, plain))
        assert found.chosen == tuple(places[i] for i in expected.chosen) and found.sentences == tuple(decorated)
        (found,) = summarizer([plain], [([*split_sentences(TEXT), "***"], EXAMPLES[0][1]), EXAMPLES[1]], n_words)
        assert found == expected, "in examples too"


def test_no_text_and_one_sentence(summarizer):
    assert summarizer([], EXAMPLES) == []
    for one in ("Stone", "Stone and river!", ["Stone."], ["- -", "Stone."]):
        assert "Stone" in summarizer([one], EXAMPLES, n_words=1)[0].text
    assert summarizer(iter([TEXT]), EXAMPLES) == summarizer((TEXT,), EXAMPLES) == summarizer(np.array([TEXT]), EXAMPLES)


def test_letters_beside_a_to_z_are_read_and_other_scripts_refused(summarizer):
    assert len(summarizer([GERMAN], EXAMPLES)[0].sentences) == 3
    assert summarizer([f"{TEXT} {CHINESE}", "12 345."], EXAMPLES)
    for strange, message in (
        (CHINESE, r"texts\[1\] holds no word of the letters a to z"),
        (ARABIC, r"texts\[1\] holds no word"),
        (f"{CHINESE * 9} GPT 4", r"texts\[1\] is mostly in letters other than a to z \(117 of 120\)"),
        ("Текст про GPT и ещё про BERT.", r"texts\[1\] is mostly in letters other"),
    ):
        with pytest.raises(DataError, match=message):
            summarizer([TEXT, strange], EXAMPLES)
        with pytest.raises(DataError, match=r"the text of support\[1\] "):
            summarizer([TEXT], [EXAMPLES[0], (strange, "Stone.")])
        with pytest.raises(DataError, match=r"the summary of support\[0\] "):
            summarizer([TEXT], [(TEXT, strange)])


@pytest.mark.parametrize("empty", ["", "  \n\t ", [], ["", " "], "\n\n"])
def test_an_empty_text_is_named(summarizer, empty):
    with pytest.raises(DataError, match=r"texts\[0\] is empty; expected words"):
        summarizer([empty], EXAMPLES)
    with pytest.raises(DataError, match=r"the text of support\[0\] is empty"):
        summarizer([TEXT], [(empty, "Stone.")])


def test_a_text_of_punctuation_and_an_empty_summary_are_named(summarizer):
    for marks in ("... !? --", ["***", "…"]):
        with pytest.raises(DataError, match=r"texts\[1\] holds no word"):
            summarizer([TEXT, marks], EXAMPLES)
    for none, message in (("", "is empty"), (" ", "is empty"), ("?!", "holds no word"), (["Stone.", ""], "is empty")):
        with pytest.raises(DataError, match=rf"the summary of support\[1\] {message}"):
            summarizer([TEXT], [EXAMPLES[0], (TEXT, none)])
    with pytest.raises(DataError, match=r"support\[0\] has no summary; expected at least one"):
        summarizer([TEXT], [(TEXT, [])])


def test_examples_without_anything_in_common_are_refused(summarizer):
    strange = ("Stone is seven.", "Nothing alike.")
    with pytest.raises(DataError, match="no sentence of the 2 texts in support has a word in common"):
        summarizer([TEXT], [strange, strange])
    assert summarizer([TEXT], [strange, EXAMPLES[0]]), "one that has is enough"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TEXT, EXAMPLES), r"texts is a str; expected a list of texts: for one, write \[text\]"),
        ((b"Stone.", EXAMPLES), "texts is a bytes"),
        ((None, EXAMPLES), "texts is a NoneType"),
        (({"a": TEXT}, EXAMPLES), "texts is a dict"),
        (({TEXT}, EXAMPLES), "texts is a set"),
        (([TEXT, float("nan")], EXAMPLES), r"texts\[1\] is a float; expected a string, or a list of sentences"),
        (([b"Stone."], EXAMPLES), r"texts\[0\] is a bytes"),
        (([[TEXT, None]], EXAMPLES), r"texts\[0\] holds a NoneType"),
        (([TEXT],), r"support is empty; expected at least one pair \(text, summary\)"),
        (([TEXT], "Stone."), r"support is a str; expected a list of pairs"),
        (([TEXT], dict(EXAMPLES[:1])), "support is a dict"),
        (([TEXT], 3), "support is a int"),
        (([TEXT], ["ab"]), r"support\[0\] is a str; expected a pair"),
        (([TEXT], [(TEXT,)]), r"support\[0\] is a tuple of 1; expected a pair"),
        (([TEXT], [(TEXT, None)]), r"the summary of support\[0\] is a NoneType; expected a string, or a list of them"),
        (([TEXT], [(TEXT, ["Stone.", 3])]), r"the summary of support\[0\] holds a int"),
        (([TEXT], EXAMPLES, 0), "n_words = 0; expected a number of words, 1 or more"),
        (([TEXT], EXAMPLES, -3), "n_words = -3"),
        (([TEXT], EXAMPLES, float("nan")), "n_words = nan"),
        (([TEXT], EXAMPLES, True), "n_words = True"),
        (([TEXT], EXAMPLES, "ten"), "n_words = 'ten'"),
    ],
)
def test_wrong_types_are_named(summarizer, arguments, message):
    with pytest.raises(ParameterError, match=message):
        summarizer(*arguments)


def test_paragraphs_end_at_blank_lines_or_where_there_are_none_at_line_ends():
    assert list(sentences("A title\nStone walks. Green\r\nriver.")) == ["A title", "Stone walks.", "Green", "river."]
    wrapped = "A title\n\nStone walks\nby the river. Green\nhouse.\n \nThe end"
    assert list(sentences(wrapped)) == ["A title", "Stone walks by the river.", "Green house.", "The end"]
    assert list(sentences(" \n ")) == []


@given(st.lists(st.text(string.ascii_letters + " .!?\"')\n`", max_size=80), max_size=12))
@settings(deadline=None)
def test_no_letter_is_lost_in_splitting(parts):
    written = "\n\n".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_texts, "STRETCH", 40)
        assert "".join("".join(s.split()) for s in sentences(written)) == "".join(written.split())
        paragraph = " ".join(written.split())
        assert "".join(own_texts.stretches(paragraph)) == paragraph


def long_paragraph(n: int, quoted: float = 0.2) -> str:
    """Sentences of eight words, some in quotes, which pysbd has to look at."""
    rng = np.random.default_rng(3)
    found = [" ".join(rng.choice(WORDS, 8)).capitalize() for _ in range(n)]
    return " ".join(f'"{s}!"' if q else f"{s}." for s, q in zip(found, rng.random(n) < quoted, strict=True))


def test_a_long_paragraph_splits_as_at_once_but_in_linear_time():
    short = long_paragraph(300)
    assert len(short) > 5 * STRETCH
    assert list(sentences(short)) == split_sentences(short)
    long = long_paragraph(3000)
    seconds = []
    for written in (short, long):
        start = time.process_time()
        list(sentences(written))
        seconds.append(time.process_time() - start)
    assert seconds[1] < 30 * seconds[0], "ten times as long, a hundred times the time if it were quadratic"


def test_a_text_of_100_000_sentences_takes_linear_memory_and_under_a_minute(summarizer):
    """At most 450 MiB more of the process, and 3 kB a sentence of what Python and numpy hold."""
    rng = np.random.default_rng(4)
    names = np.array([f"{a}{b}{c}" for a in WORDS for b in WORDS for c in WORDS])
    long = [" ".join(s) + "." for s in rng.choice(names, (100_000, 8))]
    summarizer([long[:200]], EXAMPLES)  # whatever is built once
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    (found,) = summarizer([long], EXAMPLES, n_words=100)
    assert time.process_time() - start < 60
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 450 * 2**20
    assert abs(found.n_words - 100) <= 8
    peaks = []
    for n in (5_000, 20_000):
        tracemalloc.start()
        summarizer([long[:n]], EXAMPLES, n_words=100)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 5 * peaks[0] and peaks[1] < 20_000 * 3_000, "bytes"


def test_only_a_meta_learner_without_encoder_can_be_taken(fitted, summarizer):
    family, fold, method = fitted
    with pytest.raises(ParameterError, match="mixes no standard scores; expected one of"):
        Summarizer.of(family, fold, RandomScores().fit(family, fold, TrainConfig(steps=1), 0))
    with pytest.raises(ParameterError, match="rows hold an encoder's vectors; expected .*encoder='none'"):
        Summarizer(method.learner, method.trained.params, dataclasses.replace(summarizer.rows, encode=Sentences.of))


def test_what_is_saved_summarises_the_same(summarizer, path):
    again = Summarizer.load(path, summarizer.learner)
    assert again.rows.idf == summarizer.rows.idf
    rng = np.random.default_rng(5)
    texts = [[" ".join(rng.choice(WORDS, 5)) for _ in range(12)] for _ in range(5)]
    examples, expected = own_texts.read_examples(EXAMPLES), None
    for one in (summarizer, again):
        scores = torch.cat(list(one.scores(texts, examples, 12)))
        assert expected is None or torch.equal(scores, expected)
        expected = scores
    assert summarize.summarize(texts, EXAMPLES, model=again) == summarizer(texts, EXAMPLES)


def test_the_bytes_of_a_file_repeat(summarizer, path, tmp_path):
    Summarizer.load(path, summarizer.learner).save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    turned = Idf(dict(reversed(summarizer.rows.idf.values.items())), summarizer.rows.idf.unseen)
    rows = dataclasses.replace(summarizer.rows, idf=turned)
    dataclasses.replace(summarizer, rows=rows).save(tmp_path / "turned.safetensors")
    assert (tmp_path / "turned.safetensors").read_bytes() == path.read_bytes(), "whatever the order of words was"


@given(st.dictionaries(st.text(string.ascii_lowercase + string.digits, min_size=1), st.floats(1, 12)), st.floats(1, 12))
@settings(deadline=None)
def test_stems_and_weights_come_back_to_the_last_bit(values, unseen):
    idf = Idf(values, unseen)
    assert summarizer_file.unpacked(summarizer_file.packed(idf)) == idf


def test_sixty_thousand_stems_take_less_than_a_megabyte(summarizer, tmp_path):
    rng = np.random.default_rng(6)
    letters = np.array(list(string.ascii_lowercase))
    stems = {"".join(rng.choice(letters, n)) for n in rng.integers(3, 11, 70_000)}
    counts = 1 + (rng.pareto(1, len(stems)) * 2).astype(int)
    idf = Idf(dict(zip(stems, np.log(9000 / counts.clip(max=8000)).tolist(), strict=True)), 9.0)
    assert len(idf.values) > 60_000
    rows = dataclasses.replace(summarizer.rows, idf=idf)
    dataclasses.replace(summarizer, rows=rows).save(tmp_path / "g.safetensors")
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 2**20


def test_files_that_do_not_fit_are_refused(summarizer, path, tmp_path, monkeypatch):
    learner = summarizer.learner
    with pytest.raises(DataError, match=r"none\.safetensors is missing; expected a summarizer"):
        Summarizer.load(tmp_path / "none.safetensors", learner)
    with pytest.raises(DataError, match=r"does not end in \.safetensors"):
        summarizer.save(tmp_path / "g.bin")
    other = dataclasses.replace(learner, mappings=learner.mappings[:2])
    with pytest.raises(DataError, match=r"another version of the project: its learner is .*; make it again"):
        Summarizer.load(path, other)
    content = path.read_bytes()
    for damaged in (content[:-5], content[:-5] + b"\0" * 5, b"", b"text"):
        (tmp_path / "damaged.safetensors").write_bytes(damaged)
        with pytest.raises(DataError, match=r"damaged\.safetensors is damaged"):
            Summarizer.load(tmp_path / "damaged.safetensors", learner)
    checkpoint.write(tmp_path / "model.safetensors", "trained model", summarizer.params, {})
    with pytest.raises(DataError, match="is a trained model of format 1, expected a summarizer"):
        Summarizer.load(tmp_path / "model.safetensors", learner)
    with pytest.raises(DataError, match=r"its parameters are \{.*\}, expected"):
        params = summarizer.params | {"theta.layer0.bias": torch.zeros(1, 3)}
        dataclasses.replace(summarizer, params=params).save(tmp_path / "shapes.safetensors")
        Summarizer.load(tmp_path / "shapes.safetensors", learner)
    with monkeypatch.context() as patch:
        patch.setattr(summarizer_file, "HAND_FEATURES", HAND_FEATURES[::-1])
        with pytest.raises(DataError, match="its features is .*lead.*, expected"):
            Summarizer.load(path, learner)
    features = summarizer_file.hand_features
    monkeypatch.setattr(summarizer_file, "hand_features", lambda *a: features(*a) * 1.01)
    with pytest.raises(DataError, match="features of sentences are computed otherwise here; make it again"):
        Summarizer.load(path, learner)


def test_the_default_is_the_project_s_own_g(fitted, monkeypatch, tmp_path):
    monkeypatch.setenv("METASTUDY_RESULTS", str(tmp_path))
    with pytest.raises(DataError, match=r"summarization_g\.safetensors is missing; `make reproduce PROFILE=full`"):
        summarize.summarize([TEXT], EXAMPLES)
    learner = summarize.learner_of_g()
    assert learner.model.in_dim == len(HAND_FEATURES) and len(learner.mappings) > 1
    rows = SentenceRows.fit([d.sentences for d in fitted[0].documents.values()])
    own = Summarizer(learner, learner.init(torch.Generator().manual_seed(0)), rows)
    own.save(tmp_path / "full" / "models" / "summarization_g.safetensors")
    assert summarize.summarize([TEXT], EXAMPLES) == own([TEXT], EXAMPLES)
    assert summarize.summarize([TEXT], EXAMPLES, model=tmp_path / "full/models/summarization_g.safetensors")


def test_a_record_for_people_lies_beside_the_file(summarizer, path):
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["kind"] == "summarizer" and record["learner"] == checkpoint.description(summarizer.learner)
    assert record["features"] == list(HAND_FEATURES)
