"""Which methods each study compares: a module a study, so that a change to one leaves the others' results as they are.

The only place where mappings and baselines meet a family. Initial values of α (scales, penalties) were chosen on
validation tasks.
"""

C_GRID: tuple[dict[str, object], ...] = tuple({"C": c} for c in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0))
"""Of logistic regression, from which validation tasks choose."""

METHOD_GROUPS = {
    "gradient steps": ("maml", "fomaml", "anil", "boil", "meta_sgd", "reptile", "proto_maml"),
    "closed form, distance, memory": (
        "ridge", "prototypes", "cosine_prototypes", "attention", "film", "task_memory", "estimator"
    ),
    "baselines": ("from scratch", "fine-tuned", "pooled", "logistic regression"),
}  # fmt: skip
"""Panels of notebook 03's figures."""
