"""The `results/` folder: one JSON per measured cell with its samples beside it, small enough to be committed.

The path of a file is a pure function of its record, and writing is atomic: a reader, a second sweep or a pulled plug
never sees half a record. Nothing here deletes or rewrites a file that is already there.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from zoo import files, locks
from zoo.collector import paused
from zoo.errors import UserError, counted, listed
from zoo.faults import how_to_read, how_to_write, reason
from zoo.lazy import Lazy

if TYPE_CHECKING:
    import secrets

    import numpy as np
    import numpy.typing as npt
    import pydantic

    from zoo import allowed
    from zoo import record as records
    from zoo.record import Record
    from zoo.spec import Size
else:  # kept rows are read without them
    np, pydantic, secrets = Lazy("numpy"), Lazy("pydantic"), Lazy("secrets")
    allowed, records = Lazy("zoo.allowed"), Lazy("zoo.record")

DEFAULT = Path("results")
SHIPPED = "shipped"
"""Names the records that came with zoo, where no folder is called so."""
HOW_TO_MAKE_RECORDS = (
    "make some with `zoo bench --models all`, or name another folder with --results: "
    f"{SHIPPED} for the records that came with zoo"
)
MEND = "fetch it again from where it was measured, or remove it and measure the cell anew"
AHEAD = timedelta(days=1)
"""How far a machine's clock may go before that of another."""
IDENTITY_S = 10.0
"""How long to wait for another process that gives a new folder its id."""
NO_FOLDER = f"no records in {DEFAULT} here: these came with zoo; `zoo bench --models all` measures this machine"

_encoded = json.JSONEncoder(allow_nan=False, sort_keys=True).encode  # `json.dumps` would make one for each value


class Run(Protocol):
    """What was measured once: a record, or its row."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def started_at(self) -> datetime: ...  # noqa: D102


AnyRun = TypeVar("AnyRun", bound=Run)


@dataclass(frozen=True)
class Scan:
    """What a results folder holds: its records, ordered by path, and one line for every file that is none."""

    records: tuple[Record, ...]
    warnings: tuple[str, ...]


def result_path(record: Record) -> PurePosixPath:
    """Return where a record belongs below `results/`: `<device>/<model>/<condition>-<key>-<UTC time>.json`."""
    artifact = record.artifact
    started = record.started_at.astimezone(UTC)
    condition = [conditions(artifact.runtime, artifact.precision, artifact.batch_size, artifact.input_size)]
    if record.dataset is not None:
        condition.append(record.dataset.name)
    if artifact.weights.recipe != "none":
        condition.append(artifact.weights.recipe)
    if record.quick:
        condition.append("quick")
    if record.paced is not None:
        condition.append(f"{record.paced.rate_hz:g}hz")
    condition += [record.key[:8], f"{started:%Y%m%dT%H%M%S}.{started.microsecond // 1000:03d}Z"]
    return model_folder(record.device.slug, artifact.model) / f"{'-'.join(map(_slug, condition))}.json"


def conditions(runtime: str, precision: str, batch_size: int, input_size: Size) -> str:
    """Return what the names of all records begin with that were measured in these conditions."""
    height, width = input_size
    return "-".join(_slug(part) for part in (runtime, precision, f"b{batch_size}", f"{height}x{width}"))


def conditions_of(name: str) -> str:
    """Return the `conditions` that a record's file name begins with."""
    return "-".join(name.split("-", 4)[:4])


def model_folder(device: str, model: str) -> PurePosixPath:
    """Return where a model's records of a kind of device belong below `results/`."""
    return PurePosixPath(_slug(device), _slug(model))


def save(record: Record, samples: Mapping[str, npt.NDArray[Any]], results: Path) -> Path:
    """Write a record and its raw samples (`.npz` beside it, none when `samples` is empty); return the JSON's path.

    Raises:
        UserError: the folder cannot be written to, or the disk is full. Nothing half-written stays behind.
    """
    path, sidecar = results / result_path(record), None
    if samples:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **samples)
        sidecar = buffer.getvalue()
    put(path, to_json(record).encode(), sidecar)
    return path


