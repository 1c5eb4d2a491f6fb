"""Tasks over items that are not independent: a group is never on both sides of one, nor in two queries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from metastudy.errors import DataError
from metastudy.families.base import Fold, Ids, TaskSpec


def apart(domain: str, groups: Mapping[str, str], shots: int, queries: int) -> tuple[Ids, Ids]:
    """Support and query from `groups` (id -> group) in random order.

    The query is whole groups, met from place `shots` on, until it has `queries` items (of more, the first); no other
    item of its groups is in support. Where every item is a group of its own, these are the first `shots` and those
    after them. Raises DataError where too few are left on either side.
    """
    members: dict[str, list[str]] = {}
    for i, group in groups.items():
        members.setdefault(group, []).append(i)
    held: set[str] = set()
    query: list[str] = []
    for i in list(groups)[shots:]:
        found = members[groups[i]]
        if len(query) < queries and groups[i] not in held and len(groups) - len(query) - len(found) >= shots:
            held.add(groups[i])
            query += found
    support = [i for i, group in groups.items() if group not in held][:shots]
    if len(support) < shots or not query:
        raise DataError(
            f"{domain}: {len(groups)} documents in {len(members)} groups are too few for {shots} in support and others "
            "as query; ask for fewer shots"
        )
    return tuple(support), tuple(query[:queries])


def grouped_draws(
    domain: str, fold: Fold, groups: Mapping[str, str], draws: int, support: int, queries: int, rng: np.random.Generator
) -> list[TaskSpec]:
    """`draws` tasks over the documents of `groups` (id -> group): no group is in two queries, none on both sides.

    Queries are whole groups, as many as come closest to an equal share of the documents, at most `queries` documents;
    support is drawn from all other groups. Where every document is a group of its own this is `disjoint_draws`.
    Raises DataError where there are too few documents or groups.
    """
    ids = list(groups)
    size = min(queries, len(ids) // draws)
    order = [ids[i] for i in rng.permutation(len(ids))]
    waiting = list(dict.fromkeys(groups[i] for i in order))
    specs = []
    for draw in range(draws):
        query: list[str] = []
        held: set[str] = set()
        while waiting and len(query) < size:
            found = [i for i in order if groups[i] == waiting[0]]
            if query and len(query) + len(found) - size > size - len(query):
                break
            query += found
            held.add(waiting.pop(0))
        others = [i for i in order if groups[i] not in held]
        if not query or len(others) < support:
            raise DataError(
                f"{domain}: {len(ids)} documents in {len(set(groups.values()))} groups are too few for {draws} draws "
                f"with {support} in support; ask for fewer draws"
            )
        chosen = tuple(others[i] for i in rng.permutation(len(others))[:support])
        specs.append(TaskSpec(f"{domain}/{draw}", domain, fold.name, (chosen,), tuple(query[:queries])))
    return specs
