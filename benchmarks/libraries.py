"""The same steps as a user of PyTorch, or of one of its meta-learning libraries, writes them.

Each follows its library's own MAML example: one task after another, gradients accumulated. All use the same fused
Adam, so that it is not what is compared.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, vmap
from torch.nn import functional as F

from benchmarks.forms import DType
from benchmarks.works import LEARNING_RATE, N_BLOCKS, Work


def network(work: Work) -> nn.Sequential:
    """The textbook module; its parameters carry the names of `Work.parameters`."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    if work.network == "mlp":
        for i, (n_in, n_out) in enumerate(pairwise(work.sizes)):
            blocks |= {f"layer{i}": nn.Linear(n_in, n_out), f"relu{i}": nn.ReLU()}
    else:
        for i in range(N_BLOCKS):
            # norm over each image alone: statistics over the batch would let queries see each other
            blocks |= {
                f"conv{i}": nn.Conv2d(work.channels if i else 1, work.channels, 3, padding=1),
                f"norm{i}": nn.GroupNorm(1, work.channels),
                f"relu{i}": nn.ReLU(),
                f"pool{i}": nn.MaxPool2d(2),
            }
        blocks["flat"] = nn.Flatten()
    if work.adapting == "maml":
        blocks["head"] = nn.Linear(work.features, work.classes)
    return nn.Sequential(blocks)


class TorchForm:
    """A module with the work's parameters; subclasses fill `.grad` in `backward`."""

    def __init__(self, work: Work, dtype: DType) -> None:
        self.work, kind = work, getattr(torch, dtype)
        self.module = network(work).to(kind)
        values = {name: torch.as_tensor(value, dtype=kind) for name, value in work.parameters().items()}
        for name in ("head.weight", "head.bias"):
            if name in values:
                values[name] = values[name].repeat_interleave(work.classes, 0)
        self.module.load_state_dict(values)
        tensors = [torch.as_tensor(t) for t in work.tensors()]
        self.xs, self.ys, self.xq, self.yq = (t.to(kind) if t.is_floating_point() else t for t in tensors)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=LEARNING_RATE, fused=True)
        self.prepare()

    def prepare(self) -> None:
        """What a library needs once."""

    def backward(self) -> Tensor:
        """Put the meta-gradient into `.grad`; returns the mean loss over tasks."""
        raise NotImplementedError

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(scores[..., 0], y) if self.work.classes == 1 else F.cross_entropy(scores, y)

    def step(self) -> float:
        self.optimizer.zero_grad()
        loss = self.backward()
        self.optimizer.step()
        return float(loss)

    def gradient(self) -> tuple[float, dict[str, np.ndarray]]:
        self.optimizer.zero_grad()
        loss = float(self.backward())
        found = {name: p.grad for name, p in self.module.named_parameters()}
        return loss, {
            name: (g.sum(0, keepdim=True) if name.startswith("head") else g).double().numpy()
            for name, g in found.items()
        }


class Loop(TorchForm):
    """No library: one task after another, with `functional_call` and `autograd.grad`."""

    def backward(self) -> Tensor:
        total = 0.0
        start = dict(self.module.named_parameters())
        for xs, ys, xq, yq in zip(self.xs, self.ys, self.xq, self.yq, strict=True):
            own = start
            for _ in range(self.work.steps):
                loss = self.loss(functional_call(self.module, own, (xs,)), ys)
                gradients = torch.autograd.grad(loss, list(own.values()), create_graph=True)
                own = {n: p - self.work.step_size * g for (n, p), g in zip(own.items(), gradients, strict=True)}
            loss = self.loss(functional_call(self.module, own, (xq,)), yq) / self.work.tasks
            loss.backward()
            total += loss.detach()
        return total


