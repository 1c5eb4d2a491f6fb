"""People's own texts as a task: their examples are its support, the texts to summarise its query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from metastudy.families.selection import choose
from metastudy.families.sentence_rows import SentenceRows
from metastudy.families.summary_family import Document
from metastudy.tasks import Task
from metastudy.text import rouge1


@dataclass(frozen=True, eq=False)
class Examples:
    """Documents with their summaries, what makes input rows of sentences, and how many words a summary may have.

    Rows of the support are named by the place of their document, from 0.
    """

    documents: Sequence[Document]
    rows: SentenceRows
    n_words: float
    _rouge1: dict[tuple[int, tuple[int, ...]], float] = field(default_factory=dict, init=False, repr=False)

    def task(self, texts: Sequence[Sequence[str]]) -> Task:
        """The examples as labelled groups, `texts` as the groups to rank."""
        own = [d.sentences for d in self.documents]
        support_group, query_group = numbered(own), numbered(texts)
        query_x = torch.cat(self.rows(texts))
        return Task(
            "own texts", "own texts", "ranking",
            torch.cat(self.rows(own)), torch.cat([d.gains for d in self.documents]), query_x, torch.zeros(len(query_x)),
            support_group=support_group, query_group=query_group, support_ids=tuple(map(str, support_group.tolist())),
        )  # fmt: skip

    def quality(self, task: Task, scores: Tensor) -> list[float]:
        """ROUGE-1, 0 to 100, of the summaries that `scores` (Q,) make of the examples whose rows are the task's query.

        Kept, since many mixtures choose the same.
        """
        places = np.array(task.query_ids, dtype=np.int64)
        found = []
        for place in dict.fromkeys(places.tolist()):
            document = self.documents[place]
            picks = choose(scores.numpy()[places == place], document.for_selection, self.n_words)
            if (place, picks) not in self._rouge1:
                summary = " ".join(document.sentences[i] for i in picks)
                self._rouge1[place, picks] = rouge1(summary, document.summaries)
            found.append(self._rouge1[place, picks])
        return found


def numbered(documents: Sequence[Sequence[str]]) -> Tensor:
    """0 for the sentences of the first document, 1 for those of the second: (sentences of all,)."""
    return torch.from_numpy(np.repeat(np.arange(len(documents)), [len(d) for d in documents]))
