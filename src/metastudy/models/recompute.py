"""A function of many rows that keeps its inputs alone, and computes the rest again when its gradient is asked for.

The first block of a convolutional network does 2% of its arithmetic and makes two thirds of the numbers that autograd
keeps: far more than fits a cache, so that writing and reading them costs more than the arithmetic does. Here the block
runs over a few rows at a time, forward and again backward, and everything stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ROWS = 15  # at 28 x 28 pixels and 64 channels: 3 MB


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function: Callable[..., Tensor], x: Tensor, *weights: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(x, *weights)
        return torch.cat([function(rows, *weights) for rows in x.split(ROWS)])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[2:]) if needed]
        if torch.is_grad_enabled():  # create_graph: this gradient will be differentiated again, so it needs a graph
            y = ctx.function(x, *weights)
            found = torch.autograd.grad(y, [weights[i] for i in wanted], gradient, create_graph=True)
        else:
            found = None
            for rows, upstream in zip(x.split(ROWS), gradient.split(ROWS), strict=True):
                with torch.enable_grad():
                    leaves = [w.detach().requires_grad_(i in wanted) for i, w in enumerate(weights)]
                    y = ctx.function(rows, *leaves)
                more = torch.autograd.grad(y, [leaves[i] for i in wanted], upstream)
                found = list(more) if found is None else torch._foreach_add(found, more)
        by_weight = dict(zip(wanted, found, strict=True))
        return None, None, *(by_weight.get(i) for i in range(len(weights)))


def recomputed(function: Callable[..., Tensor], x: Tensor, *weights: Tensor) -> Tensor:
    """function(x, *weights), for a function that treats the rows of x (N, ...) one by one. Differentiable twice.

    Where a gradient into x is wanted too, or none at all, it is the plain call.
    """
    if x.requires_grad or not torch.is_grad_enabled():
        return function(x, *weights)
    return _Recomputed.apply(function, x, *weights)
