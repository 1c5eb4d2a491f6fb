"""Simulated users of a ranking, who click by grade of relevance and stop when they have seen enough.

The cascade (Craswell, Zoeter, Taylor and Ramsey 2008, WSDM) in the form that may go on after a click: the dependent
click model (Guo, Liu and Wang 2009, WSDM; Chuklin, Markov and de Rijke 2015, "Click models for web search").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metastudy.errors import DataError, ParameterError


@dataclass(frozen=True)
class CascadeUser:
    """Reads from the top; clicks a document of grade g with probability click[g], then stops with stop[g].

    A user who did not click reads on. Raises ParameterError for probabilities outside 0 to 1, or grades that only one
    of the two names.
    """

    click: Mapping[int, float]
    stop: Mapping[int, float]

    def __post_init__(self) -> None:
        if not self.click or set(self.click) != set(self.stop):
            raise ParameterError(
                f"grades {sorted(self.click)} to click, {sorted(self.stop)} to stop; expected the same"
            )
        for name, table in (("click", self.click), ("stop", self.stop)):
            if wrong := {g: p for g, p in table.items() if not 0 <= p <= 1}:
                raise ParameterError(f"{name} probabilities {wrong}; expected 0 to 1 for each grade")

    def clicks(self, grades: Sequence[int] | np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One visit to a ranking of documents with these grades, (n,) from the top: clicked or not, (n,) of bool.

        Raises DataError for a grade without a probability.
        """
        if unknown := sorted(set(np.asarray(grades).tolist()) - set(self.click)):
            raise DataError(f"grades {unknown} have no click probability; expected grades {sorted(self.click)}")
        clicked = rng.random(len(grades)) < np.array([self.click[g] for g in grades])
        stops = clicked & (rng.random(len(grades)) < np.array([self.stop[g] for g in grades]))
        if stops.any():
            clicked[np.argmax(stops) + 1 :] = False
        return clicked


# Click and stop probabilities by grade, for 2, 3 and 5 grades: Hofmann, Whiteson and de Rijke (2013, Information
# Retrieval 16, "Balancing exploration and exploitation in listwise and pairwise online learning to rank for information
# retrieval") and the experiments with Lerot (Schuth, Hofmann, Whiteson and de Rijke 2013) that followed it. Checked
# against public code: all for 5 grades, and the perfect user for 3. The others are from memory, unverified.
_PUBLISHED = {
    "perfect": {2: ((0, 1), (0, 0)), 3: ((0, 0.5, 1), (0, 0, 0)), 5: ((0, 0.2, 0.4, 0.8, 1), (0, 0, 0, 0, 0))},
    "navigational": {
        2: ((0.05, 0.95), (0.2, 0.9)),
        3: ((0.05, 0.5, 0.95), (0.2, 0.5, 0.9)),
        5: ((0.05, 0.3, 0.5, 0.7, 0.95), (0.2, 0.3, 0.5, 0.7, 0.9)),
    },
    "informational": {
        2: ((0.4, 0.9), (0.1, 0.5)),
        3: ((0.4, 0.7, 0.9), (0.1, 0.3, 0.5)),
        5: ((0.4, 0.6, 0.7, 0.8, 0.9), (0.1, 0.2, 0.3, 0.4, 0.5)),
    },
    # our negative control, not published: a user who does not see relevance must prefer no ranker
    "random": {n: ((0.5,) * n, (0.5,) * n) for n in (2, 3, 5)},
}
USERS = tuple(_PUBLISHED)


def user(name: str, grades: int = 2) -> CascadeUser:
    """A published user (perfect, navigational, informational) or the negative control (random), for grades 0, 1, ..

    `grades` counts them: 2, 3 or 5. Raises ParameterError for another name or number.
    """
    if name not in _PUBLISHED or grades not in _PUBLISHED[name]:
        raise ParameterError(f"no user {name!r} for {grades} grades; expected one of {', '.join(USERS)} for 2, 3 or 5")
    click, stop = _PUBLISHED[name][grades]
    return CascadeUser(dict(enumerate(click)), dict(enumerate(stop)))
