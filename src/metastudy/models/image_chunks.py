"""Images under one set of weights, embedded a chunk at a time over threads, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from metastudy.threads import map_in_threads

IMAGES = 25  # a chunk; fixed, so that sums over images do not depend on the number of threads
Embed = Callable[[Tensor, Sequence[Tensor], bool], Tensor]
"""(images (B, ...), weights, keep_little) -> (B, d), each image by itself."""


class _InChunks(torch.autograd.Function):
    """Each chunk has a graph of its own, which the backward pass consumes; the loss sees the embeddings alone."""

    @staticmethod
    def forward(ctx, embed: Embed, images: Tensor, *weights: Tensor) -> Tensor:
        def run(chunk: Tensor) -> tuple[list[Tensor], Tensor]:
            with torch.enable_grad():
                leaves = [w.detach().requires_grad_() for w in weights]
                return leaves, embed(chunk, leaves, True)

        ctx.embed = embed
        ctx.graphs = map_in_threads(run, images.split(IMAGES))
        ctx.save_for_backward(images, *weights)
        return torch.cat([phi.detach() for _, phi in ctx.graphs])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, *weights = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        graphs, ctx.graphs = ctx.graphs, None
        if torch.is_grad_enabled() or graphs is None:
            # differentiated again (create_graph), or a second time (retain_graph): the plain way, on a fresh graph
            with torch.enable_grad():
                phi = ctx.embed(images, weights, False)
            wanted = [w for w, n in zip(weights, needed, strict=True) if n]
            found = torch.autograd.grad(phi, wanted, gradient, create_graph=torch.is_grad_enabled())
            rest = iter(found)
            return None, None, *(next(rest) if n else None for n in needed)

        def run(piece: tuple[tuple[list[Tensor], Tensor], Tensor]) -> tuple[Tensor, ...]:
            (leaves, phi), upstream = piece
            return torch.autograd.grad(phi, leaves, upstream)

        first, *others = map_in_threads(run, list(zip(graphs, gradient.split(IMAGES), strict=True)))
        total = [g.clone() for g in first]
        for more in others:  # in the order of the images
            torch._foreach_add_(total, more)
        return None, None, *(g if n else None for g, n in zip(total, needed, strict=True))


def embed_in_chunks(embed: Embed, images: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """embed(images, weights), (B, d), in chunks over threads (see `threads`).

    Differentiable in the weights, also twice, though only the first derivative is fast. Where a gradient into the
    images is wanted it is the plain call.
    """
    if images.requires_grad:
        return embed(images, weights, False)
    if torch.is_grad_enabled() and any(w.requires_grad for w in weights):
        return _InChunks.apply(embed, images, *weights)

    def run(chunk: Tensor) -> Tensor:
        with torch.no_grad():
            return embed(chunk, weights, False)

    return torch.cat(map_in_threads(run, images.split(IMAGES)))
