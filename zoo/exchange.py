"""Records that go from machine to machine: `merge` takes those of others in, `share` packs one's own up.

Neither changes a byte of a record, and both hold each against its own samples first (`score.audit`).
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from zoo import files, store
from zoo.allowed import holds_control
from zoo.errors import UserError
from zoo.faults import how_to_read, how_to_write, reason
from zoo.private import private_texts
from zoo.record import Record
from zoo.score.audit import Arrays, faults_of
from zoo.score.filtering import several_of

READ_BYTES = 64 * 2**20
"""More than a record or its samples ever take: what claims to be larger is not read."""
TAR_BYTES = 2**30
"""A tar is held in memory."""
SHARED_BYTES = 2 * 2**20
"""More than this of one file is too much for a repository, which keeps it for good."""
HOW_TO_SHARE = (
    "share them from the folder they were measured into, or take that in with `zoo merge`: a copy tells whose they are "
    "by its folder .local alone, which git and archives leave behind"
)
SOURCE = "a folder of records, or a .zip or .tar of one"

OnDone = Callable[[int, int], None]
"""Called with the number of records looked at and of all."""


@dataclass(frozen=True)
class Merged:
    """What `merge` did."""

    added: tuple[Path, ...]
    """Files of the records that were taken in."""
    known_count: int
    """Records that were there already."""
    left_out: tuple[str, ...]
    """One line for each file that is damaged, edited, or at odds with what is there."""


@dataclass(frozen=True)
class Shared:
    """What `share` wrote."""

    output: Path
    records: tuple[Record, ...]
    byte_count: int
    """Of their files."""
    unasked: dict[str, int]
    """How many were left out as nobody asked for them, by what they are."""
    left_out: tuple[str, ...]
    """One line for each record that cannot be shared."""


class _Held(NamedTuple):
    """A record of a results folder, and its file, whatever that is called."""

    path: Path
    record: Record

    @property
    def key(self) -> str:
        return self.record.key

    @property
    def started_at(self) -> datetime:
        return self.record.started_at


class _Found(NamedTuple):
    """A record as it lies in a source."""

    place: Path
    """What an error calls it."""
    read: Callable[[], bytes]
    read_sidecar: Callable[[], bytes] | None


class _Tarred(NamedTuple):
    """A file of a tar; one that is too large is not read."""

    byte_count: int
    content: bytes


def merge(
    sources: Path | str | Sequence[Path | str], into: Path | str = store.DEFAULT, on_done: OnDone | None = None
) -> Merged:
    """Take the records of other folders into one.

    A record goes where its content says, with its samples. One that is there already is passed over, and nothing is
    overwritten: of two that claim to be the same run and differ, the one that is there stays. A later run of the same
    condition stands beside the older one, and tables take the later. Whatever ends this, what was taken in is whole,
    and the same call goes on from there.

    Args:
        sources: One or several folders, or a `.zip` or `.tar` of one; `shipped`: the records that came with zoo.
        into: The results folder; made where there is none, and something to put into it.
        on_done: Told how far it is.

    Raises:
        UserError: a source is none, or holds nothing; another merge holds the folder; it cannot be written to.
    """
    named = several_of(sources, (str, Path), "merge takes folders of records, or archives of them")
    folders = [store.folder_to_read(source)[0] for source in named]
    target, added, known_count, left_out = Path(into), list[Path](), 0, list[str]()
    with ExitStack() as opened:
        found = [one for source in folders for one in _records_in(source, opened, left_out)]
        is_open = not _is_new(target)  # a new one is made when there is something to put into it
        if is_open:
            opened.enter_context(store.locked(target))
        for done, one in enumerate(found, 1):
            try:
                content, sidecar = one.read(), one.read_sidecar and one.read_sidecar()
                record = store.parse(content, one.place)
                _require_plain(one.place, content)
                _require_past(one.place, record)
                path = target / store.result_path(record)
                with _reading(one.place):
                    is_known = path.exists()
                if is_known:
                    _require_same(one.place, content, sidecar, path)
                else:
                    _require_sound(one.place, record, _arrays(one.place, sidecar))
            except UserError as error:
                left_out.append(str(error))
            else:
                if not is_open:
                    opened.enter_context(store.locked(target))
                    is_open, is_known = True, path.exists()  # by another merge, which made the folder meanwhile
                if is_known:
                    known_count += 1
                else:
                    store.put(path, content, sidecar)
                    added.append(path)
            if on_done is not None:
                on_done(done, len(found))
        if is_open:
            store.add_folder_ids(target, [one for source in folders for one in store.folder_ids(source)])
    return Merged(tuple(added), known_count, tuple(left_out))


def share(
    results: Path | str = store.DEFAULT, output: Path | str | None = None, *, quick: bool = False, failed: bool = False
) -> Shared:
    """Pack up what was measured into a results folder, to be merged elsewhere: the newest run of each cell.

    Left out is what came with a checkout, and what should not go public: a record that names a path, a user, an e-mail
    address, a private network, or this machine's host.

    Args:
        results: The folder.
        output: A `.zip`, else a folder, which is not there yet; `None`: `zoo-<device>.zip`.
        quick: Take smoke tests along.
        failed: Take cells along that have no numbers.

    Raises:
        UserError: nothing can be shared; `output` is there already, or cannot be written.
    """
    folder, ids = Path(results), store.folder_ids(Path(results))
    unasked, left_out = Counter[str](), list[str]()
    chosen = dict[PurePosixPath, Record]()
    contents = dict[PurePosixPath, bytes]()
    every, unread = store.read_all(folder, lambda name: _Held(Path(name), store.load(Path(name))), required=True)
    own = [one for one in every if one.record.folder in ids]
    newest = {one.path for one in store.newest(own)}
    unasked["measured elsewhere"] = len(every) - len(own)
    for path, record in own:
        why = (
            "replaced by a later run" if path not in newest
            else "of a smoke test (--quick takes them along)" if record.quick and not quick
            else "without numbers (--failed takes them along)" if record.status != "ok" and not failed
            else ""
        )  # fmt: skip
        if why:
            unasked[why] += 1
            continue
        try:
            packed = _packed(path, record)
        except UserError as error:
            left_out.append(str(error))
        else:
            chosen[store.result_path(record)] = record
            contents |= packed
    unasked += Counter()  # drops what is none
    if all(record.is_baseline for record in chosen.values()):
        why_not = [*(f"{count} {what}" for what, count in unasked.items()), *left_out[:1]]
        if unasked["measured elsewhere"]:
            why_not.append(HOW_TO_SHARE)
        raise UserError(f"{folder} holds nothing to share: {'; '.join(why_not) or 'no model was measured into it'}")
    last = max(chosen.values(), key=store.when())
    written = Path(output or f"zoo-{store.result_path(last).parts[0]}.zip")
    _write(contents, written)
    byte_count = sum(map(len, contents.values()))
    return Shared(written, tuple(chosen.values()), byte_count, dict(unasked), (*unread, *left_out))


def _is_new(folder: Path) -> bool:
    try:
        return not folder.exists()
    except OSError:  # as of a name that is too long: opening it says so
        return False


def _require_plain(place: Path, content: bytes) -> None:
    """Refuse what a reader would have to mend: it is another record under the same name."""
    if holds_control(content.decode(errors="replace")):
        raise UserError(f"{place}: a word in it holds a control character, such as an end of line; {store.MEND}")


def _require_past(place: Path, record: Record) -> None:
    """Refuse a record that says it began in the future: it would stand for good."""
    if not store.when()(record)[0]:
        raise UserError(
            f"{place}: it began at {record.started_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC by its own word, and now is "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; correct the clock that is wrong, and measure its cell anew"
        )


def _records_in(source: Path, opened: ExitStack, left_out: list[str]) -> list[_Found]:
    """Every record of a folder or an archive, which stays open; what cannot be listed is left out."""
    with _reading(source):
        if source.is_dir():
            found = _in_folder(source, left_out)
        elif source.is_file() and tarfile.is_tarfile(source):  # asked first: it may end with a sidecar, as a zip ends
            found = _in_archive(source, _read_tar(source), lambda one: one.byte_count, lambda one: one.content)
        elif zipfile.is_zipfile(source):
            archive = opened.enter_context(zipfile.ZipFile(source))
            members = {one.filename: one for one in archive.infolist() if not one.is_dir()}
            found = _in_archive(source, members, lambda one: one.file_size, archive.read)
        else:
            what = "is neither, or damaged" if source.exists() else "does not exist"
            raise UserError(f"{source} {what}; give {SOURCE}")
    if not found and not store.folder_ids(source):  # one that was measured into may have had an empty share
        damaged = "" if source.is_dir() else ", or is damaged"
        raise UserError(f"{source} holds no records{damaged}; give {SOURCE}")
    return found


def _in_folder(source: Path, left_out: list[str]) -> list[_Found]:
    def unlisted(error: OSError) -> None:
        left_out.append(f"{error.filename}: {reason(error)}; {how_to_read(error)}")

    return [
        _Found(_called(path), partial(_file, path), partial(_file, sidecar) if sidecar.exists() else None)
        for path in store.visible_files(source, ".json", unlisted)
        for sidecar in [path.with_suffix(".npz")]
    ]


def _in_archive(
    source: Path, members: dict[str, Any], size_of: Callable[[Any], int], extract: Callable[[Any], bytes]
) -> list[_Found]:
    def read(name: str) -> bytes:
        return _read(_called(Path(f"{source}/{name}")), lambda: size_of(members[name]), lambda: extract(members[name]))

    return [
        _Found(
            _called(Path(f"{source}/{name}")),
            partial(read, name),
            partial(read, sidecar) if sidecar in members else None,
        )
        for name in sorted(members)
        if name.endswith(".json") and not _is_hidden(name)
        for sidecar in [f"{name.removesuffix('.json')}.npz"]
    ]


def _called(path: Path) -> Path:
    """What an error calls a file, whose name may hold what moves a terminal's cursor."""
    return Path("".join(letter if letter.isprintable() else "?" for letter in str(path)))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in PurePosixPath(name).parts)