def put(path: Path, content: bytes, sidecar: bytes | None) -> None:
    """Write a record's JSON and, where it has samples, its sidecar beside it, whole or not at all.

    Raises:
        UserError: the folder cannot be written to, or the disk is full. Nothing half-written stays behind.
    """
    contents = {path: content}
    if sidecar is not None:
        contents = {path.with_suffix(".npz"): sidecar, **contents}
    try:
        files.write_all(contents)  # the JSON last: it says that the record is whole
    except OSError as error:
        raise _unwritable(path.parent, error, "a record to") from error


def folder_to_read(results: Path | str | None) -> tuple[Path, tuple[str, ...]]:
    """Return the folder that a reader means, and a line where it may not expect it.

    The one it named, else `results` of the working directory if it holds any, else the records that are shipped.
    """
    given = Path(DEFAULT if results is None else results)
    try:
        is_meant = given.exists() and (results is not None or _may_hold_records(given))
    except OSError as error:  # of a name that is too long
        raise UserError(f"{given}: {reason(error)}; {how_to_read(error)}") from error
    if (results is None or str(results) == SHIPPED) and not is_meant and (shipped := _shipped()):
        return shipped, () if results else (NO_FOLDER,)
    return given, ()


def _may_hold_records(folder: Path) -> bool:
    """Whether a folder holds the file of one, or what cannot be listed; no more is looked at than that takes."""
    errors = list[OSError]()
    return any(visible_names(folder, ".json", errors.append)) or bool(errors)


def shipped_of(device: str) -> str:
    """Return where a device that is not in a folder is found, as a sentence after a space; empty where it is not."""
    shipped = _shipped()
    known = shipped and not Path(SHIPPED).exists() and (shipped / model_folder(device, "")).parent.is_dir()
    return f" Its records came with zoo: --results {SHIPPED}." if known else ""


def _shipped() -> Path | None:
    """Return where the records are that came with zoo: inside an installed wheel, or of the checkout."""
    package = Path(__file__).parent
    return next((at for at in (package / DEFAULT, package.parent / DEFAULT) if at.is_dir()), None)


def scan(results: Path, *, history: bool = False, required: bool = False) -> Scan:
    """Read every `*.json` below `results`.

    Damaged, foreign and too new files are skipped with a warning that names them; nothing is changed.

    Args:
        results: The folder. A missing one holds no records.
        history: All runs of a cell; otherwise the newest of each key.
        required: The caller can do nothing without records.

    Raises:
        UserError: `required`, and there is no readable record.
    """
    records, warnings = read_all(results, lambda name: load(Path(name)), required=required)
    return Scan(tuple(records if history else newest(records)), warnings)


@paused()
def read_all(
    results: Path,
    read: Callable[[str], AnyRun],
    *,
    required: bool,
    ahead: Callable[[Sequence[str]], None] = lambda _: None,
) -> tuple[list[AnyRun], tuple[str, ...]]:
    """Read every `*.json` below `results` by `read`; return what it found, and a line for each file it refused.

    `ahead` is told of all of them before the first is read.

    Raises:
        UserError: `required`, and there is no readable record.
    """
    found: list[AnyRun] = []
    warnings: list[str] = []

    def warn(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):  # none, or gone since it was listed
            warnings.append(f"skipped {error.filename}: {error.strerror}")

    names = list(visible_names(results, ".json", warn))
    ahead(names)
    last, future = datetime.now(UTC) + AHEAD, list[str]()
    for name in names:
        try:
            found.append(one := read(name))
        except UserError as error:
            warnings.append(f"skipped {error}")
        else:
            if one.started_at > last:
                future.append(name)
    if future:
        warnings.append(
            f"by their own word these began in the future, and count as older than all others: {listed(future)}; "
            "correct the clock that is wrong, here or there"
        )
    if required and not found:
        refuse_file(results)
        what = "holds no records" if results.is_dir() else "does not exist"
        unread = f" ({counted(len(warnings), 'file')} could not be read; {warnings[0]})" if warnings else ""
        raise UserError(f"{results} {what}{unread}; {HOW_TO_MAKE_RECORDS}")
    return found, tuple(warnings)


def refuse_file(results: Path) -> None:
    """See that what is named as a results folder is no file.

    Raises:
        UserError: it is one.
    """
    if results.is_file():
        raise UserError(f"{results} is a file; name the folder of the records with --results")


