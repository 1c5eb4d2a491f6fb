"""Gradient steps of a chain of linear layers with their meta-gradient written out: the fast path of MAML.

The generic path (`gradient.gradient_steps`) lets autograd differentiate an autograd gradient. For linear layers with
ReLU between them both derivatives are known, so here K inner steps are plain matrix products, and the meta-gradient is
K Hessian-vector products taken backwards, each by Pearlmutter's (1994) R-operator:

    inner step        W ← W - a g(W),          g = ∇ L_support
    its adjoint       λ ← λ - H(W) (a λ),      ∂L_query/∂a = -Σ <g, λ>,    λ starts as ∂L_query/∂W

The first layer always sees the same rows x, so its updates stay in their span: W = W₀ - a xᵀC. Where the support has
fewer rows than x has columns ("dual") only the coefficients C (S, O) are carried, and its outputs are
z = x W₀ - (a x xᵀ) C. Where it has more ("primal") the weights are. Both are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from metastudy.score_gradients import HessianProduct, ScoreGradient

Layer = tuple[Tensor, Tensor]  # weight (I, O) or (T, I, O), bias (1, O) or (T, 1, O)
DUAL_ROWS = 32  # up to so many support rows the dual form needs fewer products, whatever the number of columns
LARGE = 1e7  # multiplications from which a first layer is worth a detour


def unrolled_scores(
    layers: Sequence[Layer],
    step_sizes: Sequence[Layer],
    support_x: Tensor,
    query_x: Tensor,
    score_gradient: ScoreGradient,
    n_steps: int,
    second_order: bool,
) -> Tensor:
    """Scores of the query (T, Q, C) after `n_steps` steps a on each task's support: x (T, N, I).

    `step_sizes` holds scalars a for each weight and bias. Differentiable once, in layers and step sizes; in x only
    for a chain of one layer (a head on learned features). `second_order=False` ignores how the inner gradients depend
    on the layers (first-order MAML). Memory grows linearly with `n_steps`; without gradients nothing is kept.
    """
    n_rows, n_in = support_x.shape[1:]
    dual = len(layers) == 1 or n_rows <= max(n_in, DUAL_ROWS)
    carried = [t for layer, sizes in zip(layers, step_sizes, strict=True) for t in (*layer, *sizes)]
    first: tuple[Tensor, ...] = (support_x, query_x)
    if dual:
        (weight, bias, a_weight, a_bias), carried = carried[:4], carried[4:]
        span = support_x if second_order else support_x.detach()  # first order: the inner gradients are constants
        outputs = (_first_layer(x, weight, bias) for x in (support_x, query_x))
        grams = (a_weight * (x @ span.mT) + a_bias for x in (support_x, query_x))  # (T, S, S), (T, Q, S)
        first = (*outputs, *grams)
    problem = _Problem(dual, score_gradient, n_steps, second_order, keep=torch.is_grad_enabled())
    return _Unrolled.apply(problem, *first, *carried)


def _first_layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W + b, (T, N, I) -> (T, N, O).

    A large product with shared weights is written as a 1x1 convolution: oneDNN does it, which on an AMD processor took
    a little over half the time of MKL's matrix product, forward and backward (2400 x 384 by 384 x 64); measured on no
    other.
    """
    shared = weight.dim() == 2 and x.device.type == "cpu" and x.dtype == torch.float32
    if not shared or x.numel() * weight.shape[1] < LARGE:
        return x @ weight + bias
    pixels = x.reshape(1, -1, 1, x.shape[2]).permute(0, 3, 1, 2)  # (1, I, T * N, 1), channels last
    kernel = weight.t()[:, :, None, None].contiguous(memory_format=torch.channels_last)
    return F.conv2d(pixels, kernel, bias.flatten()).permute(0, 2, 3, 1).reshape(*x.shape[:2], -1)


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is constant over the inner steps."""

    dual: bool
    score_gradient: ScoreGradient
    n_steps: int
    second_order: bool
    keep: bool  # what the backward pass needs


@dataclass(frozen=True, eq=False)
class _Step:
    """One inner step, for the layers that are carried as weights (all but the first one in the dual form)."""

    weights: list[Tensor]  # Wᵀ before the step, (T, O, I) each
    inputs: list[Tensor]  # h, (T, S, I) each
    active: list[Tensor | None]  # 1 where the ReLU below is open, else 0; None at x
    deltas: list[Tensor]  # ∂L/∂(outputs), (T, S, O) each
    moves: list[Tensor]  # the same times -a
    bias_gradients: list[Tensor]  # (T, 1, O) each
    product: HessianProduct  # of the loss in the scores
    coefficients: Tensor | None  # C before the step, dual only (None: zero)


# Inside, weights and their adjoints are kept transposed, (T, O, I): batched products with few output columns (classes)
# are three times as fast that way round.


def _back(d: Tensor, w: Tensor) -> Tensor:
    """d Wᵀ, (T, S, O) and (T, O, I) -> (T, S, I). One output column needs no matrix product, and is faster without."""
    return d * w if d.shape[2] == 1 else torch.bmm(d, w)


def _plus_outer(w: Tensor, h: Tensor, d: Tensor) -> Tensor:
    """Wᵀ + dᵀh, (T, O, I) and (T, S, I), (T, S, O) -> (T, O, I)."""
    return w + (h * d).sum(1, keepdim=True) if d.shape[2] == 1 else torch.baddbmm(w, d.mT, h)


def _activations(start: Tensor, weights: list[Tensor], biases: list[Tensor], dual: bool) -> tuple[list[Tensor], Tensor]:
    """Inputs of each carried layer, and the scores. `start` is x, or in the dual form the first layer's outputs z."""
    inputs, z = [], start
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        inputs.append(z.relu() if i or dual else z)
        z = torch.bmm(inputs[-1], w.mT).add_(b)
    return inputs, z


