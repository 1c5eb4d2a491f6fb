"""Dialogues, meetings and email threads: who is left out, what stays together, what is read once."""

import io
import zipfile

import pytest
from summary_files import put

from metastudy.errors import DataError
from metastudy.loaders import Files, summaries
from metastudy.loaders.summaries.conversations import CONVOSUMM, MARKERS

DIALOGSUM = "summarization/dialogsum_dialogue/dialogsum"


def dialogues(folder, **changed):
    dev = {
        "fname": "dev_0",
        "dialogue": "#Person1#: Hi.\n#Person2#: Hello. Well?",
        "summary": "They greet.",
        "topic": "t",
    }
    test = {"fname": "test_0", "dialogue": "#Person1#: Bye."} | {f"summary{i}": f"Text {i}." for i in (1, 2, 3)}
    put(folder, f"{DIALOGSUM}.dev.jsonl", [dev | changed])
    put(folder, f"{DIALOGSUM}.test.jsonl", [test])
    return Files.in_folder(folder)


def test_dialogsum_has_turns_with_speakers_and_three_references_in_test(tmp_path):
    found = summaries.dialogsum(dialogues(tmp_path))
    dev, test = found.documents
    assert dev.form == "turns" and dev.units == ("#Person1#: Hi.", "#Person2#: Hello. Well?")
    assert dev.references == ("They greet.",) and test.references == ("Text 1.", "Text 2.", "Text 3.")
    assert found.counts == {"documents": 2, "validation": 1, "test": 1}
    with pytest.raises(DataError, match=r"dev.jsonl line 1: turn 'Hello.' has no speaker"):
        summaries.dialogsum(dialogues(tmp_path, dialogue="#Person1#: Hi.\nHello."))


def meeting(spans=(("1", "2"),), **changed):
    turns = ["{vocalsound} Okay .", "We start . Is it on ?", "{disfmarker}", "Yes , it is ."]
    row = {
        "meeting_transcripts": [{"speaker": "Chair", "content": t} for t in turns],
        "general_query_list": [{"query": "All?", "answer": "All of it."}],
        "specific_query_list": [{"query": "On?", "answer": "It is.", "relevant_text_span": [list(s) for s in spans]}],
    }
    return row | changed


def meetings(folder, *rows):
    for kind in ("Academic", "Committee", "Product"):
        found = list(rows) if kind == "Academic" else [meeting(spans=[("0", "1")])]
        put(folder, f"summarization/qmsum_meetings/{kind}_test.jsonl", found)
    return Files.in_folder(folder)


def test_qmsum_takes_the_sentences_of_marked_turns_and_groups_by_meeting(tmp_path):
    found = summaries.qmsum(meetings(tmp_path, meeting([("1", "2"), ("2", "3")]), meeting([("3", "3")])))
    assert found.counts == {"meetings": 4, "documents": 8, "general": 4, "specific": 4}
    documents = {d.id: d for d in found.documents}
    general, specific = documents["qmsum/Academic-0/general0"], documents["qmsum/Academic-0/specific0"]
    assert general.units == ("Okay.", "We start.", "Is it on?", "Yes, it is.")
    assert specific.units == ("We start.", "Is it on?", "Yes, it is.")  # both ends count, and no turn twice
    assert general.group == specific.group == "Academic-0" != documents["qmsum/Academic-1/specific0"].group
    assert specific.query == "On?" and specific.references == ("It is.",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (meeting([("2", "4")]), r"Academic_test.jsonl line 1: span 2 to 4 is not within the meeting's 4 turns"),
        (meeting([("2", "1")]), r"span 2 to 1"),
        (meeting([("1", "x")]), r"relevant_text_span holds \['1', 'x'\]"),
        (
            meeting(meeting_transcripts=[{"speker": "a", "contents": "b"}]),
            r"no field 'content'; did you mean 'contents'",
        ),
        (meeting([("2", "2")]), r"'qmsum/Academic-0/specific0' is empty"),
    ],
)
def test_qmsum_refuses(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        summaries.qmsum(meetings(tmp_path, row))


def mail(name, body):
    """A message as the corpus has it: three spaces for the end of a line, so six for an empty line."""
    return f'Name: "{name}"   Email: "{name}@x.org"   To: "A (B)"<a@x.org>   Subject: "Re: "the" topic"      {body}   '


def threads(folder, train=None, removed=(), **replaced):
    """One thread in train, val and test each; `replaced` has other lines for a file, named with _ for its dots."""
    train = train or mail("ann", "I start.")
    val, test = mail("eve", "Second."), mail("joe", "Third.")
    parts = {
        "train": ([train], ["A."]),
        "val": ([val], ["V."]),
        "email.test": ([test], ["T."]),
        "email.val": ([val + " ", train], ["V.", "A."]),
        "email.all.newsumms": ([val, train, test], ["V.", "A.", "T."]),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for part, halves in parts.items():
            for half, lines in zip(("source", "target"), halves, strict=True):
                name = f"{part}.{half}"
                lines = replaced.get(name.replace(".", "_"), lines)
                if name not in removed:
                    ending = MARKERS if part.startswith("email") else ""
                    archive.writestr(f"vanilla/{name}{ending}", "\n".join(lines) + "\n")
    put(folder, CONVOSUMM, buffer.getvalue())
    return Files.in_folder(folder)


def test_convosumm_counts_no_thread_twice(tmp_path):
    found = summaries.convosumm_email(threads(tmp_path))
    assert found.counts == {"documents": 3, "train": 1, "validation": 1, "test": 1}
    assert [(d.split, d.units, d.references) for d in found.documents] == [
        ("train", ("I start.",), ("A.",)), ("validation", ("Second.",), ("V.",)), ("test", ("Third.",), ("T.",)),
    ]  # fmt: skip


def test_convosumm_reads_messages_without_their_headers(tmp_path):
    body = "Hi,      I think   so. Do you?      - - -      text/html"
    silent = mail("bob", "").rstrip()  # a header that ends the line
    found = summaries.convosumm_email(threads(tmp_path, f"{mail('ann', body)}</s>{silent}</s>{mail('bob', 'Yes.')}"))
    assert found.documents[0].units == ("Hi,", "I think so.", "Do you?", "text/html", "Yes.")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"email_val_target": ["V.", "B."]}, "email.val is not train and val together"),
        ({"email_all_newsumms_source": ["V.", "A.", "X."]}, "email.all is not email.val and email.test together"),
        ({"val_target": ["V.", "W."]}, "val: 1 threads but 2 summaries"),
        ({"removed": ("email.test.target",)}, "archive has no vanilla/email.test.target"),
        ({"train": "I start, without a header."}, r"train line 1: message 'I start, without a header.' does not begin"),
        ({"train": mail("ann", "- - -")}, "'convosumm_email/train-0' is empty"),
    ],
)
def test_convosumm_refuses(tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        summaries.convosumm_email(threads(tmp_path, **changed))
