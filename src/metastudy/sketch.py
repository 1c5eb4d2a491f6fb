"""The sketch this study grew from, made to work: a dense layer, a dense mapping on it, and a `learn_task` call.

Kept as it was proposed, as a point of comparison. What it does not do: `learn_task` makes a new optimizer at each
call, treats every task alike, and carries nothing from task to task but the weights that the last task left behind.
There is no query set, no learning to learn.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn


class BaseModel(nn.Module):
    """relu(x W + b): (N, input_dim) -> (N, output_dim)."""

    def __init__(self, input_dim: int = 10, output_dim: int = 5, *, generator: Generator | None = None):
        super().__init__()
        self.dense = nn.utils.skip_init(nn.Linear, input_dim, output_dim)
        _initialise(self.dense, generator)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.dense(x))


class MetaLearning(nn.Module):
    """A dense mapping on top of a base model: (N, input_dim) -> (N, mapping_dim)."""

    def __init__(self, base_model: BaseModel, mapping_dim: int = 2, *, generator: Generator | None = None):
        super().__init__()
        self.base_model = base_model
        self.mapping = nn.utils.skip_init(nn.Linear, base_model.dense.out_features, mapping_dim)
        _initialise(self.mapping, generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.mapping(self.base_model(x))

    def learn_task(self, inputs: Tensor, labels: Tensor, steps: int = 100) -> list[float]:
        """Mean squared error, Adam at 0.01, `steps` full-batch steps; the losses on the way.

        Shapes: inputs (N, input_dim), labels (N, mapping_dim).
        """
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(self(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses


def _initialise(layer: nn.Linear, generator: Generator | None) -> None:
    """He (2015) weights from an explicit generator, so that no global random state is involved."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(layer.bias)