def newest(records: Sequence[AnyRun]) -> list[AnyRun]:
    """Keep the newest record, or row, of each key, in their order."""
    found: dict[str, AnyRun] = {}
    key = when()
    for record in records:
        if record.key not in found or key(found[record.key]) <= key(record):
            found[record.key] = record
    return [record for record in records if found[record.key] is record]


@contextlib.contextmanager
def locked(results: Path) -> Iterator[tuple[str, ...]]:
    """Open a results folder and hold it against other merges; the lock goes with the process, however it ends.

    Yields:
        The folder's ids, as `opened`.

    Raises:
        UserError: another merge holds the folder, or it cannot be written to.
    """
    with opened(results) as folders, _lock(results):
        yield folders


@contextlib.contextmanager
def opened(results: Path) -> Iterator[tuple[str, ...]]:
    """Open a results folder to add records to it, beside others that do; it is made where there is none.

    Yields:
        The folder's ids (`folder_ids`); a new one gets its own.

    Raises:
        UserError: it cannot be written to.
    """
    local = results / ".local"
    try:
        local.mkdir(parents=True, exist_ok=True)
        files.remove_leftovers(results)
    except OSError as error:
        raise _unwritable(results, error) from error
    folders = folder_ids(results)
    if not folders:  # new, or cut short
        with _lock(results, patience_s=IDENTITY_S):
            folders = folder_ids(results) or (secrets.token_hex(8),)
            try:
                _write_identity(local, folders)
            except OSError as error:
                raise _unwritable(results, error) from error
    try:
        yield folders
    finally:
        if results.is_dir() and not (local / "id").exists():  # deleted under the sweep; what it saved since counts
            with contextlib.suppress(OSError):
                _write_identity(local, folders)


@contextlib.contextmanager
def _lock(results: Path, *, patience_s: float = 0.0) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.hold(results / ".local" / "lock", patience_s=patience_s))
        except locks.HeldError as held:
            raise UserError(f"another merge writes to {results}{held}; wait for it, or name another folder") from held
        except OSError as error:
            raise _unwritable(results, error) from error
        yield


def _unwritable(folder: Path, error: OSError, what: str = "to") -> UserError:
    return UserError(f"cannot write {what} {folder}: {reason(error)}; {how_to_write(error, 'another results folder')}")


def folder_ids(results: Path) -> tuple[str, ...]:
    """Random ids of a results folder: its own first, then those of folders that were merged into it.

    They stand in `.local/`, which git ignores, so that a checkout never carries them along: a record is the folder's
    own where `Record.folder` is one of them. Empty: nothing was measured into it yet.
    """
    identity = results / ".local" / "id"
    return tuple(identity.read_text(encoding="utf-8", errors="replace").split()) if identity.is_file() else ()


def add_folder_ids(results: Path, ids: Iterable[str]) -> None:
    """From now on count the records of other folders, by these ids, as a folder's own; it is `locked`.

    Raises:
        UserError: it cannot be written to.
    """
    known = folder_ids(results)
    new = [one for one in dict.fromkeys(ids) if one not in known]
    try:
        if new:
            _write_identity(results / ".local", (*known, *new))
    except OSError as error:
        raise _unwritable(results, error) from error


def visible_files(folder: Path, ending: str, on_error: Callable[[OSError], None]) -> list[Path]:
    """Every file of an ending below a folder, sorted; not those that are hidden, and no pipe, which would never end."""
    return [Path(name) for name in visible_names(folder, ending, on_error)]


def visible_names(folder: Path, ending: str, on_error: Callable[[OSError], None]) -> Iterator[str]:
    """The same as text, one after the other, for those who read very many."""
    ahead = _visible(os.fspath(folder), on_error)
    while ahead:
        entry = ahead.pop()
        if entry.is_dir(follow_symlinks=False):
            ahead += _visible(entry.path, on_error)
        if entry.name.endswith(ending) and (entry.is_file(follow_symlinks=False) or not Path(entry.path).is_fifo()):
            yield entry.path


def _visible(folder: str, on_error: Callable[[OSError], None]) -> list[os.DirEntry[str]]:
    """What a folder holds, the first last."""
    try:
        with os.scandir(folder) as listed:
            entries = [entry for entry in listed if not entry.name.startswith(".")]
    except OSError as error:
        on_error(error)
        return []
    return sorted(entries, key=attrgetter("name"), reverse=True)


