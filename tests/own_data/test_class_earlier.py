"""Earlier tasks that are always there, in the form of somebody's rows."""

from __future__ import annotations

import numpy as np
import pytest

from metastudy.own_data.class_earlier import N_QUERY, Domain, EarlierTasks, as_columns, table_tasks, text_tasks


def lengths(texts: list[str]) -> np.ndarray:
    """Two numbers a text, made by hand: how many words, how many letters."""
    return np.array([[len(t.split()), len(t)] for t in texts], dtype=np.float32)


@pytest.fixture(scope="module")
def texts() -> EarlierTasks:
    return text_tasks(lengths, dim=2, ways=4, shots=5, n_words=16)


def test_docstrings_are_cut_and_every_domain_has_classes_enough(texts: EarlierTasks) -> None:
    assert not set(texts.train) & set(texts.validation)
    for domain in (*texts.train.values(), *texts.validation.values()):
        assert len(domain.classes) >= 4
        assert min(map(len, domain.classes.values())) >= 5 + N_QUERY
        rows = np.concatenate(list(domain.classes.values()))
        assert len(set(rows.tolist())) == len(rows) == len(domain.x)
        assert domain.x[:, 0].max() == 16


def test_training_and_validation_share_no_library() -> None:
    many = text_tasks(lengths, dim=2, ways=30, shots=10, n_words=8)
    modules = [{c.split(".")[0] for d in part.values() for c in d.classes} for part in (many.train, many.validation)]
    assert not modules[0] & modules[1]
    assert all(len(d.classes) > 13 for d in many.train.values())  # more than a library has


@pytest.mark.parametrize("part", ["train", "validation"])
def test_support_and_query_of_a_draw_are_other_rows_of_its_classes(texts: EarlierTasks, part: str) -> None:
    numbered = {n: Domain(np.arange(len(d.x), dtype=np.float32)[:, None], d.classes) for n, d in texts.train.items()}
    tasks = EarlierTasks(numbered, numbered, 1, 4, mixed=False)
    name, classes, support, query = tasks.draw(part, 5, np.random.default_rng(0))
    assert support.shape == (4, 5, 1) and query.shape == (4, N_QUERY, 1)
    for c, s, q in zip(classes, support, query, strict=True):
        rows = {*s[:, 0].tolist(), *q[:, 0].tolist()}
        assert len(rows) == 5 + N_QUERY
        assert rows <= set(numbered[name].classes[c.removeprefix(f"{name}/")].tolist())


def test_more_shots_than_there_are_rows_become_as_many_as_there_are(texts: EarlierTasks) -> None:
    _, _, support, query = texts.draw("train", 500, np.random.default_rng(0))
    assert 5 <= support.shape[1] <= 20 and query.shape[1] == N_QUERY


@pytest.mark.parametrize(("dim", "ways"), [(1, 2), (7, 3), (100, 12)])
def test_tables_have_as_many_columns_as_asked(dim: int, ways: int) -> None:
    tasks = table_tasks(dim, ways)
    for part, most in (("train", 6), ("validation", 4)):
        for seed in range(5):
            _, classes, support, query = tasks.draw(part, 3, np.random.default_rng(seed))
            assert support.shape[2] == query.shape[2] == dim
            assert 2 <= len(classes) <= min(ways, most)
            assert np.isfinite(support).all()


def test_columns_are_standardised_whether_chosen_or_mixed() -> None:
    domain = np.random.default_rng(0).normal(3, 2, size=(50, 4))
    for seed in range(6):
        rows = as_columns(domain, domain, 3, np.random.default_rng(seed))
        np.testing.assert_allclose(rows.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(rows.std(0), 1, rtol=1e-4)


def test_training_digits_are_other_digits_than_those_that_validate() -> None:
    tasks = table_tasks(5, 6)
    assert not set(tasks.train["digits"].classes) & set(tasks.validation["digits"].classes)
