"""Who measures which cell of a results folder, and what is finished: any number of processes share one folder.

The records themselves say what is finished. A claim is a lock in `.local/claims/` that goes with its process
(`zoo.locks`), so that what a dead process had claimed is free again. Whoever holds one looks again whether the cell was
finished meanwhile, and only then measures it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy.typing as npt

from zoo import locks, store
from zoo.bench.journal import Journal, Line
from zoo.bench.plan import Cell, Setting, cell_key, cell_twin, record_twin, trainings
from zoo.errors import UserError
from zoo.faults import how_to_write, reason
from zoo.files import short_hash
from zoo.record import Record


class Ledger:
    """What is finished in a results folder, as this process knows it: of cells it asks of, and no others.

    Args:
        results: The folder.
        folders: Its ids (`store.folder_ids`): records of others do not count.
        rerun: Nothing that is there now counts; what is added from now on does.
    """

    def __init__(self, results: Path | str, folders: Sequence[str], *, rerun: bool = False) -> None:
        self.results, self.folders, self._rerun = Path(results), tuple(folders), rerun
        self._lock = threading.RLock()
        self._journal = Journal(self.results)
        self._before, self._since = dict[str, list[str]](), dict[str, list[str]]()
        """Names of records that the journal has, by key and by twin, until they are read."""
        self._unlisted = dict[tuple[str, str], set[str]]()
        """Names of the records that are there now and that it may lack, by folder and conditions; likewise."""
        self._seen = set[str]()
        """Files that were read."""
        self._done = dict[str, tuple[datetime, Path]]()
        """Finished before, by key and by twin: the newest."""
        self._answered = dict[str, Path]()
        """Answered since, well or not, likewise: nothing is measured twice in one go."""
        for path in store.visible_files(self.results, ".json", lambda _error: None):
            place = os.fspath(path.parent), store.conditions_of(path.name)
            self._unlisted.setdefault(place, set()).add(path.name)

    @classmethod
    @contextmanager
    def open(cls, results: Path | str, *, rerun: bool = False) -> Iterator[Ledger]:
        """Open a folder to keep records in, beside others that do; it is made, and gets an id, where it has none.

        Raises:
            UserError: it cannot be written to, or cannot lock.
        """
        with store.opened(Path(results)) as folders:
            yield cls(results, folders, rerun=rerun)

    @property
    def folder(self) -> str:
        """The folder's own id, for `Record.folder`."""
        return self.folders[0]

    def finished(self, cell: Cell, setting: Setting) -> Record | None:
        """The record of a cell that need not be measured again.

        Made in this very folder, by this machine or one of its kind; ok, or of what does not run here, or answered
        whichever way since this ledger was opened.
        """
        path = self._path(cell, setting)
        return None if path is None else store.load(path)

    def finished_of(self, cells: Iterable[Cell], setting: Setting) -> set[str]:
        """Keys of those cells that need not be measured again."""
        return {cell_key(cell, setting) for cell in cells if self._path(cell, setting) is not None}

    @contextmanager
    def claimed(self, cells: Sequence[Cell], setting: Setting) -> Iterator[list[Cell]]:
        """Claim cells for as long as this context lasts; those that were free are yielded.

        Of those that wait for one training only one process has any.

        Raises:
            UserError: the folder cannot be written to, or cannot lock.
        """
        taken, mine = list[locks.Release](), list[Cell]()
        try:
            for together in trainings(cells):
                training = _training(together, setting)
                if training is None or self._take(training, taken):
                    mine += [cell for cell in together if self._take(cell_twin(cell, setting), taken)]
            yield mine
        finally:
            for release in reversed(taken):
                release()

    def holders(self, cells: Sequence[Cell], setting: Setting) -> list[str]:
        """Who has claimed these cells, or their training, as `locks.holder` says it; each once."""
        names = [name for cell in cells for name in (cell_twin(cell, setting), _training([cell], setting)) if name]
        said = [locks.holder(self._claim(name)) for name in dict.fromkeys(names)]
        return [one for one in dict.fromkeys(said) if one]

    def look_again(self, cells: Sequence[Cell], setting: Setting) -> None:
        """Take note of what other processes have kept of these cells since."""
        for cell in cells:
            self._look(_place(cell, setting)[0], _names(cell, setting))

    def keep(self, record: Record, samples: Mapping[str, npt.NDArray[Any]]) -> bool:
        """Keep a record with its samples; one of a cell that was answered since is dropped, and `False` is returned.

        Raises:
            UserError: the folder cannot be written to.
        """
        path, twin = store.result_path(record), record_twin(record)
        names = record.key, twin
        with self._lock:
            self._look(path.parent, names)
            if twin in self._answered:
                return False
            self._journal.add(path.parent, Line(*names, path.name))
            kept = store.save(record, samples, self.results)
            self._seen.add(os.fspath(kept))
            self._answered |= dict.fromkeys(names, kept)
            return True

    def _path(self, cell: Cell, setting: Setting) -> Path | None:
        names = _names(cell, setting)
        with self._lock:
            self._recall(*_place(cell, setting), names)
            for name in names:
                if name in self._answered:
                    return self._answered[name]
                if name in self._done:
                    return self._done[name][1]
        return None

    def _recall(self, folder: PurePosixPath, conditions: str, names: Sequence[str]) -> None:
        """Take note of a cell's records of before; by the journal, else of all that were made in its conditions."""
        place = os.fspath(self.results / folder)
        for line in self._journal.before(folder):
            self._unlisted.get((place, store.conditions_of(line.name)), set()).discard(line.name)
            _file(line, self._before)
        for name in self._unlisted.pop((place, conditions), ()):
            self._note(Path(place, name), was_before=True)
        self._note_lines(folder, names, self._before)

    def _look(self, folder: PurePosixPath, names: Sequence[str]) -> None:
        """Take note of a cell's records that came since."""
        with self._lock:
            for line in self._journal.since(folder):
                _file(line, self._since)
            self._note_lines(folder, names, self._since)

    def _note_lines(self, folder: PurePosixPath, names: Sequence[str], lines: dict[str, list[str]]) -> None:
        """Take note of a cell's records that have a line; a line comes first, so what is not there yet comes since."""
        for name in _take_out(names, lines):
            if not self._note(self.results / folder / name, was_before=lines is self._before):
                for known_by in names:
                    self._since.setdefault(known_by, []).append(name)

    def _note(self, path: Path, *, was_before: bool) -> bool:
        """Take note of a record; `False` where it cannot be read, or not yet."""
        if os.fspath(path) in self._seen:
            return True
        try:
            record = store.load(path)
        except UserError as error:
            return not isinstance(error.__cause__, OSError)  # else damaged: measured again
        self._seen.add(os.fspath(path))
        if record.folder not in self.folders:
            return True
        names = [name for name in (record.key, record_twin(record)) if name]
        if not was_before:
            self._answered |= dict.fromkeys(names, path)
        elif record.status in {"ok", "unsupported"} and not self._rerun:
            for name in names:
                self._done[name] = max(self._done.get(name, (record.started_at, path)), (record.started_at, path))
        return True

    def _claim(self, name: str) -> Path:
        return self.results / ".local" / "claims" / name

    def _take(self, name: str, taken: list[locks.Release]) -> bool:
        """Take one claim; whoever lets go of it removes its file, so that none are left over."""
        path = self._claim(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            release = locks.take(path, signed=True)
        except OSError as error:
            advice = how_to_write(error, "another folder with --results")
            raise UserError(f"cannot claim a cell in {self.results}: {reason(error)}; {advice}") from error
        if release is None:
            return False

        def let_go() -> None:
            with suppress(OSError):  # the folder may be gone
                path.unlink()
            release()

        taken.append(let_go)
        return True


def _names(cell: Cell, setting: Setting) -> tuple[str, str]:
    """What a cell's records are known by."""
    return cell_key(cell, setting), cell_twin(cell, setting)


def _file(line: Line, names: dict[str, list[str]]) -> None:
    for known_by in (line.key, line.twin):
        names.setdefault(known_by, []).append(line.name)


def _take_out(known_by: Iterable[str], names: dict[str, list[str]]) -> list[str]:
    return list(dict.fromkeys(name for one in known_by for name in names.pop(one, ())))


def _place(cell: Cell, setting: Setting) -> tuple[PurePosixPath, str]:
    """Folder of a cell's records, and what their names begin with."""
    folder = store.model_folder(setting.survey.device.slug, cell.spec.name)
    return folder, store.conditions(cell.runtime, cell.precision, setting.config.batch_size, cell.input_size)


def _training(cells: Sequence[Cell], setting: Setting) -> str | None:
    """What the training of cells is claimed by; `None` where nothing is to be trained."""
    training = cells[0].training if cells else None
    if training is None or cells[0].is_trained:
        return None
    assert setting.dataset is not None
    return f"train-{short_hash([*training, setting.dataset.fingerprint(), setting.survey.device.slug], 24)}"
