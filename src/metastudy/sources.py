"""Where the embedded data comes from: one row a source, counted and hashed as installed."""

from __future__ import annotations

import importlib.metadata

import pandas as pd

from metastudy import corpus
from metastudy.families.digits import Digits
from metastudy.families.tables import MedicalTables


def licence(distribution: str) -> str:
    """The licence that an installed distribution declares, shortened to one line."""
    metadata = importlib.metadata.metadata(distribution)
    stated = metadata.get("License-Expression") or metadata.get("License") or ""
    if len(stated.splitlines()) != 1:  # absent, or the licence's whole text
        classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
        stated = "; ".join(c.split(" :: ")[-1] for c in classifiers) or "see its LICENSE file"
    return stated[:60]


def documentation() -> pd.DataFrame:
    """One row a package of the documentation corpus: version, licence, documents, judged queries, links."""
    found = corpus.load()
    versions = corpus.versions()
    rows = []
    for package, entries in found.by_package().items():
        distribution = corpus.PACKAGES[package]
        rows.append(
            {
                "package": package,
                "version": versions[package],
                "licence": licence(distribution),
                "entries": len(entries),
                "queries": sum(bool(e.see_also) for e in entries),
                "links": sum(len(e.see_also) for e in entries),
                "sentences": sum(len(e.body) for e in entries),
            }
        )
    return pd.DataFrame(rows)


def embedded() -> pd.DataFrame:
    """One row an embedded source: what it holds, its licence as declared, and the hash that task lists rely on."""
    digits, tables = Digits(), MedicalTables()
    sklearn = licence("scikit-learn")
    rows = [("handwritten digits", "1,797 images of 8x8 pixels, 10 classes", sklearn, digits.content_hash())]
    for name, (values, labels) in tables.data.items():
        what = f"{len(labels)} patients, {values.shape[1]} columns, {labels.mean():.0%} positive"
        rows.append((name.replace("_", " "), what, sklearn, tables.content_hash()))
    found = corpus.load()
    what = f"{len(found.entries):,} docstrings of {len(found.by_package())} packages"
    rows.append(("library documentation", what, "each package's own", found.content_hash()))
    frame = pd.DataFrame(rows, columns=["source", "what", "licence", "sha256"])
    return frame.assign(sha256=frame["sha256"].str[:16])
