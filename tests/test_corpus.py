"""The documentation corpus: found, filtered, linked, and the same each time."""

import dataclasses

from metastudy import corpus, text
from metastudy.corpus import Entry, resolve_links, select, to_entries
from metastudy.docstrings import Docstring
from metastudy.installed import Candidate


def candidate(id_: str, paragraphs: tuple[str, ...], see_also: tuple[str, ...] = ()) -> Candidate:
    return Candidate(id_, "function", Docstring(paragraphs, see_also))


def entry(id_: str, *see_also: str) -> Entry:
    return Entry(id_, "p", "function", "A summary of it.", ("One.",), see_also)


BODY = "The first sentence is long. The second sentence is long. The third sentence is long."


def test_entries_need_a_summary_and_a_body():
    short = candidate("p.a", ("Too short here.", BODY))
    bare = candidate("p.b", ("A summary of four words.", "One sentence only."))
    good = candidate("p.c", ("A summary of four words.", BODY))
    assert [e.id for e in to_entries("p", [short, bare, good])] == ["p.c"]


def test_copies_are_kept_once_and_links_come_first():
    same = [candidate(i, ("A summary of four words.", BODY)) for i in ("p.z", "p.a")]
    linked = candidate("p.m", ("Another summary of four words.", BODY), ("a",))
    assert [c.id for c in select([*same, linked])] == ["p.a", "p.m"]
    assert [c.id for c in select([*same, linked], limit=1)] == ["p.m"]
    assert select([linked, *same]) == select([*same, linked]), "the order of files has no influence"


def test_links_resolve_to_the_nearest_or_not_at_all():
    entries = [
        entry("p.a.X.join", "merge", "X.plot", "nothing", "join"),
        entry("p.a.X.merge"),
        entry("p.b.merge"),
        entry("p.a.X.plot", "np.far"),
        entry("p.c.far", "clash"),
        entry("p.d.clash"),
        entry("p.e.clash"),
    ]
    links = {e.id: e.see_also for e in resolve_links(entries)}
    assert links["p.a.X.join"] == ("p.a.X.merge", "p.a.X.plot")
    assert links["p.a.X.plot"] == ("p.c.far",)
    assert links["p.c.far"] == (), "two objects are equally near: nobody knows which is meant"


def test_building_twice_gives_the_same_small_corpus():
    first, second = corpus.build(["seaborn"], n_jobs=1), corpus.build(["seaborn"], n_jobs=1)
    assert first.content_hash() == second.content_hash()
    changed = dataclasses.replace(first.entries[0], summary="Something else entirely.")
    assert corpus.Corpus((changed, *first.entries[1:])).content_hash() != first.content_hash()
    assert set(first.entries) == set(corpus.load().by_package()["seaborn"]), "the cache returns what was built"


def test_real_counts_are_sane():
    packages = corpus.load().by_package()
    assert list(packages) == list(corpus.PACKAGES)
    for package, entries in packages.items():
        assert (60 if package == "seaborn" else 400) <= len(entries) <= corpus.MAX_PER_PACKAGE, package
    assert sum(len(e.see_also) for e in corpus.load().entries) > 4000


def test_every_real_entry_keeps_the_promises():
    entries = corpus.load().entries
    ids = {e.id for e in entries}
    assert len(ids) == len(entries)
    for e in entries:
        assert len(text.words(e.summary)) >= 4 and len(e.body) >= 3
        assert e.summary not in e.body
        assert all(s == s.strip() and s and ">>>" not in s and "versionadded" not in s for s in e.body), e.id
        assert set(e.see_also) <= ids - {e.id}
        assert all(i.split(".")[0] == e.package for i in e.see_also)


def test_versions_have_no_local_label():
    assert not any("+" in v for v in corpus.versions().values())
