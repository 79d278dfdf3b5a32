"""What is still to be measured on each kind of device, and who does it: no process is started here, nothing is sent."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

MAX_TRIES = 3
"""How often a cell is begun whose node is lost under it."""


@dataclass(eq=False)
class Task:
    """Cells of one training, or one that needs none: what a device is given at once."""

    kind: str
    """Of device, by its slug."""
    left: list[str]
    """Ids of the cells that have no record yet, in the order they are measured."""
    avoid: set[str] = field(default_factory=set)
    """Nodes that were lost with it."""
    lost: Counter[str] = field(default_factory=Counter)
    """How often each cell was lost with its node."""


class Board:
    """Hands out tasks, and takes back those of lost nodes.

    Args:
        groups: Ids of the cells, those of one training together, in the order of the plan.
        is_finished: Whether a kind of device has answered a cell.
    """

    def __init__(self, groups: Sequence[Sequence[str]], is_finished: Callable[[str, str], bool]) -> None:
        self._groups, self._is_finished = groups, is_finished
        self._waiting: dict[str, deque[Task]] = {}
        self._running: set[Task] = set()
        self._waiting_count = Counter[str]()
        """Cells of each kind that nobody measures yet: asked for with every record."""
        self.finished_count = 0
        """Cells, over all kinds, that had their record before."""
        self.total = 0
        """Cells, over all kinds, that are to be measured or were in this run."""
        self.answered_count = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of devices that were seen."""
        return tuple(self._waiting)

    @property
    def is_done(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._running and not any(self._waiting.values())

    def add_kind(self, kind: str) -> None:
        """List what a kind of device is to measure; one that is known keeps its list."""
        if kind in self._waiting:
            return
        tasks = self._waiting[kind] = deque()
        for group in self._groups:
            left = [cell for cell in group if not self._is_finished(cell, kind)]
            self.finished_count += len(group) - len(left)
            self.total += len(left)
            if left:
                tasks.append(Task(kind, left))
                self._waiting_count[kind] += len(left)

    def waiting(self, kind: str) -> int:
        """Cells of a kind that nobody measures yet."""
        return self._waiting_count[kind]

    def left(self, kind: str) -> int:
        """Cells of a kind without a record."""
        return self.waiting(kind) + sum(len(task.left) for task in self._running if task.kind == kind)

    def take(self, kind: str, node: str, others: Collection[str]) -> Task | None:
        """Take the next task for a device; none that was lost on its node, where another node could do it.

        Args:
            kind: Of the device.
            node: Where it is.
            others: Other nodes with such a device.
        """
        tasks = self._waiting.get(kind, deque())
        for task in tasks:
            if node not in task.avoid or not set(others) - task.avoid:
                tasks.remove(task)
                self._waiting_count[kind] -= len(task.left)
                self._running.add(task)
                return task
        return None

    def answer(self, task: Task, cell: str) -> int:
        """Note that a cell has its record; return the try that it took."""
        task.left.remove(cell)
        self.answered_count += 1
        return task.lost[cell] + 1

    def leave(self, task: Task, cells: Collection[str]) -> None:
        """Take cells off a task that somebody else answers."""
        self.total -= len(cells)
        task.left = [cell for cell in task.left if cell not in cells]

    def end(self, task: Task) -> list[str]:
        """Note that a device is through with a task; return the cells that it gave no record of."""
        self._running.discard(task)
        return task.left

    def lose(self, task: Task, node: str) -> str | None:
        """Take a task back from a node that is gone; return the cell that it was lost with for the last time."""
        self._running.discard(task)
        task.avoid.add(node)
        given_up = None
        if task.left:
            first = task.left[0]
            task.lost[first] += 1
            if task.lost[first] >= MAX_TRIES:
                given_up = first
                task.left.remove(first)
                self.answered_count += 1
        if task.left:
            self._waiting[task.kind].appendleft(task)
            self._waiting_count[task.kind] += len(task.left)
        return given_up

    def drop(self, kinds: Iterable[str]) -> list[str]:
        """Take off what waits for these kinds of device; return its cells."""
        tasks = [task for kind in kinds for task in self._waiting.pop(kind, ())]
        self._waiting_count.subtract(task.kind for task in tasks for _ in task.left)
        return [cell for task in tasks for cell in task.left]
