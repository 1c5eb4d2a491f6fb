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


def full() -> tuple[Family, ...]:
    """Families on public data (data/registry.yaml), and the sinusoid with more tasks."""
    from metastudy.families.diseases import Diseases
    from metastudy.families.hospitals import Hospitals
    from metastudy.families.omniglot import Omniglot
    from metastudy.families.omniglot_challenge import BACKGROUNDS, OmniglotChallenge
    from metastudy.families.public_search import PublicSearch
    from metastudy.families.public_summaries import PublicSummaries
    from metastudy.families.search_feedback import SearchFeedback
    from metastudy.families.sinusoid import Sinusoid
    from metastudy.families.texts import Intents, Symptoms

    return (
        Sinusoid(n_test=1000),
        Omniglot(),
        *(OmniglotChallenge(background=background) for background in BACKGROUNDS),
        PublicSummaries(),
        PublicSummaries(hold_out="family"),
        Diseases(),
        Hospitals(),
        PublicSearch(),
        SearchFeedback(),
        Intents(),
        Symptoms(),
    )


def encoded() -> tuple[Family, ...]:
    """Families of profile full whose tasks depend on a pretrained encoder (some 18,000 pages to encode, once)."""
    from metastudy.families.search_feedback import SearchFeedback
    from metastudy.minilm import MiniLM
    from metastudy.vector_cache import CachedEncoder

    return (SearchFeedback(encoder=CachedEncoder(MiniLM())),)


PROFILES = {"quick": quick, "full": full}


def families(profile: str) -> tuple[Family, ...]:
    """The families of a profile. Raises ParameterError for another profile."""
    if profile not in PROFILES:
        raise ParameterError(f"profile {profile!r} has no families; expected one of {', '.join(PROFILES)}")
    return PROFILES[profile]()
