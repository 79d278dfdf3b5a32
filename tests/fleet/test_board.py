"""Who measures what: tasks go to the devices of a kind, come back from lost nodes, and end after three tries."""

from __future__ import annotations

import pytest

from zoo.fleet.board import MAX_TRIES, Board

GROUPS = [["a"], ["b1", "b2", "b3"], ["c"]]


@pytest.fixture
def board():
    made = Board(GROUPS, lambda cell, kind: (cell, kind) == ("c", "t4"))
    made.add_kind("t4")
    made.add_kind("a100")
    return made


def drain(board, kind, node):
    """Answer everything that a device of a kind is given."""
    answered = []
    while (task := board.take(kind, node, ())) is not None:
        for cell in list(task.left):
            assert board.answer(task, cell) == 1
            answered.append(cell)
        assert board.end(task) == []
    return answered


def test_each_kind_measures_each_cell_once(board):
    assert (board.total, board.finished_count) == (9, 1)
    assert drain(board, "t4", "n1") == ["a", "b1", "b2", "b3"]
    assert not board.is_done
    assert drain(board, "a100", "n2") == ["a", "b1", "b2", "b3", "c"]
    assert board.is_done
    assert board.answered_count == board.total
    board.add_kind("t4")
    assert board.is_done, "a kind that is known is not listed again"


def test_a_lost_task_is_done_elsewhere_and_goes_on_where_it_was(board):
    board.take("t4", "n1", {"n2"})
    task = board.take("t4", "n1", {"n2"})
    board.answer(task, "b1")
    assert board.lose(task, "n1") is None
    assert board.take("t4", "n1", {"n2"}) is None, "another node could do it"
    again = board.take("t4", "n2", {"n1"})
    assert again.left == ["b2", "b3"]
    assert [board.answer(again, cell) for cell in ("b2", "b3")] == [2, 1]


def test_the_node_it_was_lost_on_does_it_where_there_is_no_other(board):
    board.lose(board.take("t4", "n1", ()), "n1")
    assert board.take("t4", "n1", ()).left == ["a"]


def test_a_cell_is_given_up_after_three_tries_and_those_behind_it_go_on(board):
    first = board.take("t4", "n0", ())
    board.answer(first, "a")
    board.end(first)
    given_up = [board.lose(board.take("t4", f"n{number}", ()), f"n{number}") for number in range(MAX_TRIES)]
    assert given_up == [None, None, "b1"]
    rest = board.take("t4", "n9", ())
    assert rest.left == ["b2", "b3"]
    assert board.answer(rest, "b2") == 1
    assert board.left("t4") == 1


def test_what_no_device_is_left_for_is_dropped(board):
    task = board.take("t4", "n1", ())
    assert board.drop(["t4"]) == ["b1", "b2", "b3"]
    board.answer(task, "a")
    board.end(task)
    assert not board.is_done
    drain(board, "a100", "n2")
    assert board.is_done


def test_what_waits_is_counted_as_tasks_go_and_come_back(board):
    assert [board.waiting(kind) for kind in ("t4", "a100", "cpu")] == [4, 5, 0]
    board.take("t4", "n1", ())
    task = board.take("t4", "n1", ())
    assert (board.waiting("t4"), board.left("t4")) == (0, 4)
    board.answer(task, "b1")
    board.lose(task, "n1")
    assert (board.waiting("t4"), board.left("t4")) == (2, 3)
    assert board.drop(["t4"]) == ["b2", "b3"]
    assert (board.waiting("t4"), board.left("t4"), board.waiting("a100")) == (0, 1, 5)
