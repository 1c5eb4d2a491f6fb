"""The first block of a convolutional network on images, without ever holding its full-size activations for long.

It does 2% of the arithmetic and makes two thirds of the numbers that autograd keeps: reading and writing them costs
more than computing them. But its input is data, not learned, so much is known beforehand. With p a patch of the image
and z_c = w_c·p + b_c its convolution, layer norm needs of an image only (P pixels, C channels)

    Σ z  = (Σ_c w_c)·s + P Σ_c b_c                          s = Σ p over the patches, (9I,)
    Σ z² = Σ_c w_cᵀ G w_c + 2 b_c w_c·s + P b_c²            G = Σ p pᵀ, (9I, 9I)

and a norm, which is an increasing function of z where its scale is positive, may come after the max-pool; where the
scale is negative the kernel's sign is turned first. So z is written once, pooled at once, and forgotten.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

IMAGES = 15  # convolved and pooled at once: at 28 x 28 pixels and 64 channels 3 MB, which stay in the cache
_aten = torch.ops.aten
_POOL, _CONV = ([2, 2], [2, 2]), ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)  # kernel, stride; a 3x3 one with padding
EPS = 1e-5


def _convolved(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(x, kernel, bias, padding=1)


class _PooledConvolution(torch.autograd.Function):
    """max_pool2d(conv2d(x)), keeping x and which pixel won each window."""

    @staticmethod
    def forward(ctx, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        small = torch.int16 if x[0, 0].numel() < 2**15 else torch.int64
        pooled, winners = [], []
        for images in x.split(IMAGES):
            values, index = _aten.max_pool2d_with_indices(_convolved(images, kernel, bias), *_POOL)
            pooled.append(values)
            winners.append(index.to(small))
        ctx.save_for_backward(x, kernel, bias, *winners)
        return torch.cat(pooled)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, bias, *winners = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: this gradient will be differentiated again, so it needs a graph
            y = F.max_pool2d(_convolved(x, kernel, bias), 2)
            wanted = [w for w in (kernel, bias) if w.requires_grad]
            found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=True))
            return None, *(next(found) if w.requires_grad else None for w in (kernel, bias))
        total: list[Tensor] = []
        for images, index, upstream in zip(x.split(IMAGES), winners, gradient.split(IMAGES), strict=True):
            shape = (len(images), len(kernel), *x.shape[2:])
            full = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)  # never read
            at_z = _aten.max_pool2d_with_indices_backward(
                upstream, full, *_POOL, [0, 0], [1, 1], False, index.to(torch.int64)
            )
            found = _aten.convolution_backward(at_z, images, kernel, bias.shape, *_CONV, [False, True, True])[1:]
            total = torch._foreach_add(total, found) if total else list(found)
        return None, *total


def pooled_convolution(x: Tensor, kernel: Tensor, bias: Tensor, keep_little: bool) -> Tensor:
    """max_pool2d(conv2d(x)) of data x (B, I, H, W), kernel (O, I, 3, 3): (B, O, H // 2, W // 2). Differentiable twice.

    `keep_little` is the form for many images; its second derivative is computed the plain way.
    """
    if keep_little and torch.is_grad_enabled() and not x.requires_grad:
        return _PooledConvolution.apply(x, kernel, bias)
    return F.max_pool2d(_convolved(x, kernel, bias), 2)


def first_block(x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, offset: Tensor, keep_little: bool) -> Tensor:
    """`conv4.block` of data x (B, I, H, W), to which no gradient flows, for one group: (B, O, H // 2, W // 2)."""
    kernel, bias = weight[0].permute(0, 3, 1, 2), bias[0]  # (O, I, 3, 3), (O,)
    pixels = x.shape[2] * x.shape[3]
    n = len(kernel) * pixels
    with torch.no_grad():
        patches = F.unfold(x, 3, padding=1)  # (B, 9I, P)
        s, gram = patches.sum(-1), patches @ patches.mT
    flat = kernel.flatten(1)  # (O, 9I)
    mean = (s @ flat.sum(0) + pixels * bias.sum()) / n  # (B,)
    squares = gram.flatten(1) @ (flat.T @ flat).flatten() + 2 * (s @ (bias @ flat)) + pixels * bias.square().sum()
    spread = (squares / n - mean.square()).clamp(min=0)  # rounding may leave it below zero
    factor = torch.rsqrt(spread + EPS)[:, None] * scale  # (B, O)
    shift = offset - mean[:, None] * factor

    sign = torch.where(scale[0].detach() < 0, -1, 1).to(x.dtype)
    pooled = pooled_convolution(x, kernel * sign[:, None, None, None], bias * sign, keep_little)
    return F.relu(torch.addcmul(shift[..., None, None], pooled, (factor * sign)[..., None, None]))
