"""The trials of the one-shot challenge that a model gets wrong, with the drawings that it confused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metastudy.families.base import TaskSpec
from metastudy.families.omniglot_challenge import OmniglotChallenge
from metastudy.methods import Fitted


def mistakes(
    fitted: Fitted, family: OmniglotChallenge, specs: Sequence[TaskSpec]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """One row a mistake, the most confident first: run, item, chosen, right, p_chosen, p_right; and the pictures
    (N, s, s) from 0 to 1 of the drawings "asked", "chosen" and "right", in the same order."""
    rows, pictures = [], []
    for spec in specs:
        task = family.build(spec, 1, family.folds()[0])
        probability = fitted.predict([task], 1)[0]
        for i, (p, right) in enumerate(zip(probability, task.query_y.tolist(), strict=True)):
            chosen = int(p.argmax())
            if chosen != right:
                names = task.query_ids[i], task.class_names[chosen], task.class_names[right]
                rows.append((spec.family, *(n.split("/")[-1] for n in names), float(p[chosen]), float(p[right])))
                drawings = task.query_x[i], task.support_x[chosen], task.support_x[right]
                pictures.append([x[0].numpy() for x in drawings])
    frame = pd.DataFrame(rows, columns=["run", "item", "chosen", "right", "p_chosen", "p_right"])
    order = frame["p_chosen"].sort_values(ascending=False, kind="stable").index
    side = family.side
    stacked = np.array(pictures).reshape(len(rows), 3, side, side)[order.to_numpy()]
    drawn = {name: stacked[:, i] for i, name in enumerate(("asked", "chosen", "right"))}
    return frame.loc[order].reset_index(drop=True), drawn
