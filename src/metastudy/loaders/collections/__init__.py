"""Public search collections in one form (`schema`), one module per kind of file."""

from metastudy.loaders.collections.beir import read_beir, write_beir
from metastudy.loaders.collections.records import cystic_fibrosis, npl
from metastudy.loaders.collections.schema import Document, SearchCollection
from metastudy.loaders.collections.smart import cisi, cranfield, medline
from metastudy.loaders.collections.tabular import nfcorpus, scifact

__all__ = [
    "Document",
    "SearchCollection",
    "cisi",
    "cranfield",
    "cystic_fibrosis",
    "medline",
    "nfcorpus",
    "npl",
    "read_beir",
    "scifact",
    "write_beir",
]
