"""The few kinds of error this package raises; every message says found, expected, and what to do next."""


class MetastudyError(Exception):
    """Base class, so that a caller can catch everything this package refuses."""


class ParameterError(MetastudyError):
    """A parameter is unknown, of the wrong type or out of range."""


class DataError(MetastudyError):
    """Data is missing, damaged or not what its hash promised."""


class TaskError(MetastudyError):
    """A task cannot be built, batched or adapted to as asked."""


class TrainingError(MetastudyError):
    """Meta-training cannot go on (for example: a loss that is not a number)."""
