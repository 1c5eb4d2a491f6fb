"""Pieces of work on threads: each computes alone, and nothing is left behind."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from metastudy.threads import map_in_threads, n_threads, one_thread_each


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_pieces_run_side_by_side_in_order_and_alone(two_threads) -> None:
    both = threading.Barrier(2, timeout=30)  # passes only when two pieces wait at it together

    def piece(i: int) -> tuple[int, int, int, bool]:
        both.wait()
        return i, torch.get_num_threads(), n_threads(), threading.current_thread() is threading.main_thread()

    assert map_in_threads(piece, range(4)) == [(i, 1, 1, False) for i in range(4)]
    assert torch.get_num_threads() == 2 and in_a_new_thread() == 2


def test_one_thread_needs_no_other() -> None:
    assert torch.get_num_threads() == 1  # as `helpers` sets it
    caller = threading.current_thread()
    assert map_in_threads(lambda _: threading.current_thread(), range(3)) == [caller] * 3


def test_a_piece_inside_a_piece_stays_in_its_thread(two_threads) -> None:
    def outer(_: int) -> set[threading.Thread]:
        return {*map_in_threads(lambda _: threading.current_thread(), range(3)), threading.current_thread()}

    assert all(len(threads) == 1 for threads in map_in_threads(outer, range(2)))


def test_one_thread_each_keeps_the_right_to_two(two_threads) -> None:
    with one_thread_each():
        assert torch.get_num_threads() == 1 and n_threads() == 2
        with one_thread_each():
            assert torch.get_num_threads() == 1 and n_threads() == 2
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2 and n_threads() == 2


def test_an_exception_comes_out_and_stops_what_has_not_begun(two_threads) -> None:
    begun = []

    def piece(i: int) -> None:
        begun.append(i)
        if i == 0:
            raise ArithmeticError("piece 0")
        time.sleep(0.01)

    with pytest.raises(ArithmeticError, match="piece 0"):
        map_in_threads(piece, range(500))
    assert len(begun) < 500
    assert torch.get_num_threads() == 2 and in_a_new_thread() == 2


def test_nothing_to_do() -> None:
    assert map_in_threads(str, []) == []