def _active(inputs: list[Tensor], dual: bool) -> list[Tensor | None]:
    """ReLU's derivative below each carried layer: h is never negative, so its sign is 0 or 1."""
    return [h.sign() if i or dual else None for i, h in enumerate(inputs)]


def _deltas(delta: Tensor, weights: list[Tensor], active: list[Tensor | None]) -> tuple[list[Tensor], Tensor]:
    """Backpropagation of ∂L/∂scores: what arrives at each carried layer's outputs, and, dual, at z."""
    deltas = [delta] * len(weights)
    for i in range(len(weights) - 1, -1, -1):
        deltas[i] = delta
        if active[i] is not None:
            delta = _back(delta, weights[i]).mul_(active[i])
    return deltas, delta


class _Unrolled(torch.autograd.Function):
    """Arguments: the problem; x_s, x_q (primal) or z_s, z_q, gram_s, gram_q (dual); then W, b and the two step sizes
    of each carried layer."""

    @staticmethod
    def forward(ctx, problem: _Problem, *tensors: Tensor) -> Tensor:
        n_first = 4 if problem.dual else 2
        first, rest = tensors[:n_first], tensors[n_first:]
        n_tasks = first[0].shape[0]
        weights = [w.mT.contiguous().expand(n_tasks, -1, -1) for w in rest[0::4]]
        biases = [b.contiguous().expand(n_tasks, -1, -1) for b in rest[1::4]]
        downhill = [(-a, -c) for a, c in zip(rest[2::4], rest[3::4], strict=True)]
        steps: list[_Step] = []
        coefficients = None
        for _ in range(problem.n_steps):
            start = first[0] if coefficients is None else torch.baddbmm(first[0], first[2], coefficients, alpha=-1)
            inputs, scores = _activations(start, weights, biases, problem.dual)
            delta, product = problem.score_gradient(scores)
            active = _active(inputs, problem.dual)
            deltas, at_first = _deltas(delta, weights, active)
            moves = [d * a for d, (a, _) in zip(deltas, downhill, strict=True)]
            bias_gradients = [d.sum(1, keepdim=True) for d in deltas]
            if problem.keep:
                steps.append(_Step(weights, inputs, active, deltas, moves, bias_gradients, product, coefficients))
            weights = [_plus_outer(w, h, m) for w, h, m in zip(weights, inputs, moves, strict=True)]
            biases = [torch.addcmul(b, g, c) for b, g, (_, c) in zip(biases, bias_gradients, downhill, strict=True)]
            if problem.dual:
                coefficients = at_first if coefficients is None else coefficients + at_first
        start = first[1] if coefficients is None else torch.baddbmm(first[1], first[3], coefficients, alpha=-1)
        inputs, scores = _activations(start, weights, biases, problem.dual)
        if problem.keep:
            ctx.kept = problem, first, rest, downhill, steps, coefficients, weights, inputs
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx, d_scores: Tensor) -> tuple[Tensor | None, ...]:
        problem, first, rest, downhill, steps, coefficients, weights, inputs = ctx.kept
        deltas, at_first = _deltas(d_scores, weights, _active(inputs, problem.dual))
        adjoint = _Adjoint(problem, first, downhill, inputs, deltas, ctx.needs_input_grad[1:])
        if problem.dual:
            adjoint.start_dual(at_first, coefficients)
        for step in reversed(steps):
            adjoint.step_back(step)
        out: list[Tensor | None] = [None, *adjoint.first]
        for i, layer in enumerate(adjoint.layers):
            own = [layer[0].mT, layer[1]]
            out += [v.sum(0) if r.dim() == 2 else v for v, r in zip(own, rest[4 * i :], strict=False)]
            out += [None if v is None else -v.sum() for v in adjoint.sizes[i]]
        return tuple(out)


