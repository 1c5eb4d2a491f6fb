"""One query before and after feedback, and why a page moved."""

from __future__ import annotations

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from torch import Tensor

from metastudy import loaders
from metastudy.errors import ParameterError
from metastudy.families.candidates import PARTS, to_search
from metastudy.families.collection import Collection
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback.learned_columns import COLUMNS, of_task
from metastudy.feedback.ranker import Weights
from metastudy.tasks import Task

IN_WORDS = {
    "words of the query": ("bm25",),
    "meaning of the query": ("dense",),
    "topic of the query": ("lsa",),
    "words of relevant pages": ("bm25_positive", "tfidf_positive", "tfidf_nearest"),
    "meaning of relevant pages": ("dense_positive", "dense_nearest"),
    "topic of relevant pages": ("lsa_positive", "lsa_nearest"),
    "like pages judged not relevant": ("dense_negative", "bm25_negative", "tfidf_negative", "lsa_negative"),
    "query and typical words of relevant pages": ("rm3_30_0.5", "rm3_100_0.5", "bo1_30", "bo1_100"),
    "words in the title": ("title", "title_positive"),
    "words akin to the query's": ("late",),
    "words akin to those of relevant pages": ("late_positive",),
    "neighbours that score well": ("propagated_dense", "propagated_lsa"),
}
"""What `learned_columns` look at, as a reader would say it. A column that is not here goes by its own name."""


def contributions(family: SearchFeedback, task: Task, weights: Weights) -> pd.DataFrame:
    """What each column adds to a candidate's score, weight times value, β_j(k) ψ_j: a row a page, a column a column.

    Raises ParameterError where no judged page is relevant: nothing is adapted then.
    """
    with threadpool_limits(1):  # sums that repeat, whatever the number of cores
        x, positives = of_task(family, task)
    if not positives:
        raise ParameterError(f"task {task.id}: no judged page is relevant, so g ranks without feedback; ask of another")
    own = [COLUMNS.index(name) for name in weights.columns]
    pages = [row.split("|")[1] for row in task.query_ids]
    values = x[:, own] * weights.at(len(task.support_y) - 1).numpy()
    return pd.DataFrame(values, index=pages, columns=list(weights.columns))


def asked_and_judged(family: SearchFeedback, task: Task) -> str:
    """What was asked and what was judged, to print above `before_and_after`: a line each, relevant with a star."""
    collection, query = texts(task.family), task.query_ids[0].split("|")[0]
    judged = family.results(task.family)[query].judged[: len(task.support_y) - 1]
    lines = [
        f"judged {_star(grade) or 'not relevant'}: {collection.summaries[collection.position[page]]}"
        for page, grade in zip(judged, task.support_y.tolist(), strict=False)
    ]
    return "\n".join([f"query {query}: {collection.asked[collection.queries.index(query)]}", *lines])


def before_and_after(
    family: SearchFeedback, task: Task, before: Tensor, after: Tensor, weights: Weights, n: int = 10, reasons: int = 3
) -> pd.DataFrame:
    """The first n results before and after feedback, and why g put a page where it is.

    `before` and `after` are predictions (Q,), the latter of g with `weights` (`FeedbackRanker.train`, of the same fold
    and seed). A row a page that is among the first n of either, in the new order. Columns: new and old, ranks among
    the pages that nobody judged; relevant, a star and the grade; page, its title line; why: what set its score apart
    from the mean of the new first n most, as sums of `contributions` over the columns of `IN_WORDS`, in units of the
    score. Raises ParameterError where `after` is not what these weights say.
    """
    added = contributions(family, task, weights)
    if not np.allclose(added.sum(axis=1), after.double().numpy(), atol=1e-6):
        raise ParameterError(f"task {task.id}: `after` is not what these weights say; train them on its fold and seed")
    words = {column: phrase for phrase, columns in IN_WORDS.items() for column in columns}
    by_phrase = added.T.groupby([words.get(column, column) for column in added], sort=False).sum().T
    old, new = ({page: i + 1 for i, page in enumerate(family.ranking(task, p))} for p in (before, after))
    first = [page for page, rank in new.items() if rank <= n]
    apart = by_phrase - by_phrase.loc[first].mean()
    collection, rows = texts(task.family), []
    grades = family.found[task.family].relevant[task.query_ids[0].split("|")[0]]
    for page in [page for page, rank in new.items() if rank <= n or old[page] <= n]:
        most = apart.loc[page].sort_values(key=np.abs, ascending=False, kind="stable")[:reasons]
        why = ", ".join(f"{phrase} {value:+.2f}" for phrase, value in most.items() if abs(value) >= 0.005)
        line = collection.summaries[collection.position[page]]
        rows.append((new[page], old[page], _star(grades.get(page, 0)), line, why))
    return pd.DataFrame(rows, columns=["new", "old", "relevant", "page", "why"])


def _star(grade: float) -> str:
    return f"★ {grade:g}" if grade > 0 else ""


def texts(name: str) -> Collection:
    """A collection's pages and queries."""
    return to_search(loaders.load(name), PARTS.get(name))