def when() -> Callable[[Run], tuple[bool, datetime]]:
    """Return what tells the later of two runs, or rows: one of the future counts as older than all others.

    It was measured under a wrong clock, or is made to stand for good; where this machine's own clock is behind, all are
    of the future, and in their order.
    """
    last = datetime.now(UTC) + AHEAD
    return lambda run: (run.started_at <= last, run.started_at)


def load(path: Path) -> Record:
    """Read one record.

    Raises:
        UserError: no such file, damaged, not a record, or written by a newer zoo.
    """
    return parse(content(path), path)


def content(path: Path | str) -> bytes:
    """Read a file's bytes.

    Raises:
        UserError: it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # one of very many: in half of `open`'s time
        try:
            parts = iter(lambda: os.read(file, 1 << 18), b"")
            return b"".join(parts)
        finally:
            os.close(file)
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}; {how_to_read(error)}") from error


def parse(content: bytes, place: Path) -> Record:
    """Read the JSON of one record, a space for each control character; `place` is what an error calls it.

    Raises:
        UserError: damaged, not a record, or written by a newer zoo.
    """
    text = content.decode(errors="replace")
    if allowed.holds_control(text):  # an older one's library may have said it
        content = allowed.without_control(text).encode()
    try:
        record = records.Record.model_validate_json(content)
        _encoded(record.config)  # of any JSON: all other fields refuse NaN and infinite numbers themselves
    except ValueError as error:
        raise UserError(f"{place}: {_why_not_a_record(content, error)}") from error
    if record.schema_version > records.SCHEMA:
        raise UserError(f"{place}: {_too_new(record.schema_version)}")
    return record


def samples(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Read the raw samples beside a record's JSON, all or those of some names; empty where it has none.

    Raises:
        UserError: the sidecar is damaged.
    """
    sidecar = path.with_suffix(".npz")
    try:
        return unpack(sidecar.read_bytes(), sidecar, *names) if sidecar.is_file() else {}
    except OSError as error:
        raise UserError(f"{sidecar}: {reason(error)}; {how_to_read(error)}") from error


def unpack(content: bytes, place: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Read a sidecar's arrays by name, all or some; `place` is what an error calls it.

    Raises:
        UserError: it is damaged.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if not names or name in names}
    except Exception as error:  # a damaged zip raises anything from BadZipFile to zlib.error
        raise UserError(f"{place} is damaged: {error}; {MEND}") from error


def to_json(record: Record) -> str:
    """Return the record as JSON that reads well in a diff: keys sorted, a row of numbers on one line.

    A word that came from elsewhere, such as a library's message, leaves its control characters behind.
    """
    return allowed.without_control(_lines(record.model_dump(mode="json"), "\n") + "\n")


def _write_identity(local: Path, folders: Sequence[str]) -> None:
    files.write_all({local / ".gitignore": b"*\n", local / "id": "\n".join(folders).encode()})


def _lines(value: Any, newline: str) -> str:
    """JSON of `value`, one line for each member of a dict and of a list that holds lists or dicts."""
    inner = newline + " "
    if isinstance(value, dict) and value:
        members = (f"{_encoded(str(key))}: {_lines(value[key], inner)}" for key in sorted(value))
        return "{" + inner + ("," + inner).join(members) + newline + "}"
    if isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
        return "[" + inner + ("," + inner).join(_lines(item, inner) for item in value) + newline + "]"
    return _encoded(value)


def _slug(text: str) -> str:
    """`text` as one harmless path component."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.") or "unnamed"


def _why_not_a_record(content: bytes, error: ValueError) -> str:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as damage:
        return f"damaged JSON ({damage}); {MEND}"
    version = value.get("schema_version") if isinstance(value, dict) else None
    if not isinstance(version, int):
        return "not a record of zoo; move it out of the folder of the records"
    if version > records.SCHEMA:
        return _too_new(version)
    if not isinstance(error, pydantic.ValidationError):
        return f"damaged JSON (config holds NaN or an infinite number); {MEND}"
    first = error.errors(include_url=False, include_input=False)[0]
    said = [".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")[:200]]
    return f"not a valid record ({': '.join(filter(None, said))}); {MEND}"


def _too_new(version: int) -> str:
    return f"written by a newer zoo (schema {version}; this one reads up to {records.SCHEMA}); upgrade zoo"
