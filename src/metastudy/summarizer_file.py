"""A summarizer in one small file: parameters, scales of input rows, and stems with their weights; no training text.

The file is a `checkpoint`: whole or refused, the same bytes each time, with a readable record beside it. Beside its
sha256, features of a few fixed sentences are kept and computed anew on reading: they tell whether the code still sees
in a sentence what the parameters were trained on.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from metastudy import checkpoint
from metastudy.errors import DataError
from metastudy.evidence import PRIOR
from metastudy.families.documents import HAND_FEATURES, Idf, hand_features
from metastudy.families.sentence_rows import SentenceRows
from metastudy.mixture import MetaLearner
from metastudy.model import Params

KIND = "summarizer"
PARAMS = "params."
PROBE = (
    "The committee met on Tuesday, 4 May, and read 12 letters (one of them long).",
    "If nobody objects, `open_letter()` is sent by default.",
    "This letter says what the committee thinks of letters!",
    "and so on",
)
"""What features are compared on. Another choice makes all files of before unreadable."""


def write(path: Path, learner: MetaLearner, params: Params, rows: SentenceRows) -> None:
    """Write *.safetensors and the .json beside it. Raises DataError for a path with another ending."""
    tensors = {f"{PARAMS}{name}": value for name, value in params.items()}
    tensors |= {"rows.mean": torch.tensor(rows.mean), "rows.scale": torch.tensor(rows.scale)}
    tensors |= {"rows.idf": packed(rows.idf), "rows.probe": torch.tensor(hand_features(PROBE, rows.idf))}
    checkpoint.write(path, KIND, tensors, _identity(learner))


def read(path: Path, learner: MetaLearner) -> tuple[Params, SentenceRows]:
    """The parameters of `learner` and what makes its input rows.

    Raises DataError for a file that is missing, damaged, of another learner, or of features that are computed
    otherwise here.
    """
    tensors, record = checkpoint.read(path, KIND)
    made_otherwise = f"{path.name} was made by another version of the project"
    for name, expected in _identity(learner).items():
        if record.get(name) != expected:
            raise DataError(f"{made_otherwise}: its {name} is {record.get(name)}, expected {expected}; make it again")
    idf = unpacked(tensors["rows.idf"])
    if not np.allclose(hand_features(PROBE, idf), tensors["rows.probe"].numpy(), rtol=1e-4, atol=1e-5):
        raise DataError(f"{made_otherwise}: features of sentences are computed otherwise here; make it again")
    params = {name.removeprefix(PARAMS): value for name, value in tensors.items() if name.startswith(PARAMS)}
    if not learner.memory_size:  # else `init` would need earlier tasks only to learn their shapes
        found, expected = _shapes(params), _shapes(learner.init(Generator().manual_seed(0)))
        if found != expected:
            raise DataError(f"{made_otherwise}: its parameters are {found}, expected {expected}; make it again")
    return params, SentenceRows(idf, tensors["rows.mean"].numpy(), tensors["rows.scale"].numpy())


def _identity(learner: MetaLearner) -> dict[str, object]:
    return {"learner": checkpoint.description(learner), "features": list(HAND_FEATURES)}


def _shapes(params: Params) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in sorted(params.items()) if not name.startswith(PRIOR)}


def packed(idf: Idf) -> Tensor:
    """Stems by their weight, compressed: a tensor of bytes. Weights come from counts, so few are different."""
    by_weight: dict[float, list[str]] = {}
    for stem in sorted(idf.values):
        by_weight.setdefault(idf.values[stem], []).append(stem)
    content = json.dumps([idf.unseen, [[weight, " ".join(by_weight[weight])] for weight in sorted(by_weight)]])
    return torch.tensor(list(zlib.compress(content.encode(), 9)), dtype=torch.uint8)


def unpacked(content: Tensor) -> Idf:
    """What `packed` made, to the last bit."""
    unseen, by_weight = json.loads(zlib.decompress(content.numpy().tobytes()))
    return Idf({stem: weight for weight, stems in by_weight for stem in stems.split(" ")}, unseen)
