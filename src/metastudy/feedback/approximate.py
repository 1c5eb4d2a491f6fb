"""nDCG@10 made smooth, so that gradients can raise it."""

from __future__ import annotations

import torch
from torch import Tensor

DEPTH = 10


def smooth_ndcg(scores: Tensor, grades: Tensor, ideal: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Approximate nDCG@10 with linear gains of each of Q queries with n candidates: (Q,).

    Qin, Liu and Li 2010 (Information Retrieval 13, eq. 6 and 12): the rank of a page is 1 plus how many others are
    above it, each counted by a logistic function of the difference of scores over `temperature`; whether a rank is
    within the first ten is a logistic function too. As the temperature goes to 0, ranks become the exact ones.

    Shapes: scores, grades and mask (Q, n), mask False where there is no candidate; ideal (Q,): DCG@10 of the best
    ranking of all pages, also of those that are no candidates.
    """
    above = (scores[:, None, :] - scores[:, :, None]) / temperature  # [q, i, j]: is j above i?
    counted = mask[:, None, :] & ~torch.eye(scores.shape[1], dtype=torch.bool)
    rank = 1 + (torch.sigmoid(above) * counted).sum(2)
    within = torch.sigmoid(DEPTH + 0.5 - rank)
    return (grades * mask * within / torch.log2(1 + rank)).sum(1) / ideal


def ideal_dcg(grades: Tensor) -> Tensor:
    """DCG@10 of grades that are given best first, (Q, 10): (Q,)."""
    return grades @ (1 / torch.log2(torch.arange(2.0, DEPTH + 2)))


def listwise_loss(scores: Tensor, grades: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy between the shares of grades and the softmax of scores (ListNet with top-one probabilities of the
    grades themselves; Cao et al. 2007, eq. 5): (Q,), 0 for a query without a relevant candidate."""
    log_p = torch.log_softmax(scores.masked_fill(~mask, -torch.inf), dim=1).masked_fill(~mask, 0.0)
    total = grades.sum(1, keepdim=True)
    return -(grades / total.clamp(min=1e-9) * log_p).sum(1)