def _read_tar(source: Path) -> dict[str, _Tarred]:
    """A tar's records, read in one go: a compressed one has to be read from its beginning for each file."""
    found, byte_count = dict[str, _Tarred](), 0
    with tarfile.open(source) as tar:
        for one in tar:
            if one.isfile() and one.name.endswith((".json", ".npz")):
                stream = tar.extractfile(one) if one.size <= READ_BYTES else None
                found[one.name] = _Tarred(one.size, stream.read() if stream else b"")
                byte_count += len(found[one.name].content)
                _require_size(source, byte_count, TAR_BYTES, "unpack it, and give the folder")
        while tar.fileobj and tar.fileobj.read(2**20):  # to the end, where a compressed one has its checksum
            pass
    return found


def _file(path: Path) -> bytes:
    return _read(_called(path), lambda: path.stat().st_size, path.read_bytes)


def _read(place: Path, size: Callable[[], int], read: Callable[[], bytes]) -> bytes:
    with _reading(place):
        _require_size(place, size())
        return read()


@contextmanager
def _reading(place: Path) -> Iterator[None]:
    """Turn what a file that is not there, may not be read or is damaged raises into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a damaged archive raises anything from BadZipFile to zlib.error
        if isinstance(error, OSError) and error.errno:
            raise UserError(f"{place}: {reason(error)}; {how_to_read(error)}") from error
        raise UserError(f"{place} is damaged: {reason(error)}; fetch it again") from error


def _require_size(place: Path, byte_count: int, limit: int = READ_BYTES, why: str = "no record is as large") -> None:
    if byte_count > limit:
        raise UserError(f"{place} has {byte_count / 2**20:.1f} MiB, {limit / 2**20:.0f} are the most: {why}")


def _arrays(place: Path, sidecar: bytes | None) -> Arrays:
    """A sidecar's arrays; one that would unpack to more than any record has is not unpacked."""
    if sidecar is None:
        return {}
    if zipfile.is_zipfile(io.BytesIO(sidecar)):
        with zipfile.ZipFile(io.BytesIO(sidecar)) as archive:
            _require_size(place.with_suffix(".npz"), sum(one.file_size for one in archive.infolist()))
    return store.unpack(sidecar, place.with_suffix(".npz"))


