"""The same steps in JAX, jit-compiled: the forms that were the fastest of several tried.

vmap over tasks. Convolutions as patches times a matrix, which XLA turns into faster CPU code for per-task weights than
its own convolution. Imported only where jax is installed.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import optax
from jax import numpy as jnp

from benchmarks.forms import DType
from benchmarks.works import LEARNING_RATE, N_BLOCKS, Work

Params = dict[str, jax.Array]


def linear(params: Params, name: str, x: jax.Array) -> jax.Array:
    return x @ params[f"{name}.weight"].T + params[f"{name}.bias"]


def convolution(params: Params, i: int, x: jax.Array) -> jax.Array:
    """3x3, same size: (N, H, W, C) -> (N, H, W, O)."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    patches = [padded[:, r : r + height, c : c + width] for r in range(3) for c in range(3)]
    weight = params[f"conv{i}.weight"].transpose(2, 3, 1, 0)
    return jnp.concatenate(patches, -1) @ weight.reshape(-1, weight.shape[-1]) + params[f"conv{i}.bias"]


def layer_norm(params: Params, i: int, x: jax.Array) -> jax.Array:
    """Over each image, as GroupNorm(1, C)."""
    centred = x - x.mean((1, 2, 3), keepdims=True)
    variance = (centred**2).mean((1, 2, 3), keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-5) * params[f"norm{i}.weight"] + params[f"norm{i}.bias"]


def max_pool(x: jax.Array) -> jax.Array:
    """2x2. Spelled out: the gradient of `reshape(...).max((2, 4))` came out wrong under jit (jax 0.10.2, CPU)."""
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    a, b, c, d = (x[:, r:height:2, s:width:2] for r in (0, 1) for s in (0, 1))
    return larger(larger(a, b), larger(c, d))


def larger(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.where(a >= b, a, b)


def features(work: Work, params: Params, x: jax.Array) -> jax.Array:
    if work.network == "mlp":
        for i in range(len(work.sizes) - 1):
            x = jax.nn.relu(linear(params, f"layer{i}", x))
        return x
    x = x.transpose(0, 2, 3, 1)
    for i in range(N_BLOCKS):
        x = jax.nn.relu(max_pool(layer_norm(params, i, convolution(params, i, x))))
    return x.reshape(x.shape[0], -1)


def loss_of(scores: jax.Array, y: jax.Array) -> jax.Array:
    """Squared error for one output, cross-entropy for more."""
    if scores.shape[-1] == 1:
        return ((scores[..., 0] - y) ** 2).mean()
    return -jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], 1).mean()


def maml(work: Work, params: Params, xs: jax.Array, ys: jax.Array, xq: jax.Array, yq: jax.Array) -> jax.Array:
    """Query loss of one task after the inner steps."""

    def loss(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        return loss_of(linear(params, "head", features(work, params, x)), y)

    for _ in range(work.steps):
        gradients = jax.grad(loss)(params, xs, ys)
        params = jax.tree.map(lambda p, g: p - work.step_size * g, params, gradients)
    return loss(params, xq, yq)


def prototypes(work: Work, params: Params, xs: jax.Array, ys: jax.Array, xq: jax.Array, yq: jax.Array) -> jax.Array:
    phi = features(work, params, jnp.concatenate([xs, xq]))
    n = work.support
    means = phi[:n].reshape(-1, work.classes, phi.shape[-1]).mean(0)
    return loss_of(-((phi[n:, None] - means) ** 2).sum(-1), yq)


def maml_gram(work: Work, params: Params, xs: jax.Array, ys: jax.Array, xq: jax.Array, yq: jax.Array) -> jax.Array:
    """`maml` for one hidden layer on fixed inputs: its updates lie in the span of the support rows, so coefficients
    (S, 64) and Gram matrices stand for weights (384, 64). Exact."""
    gram_s, gram_q = xs @ xs.T + 1.0, xq @ xs.T + 1.0  # + 1: the bias
    target = jax.nn.one_hot(ys, work.classes, dtype=xs.dtype)
    start_s, start_q = linear(params, "layer0", xs), linear(params, "layer0", xq)
    weight, bias, z, coefficients = params["head.weight"], params["head.bias"], start_s, 0.0
    for _ in range(work.steps):
        h = jax.nn.relu(z)
        error = (jax.nn.softmax(h @ weight.T + bias) - target) / len(xs)
        coefficients = coefficients + (error @ weight) * (z > 0)
        weight, bias = weight - work.step_size * error.T @ h, bias - work.step_size * error.sum(0)
        z = start_s - work.step_size * gram_s @ coefficients
    return loss_of(jax.nn.relu(start_q - work.step_size * gram_q @ coefficients) @ weight.T + bias, yq)


class Jax:
    """`vmap` over tasks of one task's loss, its gradient and optax's Adam in one compiled function."""

    def __init__(self, work: Work, dtype: DType, one: Callable[..., jax.Array] | None = None) -> None:
        jax.config.update("jax_enable_x64", True)  # for the check; float32 arrays stay float32
        one = one or (maml if work.adapting == "maml" else prototypes)
        params = {name: jnp.asarray(value, dtype) for name, value in work.parameters().items()}
        for name in ("head.weight", "head.bias"):
            if name in params:
                params[name] = params[name].repeat(work.classes, 0)
        self.tensors = [jnp.asarray(t, dtype if t.dtype.kind == "f" else "int32") for t in work.tensors()]
        optimizer = optax.adam(LEARNING_RATE)

        def loss(params: Params, *tensors: jax.Array) -> jax.Array:
            return jax.vmap(lambda *task: one(work, params, *task))(*tensors).mean()

        def step(params: Params, state: optax.OptState, *tensors: jax.Array) -> tuple:
            value, gradients = jax.value_and_grad(loss)(params, *tensors)
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, value

        self.gradients = jax.jit(jax.value_and_grad(loss))
        self.update = jax.jit(step, donate_argnums=(0, 1))
        self.params, self.state = params, optimizer.init(params)

    def gradient(self) -> tuple[float, dict[str, np.ndarray]]:
        loss, found = self.gradients(self.params, *self.tensors)
        arrays = {name: np.asarray(g, np.float64) for name, g in found.items()}
        return float(loss), {n: g.sum(0, keepdims=True) if n.startswith("head") else g for n, g in arrays.items()}

    def step(self) -> float:
        self.params, self.state, loss = self.update(self.params, self.state, *self.tensors)
        return float(loss)


def gram(work: Work, dtype: DType) -> Jax:
    return Jax(work, dtype, maml_gram)
