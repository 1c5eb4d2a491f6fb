"""Many short opinions about one thing, and what people wrote as their gist."""

from __future__ import annotations

from metastudy import archives
from metastudy.errors import DataError
from metastudy.loaders.files import Files
from metastudy.loaders.summaries.reading import RESTORE, decode_old, one_line, sentences, table, with_words
from metastudy.loaders.summaries.schema import SourceDocument, Split, Summaries, cached, checked

OPINOSIS = "summarization/opinosis_reviews/opinosis_data.tar.xz"
TOPICS, GOLD = "topics", "summaries-gold"
PRODUCTS = (  # the topic "rooms_swissotel_chicago" is about the second; its sentences recur in its other topics
    "amazon_kindle", "bestwestern_hotel", "garmin_nuvi", "holiday_inn", "honda_accord", "ipod_nano", "netbook",
    "swissotel", "toyota_camry", "windows7",
)  # fmt: skip
FEWSUM: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}
REVIEWS = tuple(f"rev{i}" for i in range(1, 9))
SUMMARIES = tuple(f"summ{i}" for i in range(1, 4))


def _product(topic: str) -> str:
    found = [product for product in PRODUCTS if product in topic]
    if len(found) != 1:
        raise DataError(
            f"topic {topic!r} names {len(found)} of the known products; expected one of {', '.join(PRODUCTS)}: "
            "add a new one to PRODUCTS, so that its topics stay together"
        )
    return found[0]


@cached
def opinosis(files: Files) -> Summaries:
    """Opinosis 1.0 (Ganesan et al. 2010): sentences about one aspect of a product, with 3 to 5 summaries.

    The order of sentences means nothing. Topics of one product are a group: they share sentences. Raises DataError
    for a topic without summaries, summaries without a topic, and an unknown product.
    """
    held = archives.keep_folders(files.members(OPINOSIS), (TOPICS, GOLD))
    topics: dict[str, tuple[str, ...]] = {}
    gold: dict[str, list[str]] = {}
    old = []
    for path in sorted(held):
        text, is_old = decode_old(held[path], path)
        old += [path] * is_old
        folder, name = path.split("/")[:2]
        if folder == TOPICS:
            topics[name.removesuffix(".txt.data")] = with_words(text.split("\n"))
        else:
            gold.setdefault(name, []).append(one_line(text))
    if alone := sorted(topics.keys() ^ gold.keys()):
        raise DataError(
            f"topic {alone[0]!r} has no {'summaries' if alone[0] in topics else 'sentences'}; expected both for all "
            f"{len(topics | gold)} topics: {RESTORE}"
        )
    documents = [
        SourceDocument(f"opinosis/{topic}", "opinosis", topics[topic], "sentences", tuple(gold[topic]),
                       group=_product(topic))
        for topic in sorted(topics)
    ]  # fmt: skip
    counts = {"documents": len(documents), "references": sum(len(found) for found in gold.values())}
    return checked(documents, counts, {"not UTF-8": old})


def _fewsum(files: Files, name: str) -> Summaries:
    """Reviews in their order, split into sentences. Tab-separated, whatever the name of the file says."""
    documents, counts = [], {}
    for split, part in FEWSUM.items():
        rows = table(files, f"summarization/fewsum_reviews/{name}_{part}.csv", ("group_id", *REVIEWS, *SUMMARIES), "\t")
        for row in rows:
            units = tuple(s for review in REVIEWS for s in sentences(row[review]))
            references = tuple(one_line(row[summary]) for summary in SUMMARIES)
            domain = f"fewsum_{name}"
            documents.append(
                SourceDocument(f"{domain}/{row['group_id']}", domain, units, "sentences", references, split)
            )
        counts[split] = len(rows)
    counts["references"] = sum(len(d.references) for d in documents)
    return checked(documents, {"documents": len(documents)} | counts, {})


@cached
def fewsum_amazon(files: Files) -> Summaries:
    """FewSum (Brazinskas et al. 2020): 8 reviews of a product of Amazon, 3 summaries."""
    return _fewsum(files, "amazon")


@cached
def fewsum_yelp(files: Files) -> Summaries:
    """FewSum (Brazinskas et al. 2020): 8 reviews of a business on Yelp, 3 summaries."""
    return _fewsum(files, "yelp")