class _Adjoint:
    """λ, and what else accumulates, on the way back through the inner steps."""

    def __init__(self, problem: _Problem, first, downhill, inputs, deltas, wanted: Sequence[bool]) -> None:
        self.problem, self.given, self.downhill = problem, first, downhill
        self.layers = [(torch.bmm(d.mT, h), d.sum(1, keepdim=True)) for h, d in zip(inputs, deltas, strict=True)]
        self.first: list[Tensor | None] = [None, None]
        self.coefficients: Tensor | None = None  # adjoint of C
        self.of_grams = problem.dual and any(wanted[2:4])
        # -∂L/∂a, not yet summed over anything: (T, S, O) and (T, 1, O); None for step sizes that are not learned
        learned = wanted[len(first) :]
        self.sizes = [
            (
                d.new_zeros(d.shape[0], first[0].shape[1], d.shape[2]) if learned[4 * i + 2] else None,
                torch.zeros_like(self.layers[i][1]) if learned[4 * i + 3] else None,
            )
            for i, d in enumerate(deltas)
        ]

    def start_dual(self, at_query: Tensor, coefficients: Tensor | None) -> None:
        z_s, _, gram_s, gram_q = self.given
        self.first = [torch.zeros_like(z_s), at_query, None, None]
        if self.of_grams:
            self.first[2:] = [torch.zeros_like(gram_s), torch.zeros_like(gram_q)]
        if coefficients is not None:
            self.coefficients = torch.bmm(gram_q.mT, at_query).neg_()
            if self.of_grams:
                self.first[3].baddbmm_(at_query, coefficients.mT, alpha=-1)

    def step_back(self, step: _Step) -> None:
        """λ ← λ - H (a λ), the Hessian product by the R-operator: R(v) is v's change as W moves along -a λ."""
        through = []  # h λ
        for (by_weight, by_bias), (w, b), h, d, g in zip(
            self.sizes, self.layers, step.inputs, step.deltas, step.bias_gradients, strict=True
        ):
            through.append(torch.bmm(h, w.mT))
            if by_weight is not None:
                by_weight.addcmul_(d, through[-1])  # <g, λ> = Σ d (h λ), without forming g
            if by_bias is not None:
                by_bias.addcmul_(g, b)
        if self.problem.second_order:
            self._hessian_product(step, through)

    def _hessian_product(self, step: _Step, through: list[Tensor]) -> None:
        last = len(through) - 1
        r = self.coefficients
        moved: list[Tensor | None] = []  # R(h)
        for i, (a, c) in enumerate(self.downhill):
            if r is not None:
                r = r * step.active[i]
            moved.append(r)
            linear = through[i].mul_(a)
            if r is not None:
                linear.baddbmm_(r, step.weights[i].mT)
            r = linear.addcmul_(self.layers[i][1], c)
        delta = step.product(r)  # R(d)
        for i in range(last, -1, -1):
            (w, b), h = self.layers[i], step.inputs[i]
            below = None
            if step.active[i] is not None:
                below = _back(delta, step.weights[i]).baddbmm_(step.moves[i], w).mul_(step.active[i])
            w.baddbmm_(delta.mT, h)
            if moved[i] is not None:
                w.baddbmm_(step.deltas[i].mT, moved[i])
            b.add_(delta.sum(1, keepdim=True))
            delta = below
        if self.problem.dual:
            self.first[0].add_(delta)
            if step.coefficients is not None:
                if self.of_grams:
                    self.first[2].baddbmm_(delta, step.coefficients.mT, alpha=-1)
                self.coefficients = self.coefficients.baddbmm(self.given[2].mT, delta, alpha=-1)
