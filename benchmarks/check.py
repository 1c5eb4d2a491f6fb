"""The check that comes before any timing: all forms must compute the same meta-gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

TOLERANCE = {"float64": 1e-8, "float32": 1e-4}
SLACK = 3
"""In float32 a form may also be off by so many times what the plain form is off by: where one rounding decides which
pixel a max-pool takes, gradients jump."""

Gradient = dict[str, np.ndarray]


class GradientsDiffer(RuntimeError):
    """Two implementations do not compute the same meta-gradient: comparing their speed would mean nothing."""


class Source(Protocol):
    """What gives gradients: `timing.Worker`."""

    name: str
    work: str

    def gradient(self, dtype: str, small: bool = False) -> Gradient: ...


def gradient_error(found: Gradient, reference: Gradient) -> float:
    """The largest relative error of a tensor, ||a - b|| / ||b||.

    Tensors with less than a hundredth of the largest norm are measured against that: the gradient of a head that all
    classes share is zero (softmax does not feel what is added to all scores), and rounding is not an error.
    """
    if set(found) != set(reference):
        raise GradientsDiffer(f"gradients of {sorted(found)}; expected {sorted(reference)}")
    norms = {name: float(np.linalg.norm(value)) for name, value in reference.items()}
    floor = max(norms.values()) / 100
    return max(float(np.linalg.norm(found[n] - reference[n])) / max(norms[n], floor) for n in reference)


@dataclass(frozen=True)
class Reference:
    """The plain form's meta-gradients in float64, on the small work and the full one, and its own float32 error."""

    small: Gradient
    full: Gradient
    rounding: float

    @classmethod
    def of(cls, plain: Source) -> Reference:
        small, full = plain.gradient("float64", small=True), plain.gradient("float64")
        return cls(small, full, gradient_error(plain.gradient("float32"), full))

    def errors(self, source: Source) -> tuple[float, float]:
        """The errors of a source's meta-gradient in float64 and float32. Raises GradientsDiffer beyond tolerance."""
        double = gradient_error(source.gradient("float64", small=True), self.small)
        single = gradient_error(source.gradient("float32"), self.full)
        allowed = {"float64": TOLERANCE["float64"], "float32": max(TOLERANCE["float32"], SLACK * self.rounding)}
        for dtype, error in (("float64", double), ("float32", single)):
            if not error <= allowed[dtype]:
                raise GradientsDiffer(
                    f"{source.work}: the meta-gradient of {source.name} in {dtype} is off by {error:.1e}; expected at "
                    f"most {allowed[dtype]:.0e}. Nothing was timed: mend it, or leave it out of benchmarks/forms.py"
                )
        return double, single
