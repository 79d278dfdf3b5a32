"""Records that go from machine to machine: `merge` takes those of others in, `share` packs one's own up.

Neither changes a byte of a record, and both hold each against its own samples first (`score.audit`).
"""

from __future__ import annotations

import getpass
import io
import platform
import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from zoo import catalog, files, presets, store
from zoo.allowed import holds_control
from zoo.errors import UserError
from zoo.faults import how_to_read, how_to_write, reason
from zoo.published import table
from zoo.record import Record
from zoo.score.audit import Arrays, faults_of

READ_BYTES = 64 * 2**20
"""More than a record or its samples ever take: what claims to be larger is not read."""
TAR_BYTES = 2**30
"""A tar is held in memory."""
SHARED_BYTES = 2 * 2**20
"""More than this of one file is too much for a repository, which keeps it for good."""
SOURCE = "a folder of records, or a .zip or .tar of one"

_WORD = re.compile(r"[^\s'\"`=(),;|<>\[\]{}]+")
_PUBLIC = re.compile(r"https?://|^(?:(?:\w+:)?(?:timm|smp-hub)|(?:hf|smp):\w[\w.-]*)/[\w.-]+$")
"""Addresses, and what libraries and hubs call their weights."""
_ROOTED = re.compile(r"(?:.*:)?(?:[\\/]|~[\w.-]*[\\/]|\.\.?[\\/])[\w.~\\/-]|\w+://|[A-Za-z]:[\\/]")
"""From a root, a home or the working folder, or of a scheme such as `file:`."""
_FILE = re.compile(r"[\\/][^\\/]*\.(?:[A-Za-z][A-Za-z0-9]{0,4}|safetensors|engine)(?!\w)")
_DEEP = re.compile(r"[\\/].*[\\/].*[A-Za-z][^\\/]*$")
"""At least two folders; `releases/2026/4`, a version, ends without a letter."""
_EVERYBODYS = {"root", "user", "admin", "ubuntu", "debian", "runner", "docker", "localhost"}
"""Names of users and hosts that tell nothing."""
_PROBED = ("software", "device")
"""What zoo itself says of a machine: a user called `linux` is not in it."""
_GIVEN = re.compile(r"artifact\.(model|weights)|(accuracy\.)?dataset|config\.(train\.)?name|failure")
"""Where people put names of their own, joined by whatever they like: `jo_finetuned`."""

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


def merge(sources: Sequence[Path | str], into: Path | str = store.DEFAULT, on_done: OnDone | None = None) -> Merged:
    """Take the records of other folders into one.

    A record goes where its content says, with its samples. One that is there already is passed over, and nothing is
    overwritten: of two that claim to be the same run and differ, the one that is there stays. A later run of the same
    condition stands beside the older one, and tables take the later. Whatever ends this, what was taken in is whole,
    and the same call goes on from there.

    Args:
        sources: Folders, or a `.zip` or `.tar` of one; `shipped`: the records that came with zoo.
        into: The results folder; made where there is none.
        on_done: Told how far it is.

    Raises:
        UserError: a source is none, or holds nothing; another merge holds the folder; it cannot be written to.
    """
    folders = [store.folder_to_read(source)[0] for source in sources]
    target, added, known_count, left_out = Path(into), list[Path](), 0, list[str]()
    with ExitStack() as opened:
        found = [one for source in folders for one in _records_in(source, opened, left_out)]
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
                if is_known:
                    known_count += 1
                else:
                    store.put(path, content, sidecar)
                    added.append(path)
            if on_done is not None:
                on_done(done, len(found))
        store.add_folder_ids(target, [one for source in folders for one in store.folder_ids(source)])
    return Merged(tuple(added), known_count, tuple(left_out))


def share(
    results: Path | str = store.DEFAULT, output: Path | str | None = None, *, quick: bool = False, failed: bool = False
) -> Shared:
    """Pack up what was measured into a results folder, to be merged elsewhere: the newest run of each cell.

    Left out is what came with a checkout, and what should not go public: a record that names a path, or this machine's
    user or host.

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
    every = store.scan(folder, history=True, required=True)
    own = [record for record in every.records if record.folder in ids]
    newest = {id(record) for record in store.newest(own)}
    unasked["measured elsewhere"] = len(every.records) - len(own)
    for record in own:
        why = (
            "replaced by a later run" if id(record) not in newest
            else "of a smoke test (--quick takes them along)" if record.quick and not quick
            else "without numbers (--failed takes them along)" if record.status != "ok" and not failed
            else ""
        )  # fmt: skip
        if why:
            unasked[why] += 1
            continue
        path = store.result_path(record)
        try:
            packed = _packed(folder / path, record)
        except UserError as error:
            left_out.append(str(error))
        else:
            chosen[path] = record
            contents |= packed
    unasked += Counter()  # drops what is none
    if all(record.is_baseline for record in chosen.values()):
        why_not = [*(f"{count} {what}" for what, count in unasked.items()), *left_out[:1]]
        raise UserError(f"{folder} holds nothing to share: {'; '.join(why_not) or 'no model was measured into it'}")
    last = max(chosen.values(), key=store.when())
    written = Path(output or f"zoo-{store.result_path(last).parts[0]}.zip")
    _write(contents, written)
    byte_count = sum(map(len, contents.values()))
    return Shared(written, tuple(chosen.values()), byte_count, dict(unasked), (*every.warnings, *left_out))


def private_texts(record: Record, arrays: Arrays) -> Iterator[str]:
    """Name the texts of a record that hold a path, or this machine's user or host."""
    names = {name for name in (_user(), platform.node().partition(".")[0]) if len(name) > 2} - _EVERYBODYS
    alone, joined = (_apart(names, among) for among in (r"[\w-]", r"[^\W_]"))
    for where, text in _texts("", record.model_dump(mode="json")):
        words = joined if _GIVEN.match(where) and text not in _ours() else alone
        if any(_is_path(word) for word in _WORD.findall(text)):
            yield f"{where} names a path ({_short(text)})"
        elif where.partition(".")[0] not in _PROBED and words.search(text):
            yield f"{where} names this machine's user or host ({_short(text)})"
    for name, array in arrays.items():
        for text in map(str, array.ravel() if array.dtype.kind in "US" else ()):
            if any(map(_ROOTED.match, _WORD.findall(text))):  # of an image folders of its own may be said
                yield f"{name} of its samples names a path ({_short(text)})"
                break
            if joined.search(text):
                yield f"{name} of its samples names this machine's user or host ({_short(text)})"
                break


@cache  # a share looks at each of its records
def _ours() -> frozenset[str]:
    """Names that zoo itself gives: of models, recipes, presets, published weights."""
    tags = (one.tag for one in table.PUBLISHED)
    return frozenset((*catalog.MODELS, *presets.RECIPE_HASHES, *presets.preset_names("bench"), *tags))


def _apart(names: set[str], among: str) -> re.Pattern[str]:
    """Finds names with none of some letters beside them; without names nothing."""
    return re.compile(rf"(?<!{among})(?:{'|'.join(map(re.escape, names)) or '(?!)'})(?!{among})", re.IGNORECASE)


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


def _is_path(word: str) -> bool:
    if _PUBLIC.search(word):
        return False
    return any((_ROOTED.match(word), _FILE.search(word), _DEEP.search(word)))


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


def _texts(where: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, keys of objects included, with its place."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield f"{where}.{key}".lstrip("."), key
            yield from _texts(f"{where}.{key}".lstrip("."), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(where, inner)


def _short(text: str) -> str:
    return repr(" ".join(text.split())[:80])


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return ""