class Vmap(TorchForm):
    """torch.func without further thought: `vmap` over tasks of `grad` over inner steps."""

    def prepare(self) -> None:
        def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return self.loss(functional_call(self.module, params, (x,)), y)

        def one(params: dict[str, Tensor], xs: Tensor, ys: Tensor, xq: Tensor, yq: Tensor) -> Tensor:
            for _ in range(self.work.steps):
                gradients = grad(loss)(params, xs, ys)
                params = {n: p - self.work.step_size * gradients[n] for n, p in params.items()}
            return loss(params, xq, yq)

        self.gradients = grad_and_value(
            lambda params, *tensors: vmap(one, in_dims=(None, 0, 0, 0, 0))(params, *tensors).mean()
        )

    def backward(self) -> Tensor:
        params = dict(self.module.named_parameters())
        start = {n: p.detach() for n, p in params.items()}
        gradients, loss = self.gradients(start, self.xs, self.ys, self.xq, self.yq)
        for name, p in params.items():
            p.grad = gradients[name]
        return loss


class Higher(TorchForm):
    """Grefenstette et al. 2019; github.com/facebookresearch/higher, examples/maml-omniglot.py."""

    def prepare(self) -> None:
        self.inner = torch.optim.SGD(self.module.parameters(), lr=self.work.step_size)

    def backward(self) -> Tensor:
        import higher

        total = 0.0
        for xs, ys, xq, yq in zip(self.xs, self.ys, self.xq, self.yq, strict=True):
            with higher.innerloop_ctx(self.module, self.inner, copy_initial_weights=False) as (learner, inner):
                for _ in range(self.work.steps):
                    inner.step(self.loss(learner(xs), ys))
                loss = self.loss(learner(xq), yq) / self.work.tasks
                loss.backward()
            total += loss.detach()
        return total


class TorchOpt(TorchForm):
    """Ren et al. 2022; github.com/metaopt/torchopt, examples/few-shot/maml_omniglot.py."""

    def prepare(self) -> None:
        import torchopt

        self.inner = torchopt.MetaSGD(self.module, lr=self.work.step_size)

    def backward(self) -> Tensor:
        import torchopt

        total = 0.0
        network_state = torchopt.extract_state_dict(self.module, by="reference", detach_buffers=True)
        inner_state = torchopt.extract_state_dict(self.inner, by="reference")
        for xs, ys, xq, yq in zip(self.xs, self.ys, self.xq, self.yq, strict=True):
            for _ in range(self.work.steps):
                self.inner.step(self.loss(self.module(xs), ys))
            loss = self.loss(self.module(xq), yq) / self.work.tasks
            loss.backward()
            total += loss.detach()
            torchopt.recover_state_dict(self.module, network_state)
            torchopt.recover_state_dict(self.inner, inner_state)
        return total


class Learn2Learn(TorchForm):
    """Arnold et al. 2020; github.com/learnables/learn2learn, examples/vision/maml_omniglot.py."""

    def prepare(self) -> None:
        import learn2learn

        self.maml = learn2learn.algorithms.MAML(self.module, lr=self.work.step_size)

    def backward(self) -> Tensor:
        total = 0.0
        for xs, ys, xq, yq in zip(self.xs, self.ys, self.xq, self.yq, strict=True):
            learner = self.maml.clone()
            for _ in range(self.work.steps):
                learner.adapt(self.loss(learner(xs), ys))
            loss = self.loss(learner(xq), yq) / self.work.tasks
            loss.backward()
            total += loss.detach()
        return total


class Prototypes(TorchForm):
    """No library: prototypical networks (Snell et al. 2017) with the module as it is."""

    def backward(self) -> Tensor:
        total, n = 0.0, self.work.support
        for xs, xq, yq in zip(self.xs, self.xq, self.yq, strict=True):
            phi = self.module(torch.cat([xs, xq]))
            means = phi[:n].reshape(-1, self.work.classes, phi.shape[-1]).mean(0)
            scores = -((phi[n:, None] - means) ** 2).sum(-1)
            loss = self.loss(scores, yq) / self.work.tasks
            loss.backward()
            total += loss.detach()
        return total
