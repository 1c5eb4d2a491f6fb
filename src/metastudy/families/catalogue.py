"""Which families a profile studies: the lists that are frozen, shown and evaluated."""

from __future__ import annotations

from metastudy.errors import ParameterError
from metastudy.families.base import Family


def quick() -> tuple[Family, ...]:
    """Families on data that comes with the pinned packages."""
    from metastudy.families.digits import Digits
    from metastudy.families.search import DocumentationSearch
    from metastudy.families.sinusoid import Sinusoid
    from metastudy.families.summarization import DocumentationSummaries
    from metastudy.families.tables import MedicalTables

    return Sinusoid(), Digits(), DocumentationSummaries(), MedicalTables(), DocumentationSearch()


PROFILES = {"quick": quick}


def families(profile: str) -> tuple[Family, ...]:
    """The families of a profile. Raises ParameterError for another profile."""
    if profile not in PROFILES:
        raise ParameterError(f"profile {profile!r} has no families; expected one of {', '.join(PROFILES)}")
    return PROFILES[profile]()
