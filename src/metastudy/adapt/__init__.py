"""ψ: the ways of adapting, one per file, and their registry."""

from metastudy.adapt.attention import Attention
from metastudy.adapt.base import Mapping
from metastudy.adapt.gradient import GradientSteps
from metastudy.adapt.prototypes import Prototypes
from metastudy.adapt.ridge import RidgeHead
from metastudy.adapt.unadapted import Unadapted

REGISTRY: dict[str, type[Mapping]] = {
    cls.name: cls for cls in (GradientSteps, RidgeHead, Prototypes, Attention, Unadapted)
}

__all__ = ["REGISTRY", "Attention", "GradientSteps", "Mapping", "Prototypes", "RidgeHead", "Unadapted"]
