"""One meta-training step of second-order MAML: our tasks-at-once form beside a plain loop over tasks.

Both get identical tensors; the meta-gradients are compared before anything is timed; the timed rounds are
interleaved, so that a machine that slows down slows both. Writes results/bench/speed.csv. Other libraries are not
measured yet: their column stays empty.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor

from metastudy.adapt import GradientSteps
from metastudy.losses import loss, predict
from metastudy.mixture import MetaLearner
from metastudy.model import MLP, Params
from metastudy.project import Project, write_atomic
from metastudy.study import peak_rss_mb
from metastudy.tasks import Task, TaskBatch, collate
from metastudy.train import rng_for, torch_generator

ROUNDS, WARM_UP = 15, 3
Step = Callable[[Params], Tensor]


def regression_batch(n_tasks: int, n_in: int, shots: int, queries: int) -> TaskBatch:
    """Random regression tasks: what is timed is arithmetic, which does not care where numbers come from."""
    g = torch_generator(rng_for(0))

    def rows(n: int) -> tuple[Tensor, Tensor]:
        return torch.randn(n, n_in, generator=g), torch.randn(n, generator=g)

    return collate([Task(f"t{i}", "bench", "regression", *rows(shots), *rows(queries)) for i in range(n_tasks)])


def classification_batch(n_tasks: int, n_in: int, ways: int, shots: int, queries: int) -> TaskBatch:
    """Random tasks on frozen features, `shots` and `queries` rows per class."""
    g = torch_generator(rng_for(1))
    tasks = []
    for i in range(n_tasks):
        parts = []
        for n in (shots, queries):
            parts += [torch.randn(ways * n, n_in, generator=g), torch.arange(ways).repeat_interleave(n)]
        tasks.append(Task(f"t{i}", "bench", "classification", *parts, n_classes=ways))
    return collate(tasks)


def ours(learner: MetaLearner, batch: TaskBatch) -> Step:
    """All tasks at once, as the study trains."""
    return lambda params: learner.query_loss(params, batch)


def loop(learner: MetaLearner, batch: TaskBatch) -> Step:
    """One task after another, each with its own graph: the textbook form, written without our batched code."""
    model, mapping = learner.model, learner.mappings[0]
    alone = [collate([task]) for task in batch.tasks]

    def step(params: Params) -> Tensor:
        theta = {k.removeprefix("theta."): v for k, v in params.items() if k.startswith("theta.")}
        sizes = {k.removeprefix("alpha.gradient.log_step."): v.exp() for k, v in params.items() if "log_step" in k}
        losses = []
        for one in alone:
            own = {k: v.expand(-1, one.n_classes) if k.startswith("head") else v for k, v in theta.items()}
            for _ in range(mapping.n_steps):
                scores = predict(one.kind, model(own, one.support_x), one.class_mask)
                value = loss(one.kind, scores, one.support_y, one.support_mask, one.support_group).sum()
                names = list(own)
                gradients = torch.autograd.grad(value, [own[n] for n in names], create_graph=True)
                own = {n: own[n] - sizes[n] * g for n, g in zip(names, gradients, strict=True)}
            scores = predict(one.kind, model(own, one.query_x), one.class_mask)
            losses.append(loss(one.kind, scores, one.query_y, one.query_mask, one.query_group).sum())
        return torch.stack(losses).mean()

    return step


def gradient(step: Step, params: Params) -> Tensor:
    """The meta-gradient as one vector."""
    leaves = {k: v.detach().clone().requires_grad_() for k, v in params.items()}
    return torch.cat([g.flatten() for g in torch.autograd.grad(step(leaves), list(leaves.values()))])


def measure(work: str, learner: MetaLearner, batch: TaskBatch) -> list[dict[str, object]]:
    """Check the meta-gradients, then time both forms in turn. Raises AssertionError where the gradients differ."""
    params = learner.init(torch_generator(rng_for(2)))
    forms = {"metastudy, all tasks at once": ours(learner, batch), "loop over tasks": loop(learner, batch)}
    a, b = (gradient(step, params) for step in forms.values())
    error = float((a - b).abs().max() / b.abs().max())
    assert error < 1e-4, f"{work}: meta-gradients differ by {error:.1e}; expected less than 1e-4 in float32"
    times: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(WARM_UP + ROUNDS):
        for name, step in forms.items():
            start = time.perf_counter()
            gradient(step, params)
            if turn >= WARM_UP:
                times[name].append(time.perf_counter() - start)
    medians = {name: 1000 * statistics.median(values) for name, values in times.items()}
    return [
        {
            "work": work,
            "implementation": name,
            "ms_per_step": round(value, 2),
            "ratio_to_loop": round(medians["loop over tasks"] / value, 2),
            "ratio_to_higher": None,
            "gradient_error": f"{error:.1e}",
            "peak_rss_mb": peak_rss_mb(),
        }
        for name, value in medians.items()
    ]


def main() -> None:
    torch.set_num_threads(2)
    maml = GradientSteps(n_steps=5, initial_step_size=0.01)
    works = {
        "sinusoid MLP 1-40-40-1, 5 steps, 25 tasks": (MLP(1, (40, 40)), regression_batch(25, 1, 10, 10)),
        "head 384-64-5 on frozen features, 5 steps, 32 tasks": (
            MLP(384, (64,)),
            classification_batch(32, 384, 5, 1, 15),
        ),
    }
    rows = []
    for work, (model, batch) in works.items():
        rows += measure(work, MetaLearner(model, (maml,)), batch)
    table = pd.DataFrame(rows)
    project = Project.at()
    versions = f"torch {torch.__version__.split('+')[0]}, Python {platform.python_version()}"
    machine = f"{platform.machine()}, 2 threads, {versions}"
    table = table.assign(machine=machine)
    path = project.results / "bench" / "speed.csv"
    write_atomic(path, table.to_csv(index=False, lineterminator="\n").encode())
    print(table.drop(columns="machine").to_string(index=False))
    print(f"written to {project.name(path)}; machine: {machine}")


if __name__ == "__main__":
    main()
