"""ψ: the ways of adapting, one per file, and their registry."""

from metastudy.adapt.attention import Attention
from metastudy.adapt.base import Mapping
from metastudy.adapt.estimator import Estimator
from metastudy.adapt.film import FiLM
from metastudy.adapt.fine_tuned import FineTuned
from metastudy.adapt.gradient import ANIL, BOIL, MAML, FirstOrderMAML, GradientSteps, MetaSGD
from metastudy.adapt.input_score import InputScore
from metastudy.adapt.memory import TaskMemory
from metastudy.adapt.proto_maml import ProtoMAML
from metastudy.adapt.prototypes import CosinePrototypes, Prototypes
from metastudy.adapt.reptile import Reptile
from metastudy.adapt.ridge import RidgeHead
from metastudy.adapt.scratch import FromScratch
from metastudy.adapt.unadapted import Unadapted

_MAPPINGS: tuple[type[Mapping], ...] = (
    MAML,
    FirstOrderMAML,
    ANIL,
    BOIL,
    MetaSGD,
    Reptile,
    RidgeHead,
    Prototypes,
    CosinePrototypes,
    ProtoMAML,
    Attention,
    FiLM,
    TaskMemory,
    Estimator,
    Unadapted,
    FineTuned,
    FromScratch,
    InputScore,
)
REGISTRY: dict[str, type[Mapping]] = {cls.name: cls for cls in _MAPPINGS}

__all__ = [
    "ANIL",
    "BOIL",
    "MAML",
    "REGISTRY",
    "Attention",
    "CosinePrototypes",
    "Estimator",
    "FiLM",
    "FineTuned",
    "FirstOrderMAML",
    "FromScratch",
    "GradientSteps",
    "InputScore",
    "Mapping",
    "MetaSGD",
    "ProtoMAML",
    "Prototypes",
    "Reptile",
    "RidgeHead",
    "TaskMemory",
    "Unadapted",
]
