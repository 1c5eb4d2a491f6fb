"""The base model f(x; θ) = Σ_i w_i φ(x; θ_i): learned features φ and a linear head w.

θ is a flat dict of tensors. Every function takes θ either *shared* (weights (I, O)) or *per task* (weights
(T, I, O), biases (T, 1, O)): a matrix product broadcasts over both, so adapted and unadapted models run the
same code, batched over tasks without a loop. No layer looks across rows (no batch statistics), so a query's
prediction never depends on the other queries.

The models themselves live in `models/`, one kind per file; this module is where everything else finds them.
"""

from __future__ import annotations

from metastudy.models.base import (
    HEAD_BIAS,
    HEAD_WEIGHT,
    BaseModel,
    Params,
    init_linear,
    is_head,
    linear,
    n_parameters,
    per_task,
)
from metastudy.models.columns import ColumnNet, SetNet
from metastudy.models.conv import ConvNet
from metastudy.models.conv4 import Conv4
from metastudy.models.mlp import MLP, WideMLP
from metastudy.models.resnet4 import ResNet4
from metastudy.models.vectors import VectorNet

__all__ = [
    "HEAD_BIAS",
    "HEAD_WEIGHT",
    "MLP",
    "BaseModel",
    "ColumnNet",
    "Conv4",
    "ConvNet",
    "Params",
    "ResNet4",
    "SetNet",
    "VectorNet",
    "WideMLP",
    "init_linear",
    "is_head",
    "linear",
    "n_parameters",
    "per_task",
]