def _require_sound(place: Path, record: Record, arrays: Arrays) -> None:
    if faults := faults_of(record, arrays):
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise UserError(f"{place}: {faults[0]}{more}")


def _require_same(place: Path, content: bytes, sidecar: bytes | None, path: Path) -> None:
    """Refuse a record that claims to be the run at `path` and is another, however either was written down."""
    try:
        if content == _file(path) and sidecar == _sidecar_of(path):
            return
        is_same = store.parse(content, place) == store.load(path)
        one, other = _arrays(place, sidecar), store.samples(path)
        is_same = is_same and one.keys() == other.keys()
        is_same = is_same and all(np.array_equal(one[name], other[name]) for name in one)
    except UserError as error:
        raise UserError(f"{place} and {path} should be the same, but {error}") from error
    if not is_same:
        raise UserError(f"{place} differs from {path}, which is the same run and stays; keep the one that is right")


def _sidecar_of(path: Path) -> bytes | None:
    sidecar = path.with_suffix(".npz")
    return _file(sidecar) if sidecar.exists() else None


def _packed(path: Path, record: Record) -> dict[PurePosixPath, bytes]:
    """The files of a record by their place in any results folder.

    Raises:
        UserError: it cannot be shared.
    """
    place, arrays = store.result_path(record), store.samples(path)
    _require_sound(path, record, arrays)
    if found := next(private_texts(record, arrays), None):
        raise UserError(f"{path}: {found}, which should not go public")
    packed = {place: _file(path)}
    if (sidecar := _sidecar_of(path)) is not None:
        packed[place.with_suffix(".npz")] = sidecar
    for name, content in packed.items():
        _require_size(path.with_name(name.name), len(content), SHARED_BYTES, "a repository keeps it for good")
    return packed


def _write(contents: dict[PurePosixPath, bytes], output: Path) -> None:
    """As a `.zip`, whose entries tell nothing of this machine, or as a folder."""
    if output.name.endswith((".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".zst")):
        raise UserError(f"records are shared as a .zip or a folder; got {output}")
    if output.exists():
        raise UserError(f"{output} is there already, and nothing is overwritten; name another --output, or remove it")
    try:
        if output.suffix == ".zip":
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in contents.items():
                    entry = zipfile.ZipInfo(str(name))
                    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                    archive.writestr(entry, content)
            files.write_all({output: buffer.getvalue()})
        else:
            files.whole_folder(
                output, lambda made: files.write_all({made / name: content for name, content in contents.items()})
            )
    except OSError as error:
        advice = how_to_write(error, "another --output")
        raise UserError(f"cannot write {output}: {reason(error)}; {advice}") from error
