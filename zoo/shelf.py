"""Published checkpoints brought to this machine: fetched, or taken from a file somebody has.

Either way a file is kept only once the network it is for has been filled from it, by the road that every verb takes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from zoo.artifact import make_network
from zoo.catalog import MODELS
from zoo.errors import UserError, listed
from zoo.models.build import tensor_shapes
from zoo.prefixes import COUNTER, Shapes
from zoo.published.download import OnBytes, by_hand, downloaded
from zoo.published.facts import Published
from zoo.published.kept import checked_sha256, file_of, keep, note_of, published_folder, read_note, sha256_as_kept
from zoo.published.table import PUBLISHED, published_of
from zoo.state_dict import read_state_dict
from zoo.weights.resolve import published_source


@dataclass(frozen=True)
class Shelved:
    """A published checkpoint that is on this machine now."""

    one: Published
    file: Path
    byte_count: int
    was_there: bool
    notes: tuple[str, ...] = ()
    """What a person should know of it."""


def fetch(one: Published, cache: Path | None = None, on_bytes: OnBytes = lambda _done, _total: None) -> Shelved:
    """Fetch a checkpoint from where it was published; what is here of a transfer that broke off is not fetched again.

    Args:
        one: The checkpoint.
        cache: Where it is kept, as in `published.kept.file_of`.
        on_bytes: Called with (bytes that are here, bytes in all where the server tells).

    Raises:
        UserError: it cannot be fetched, or what came is not it; then it is not kept.
    """
    file = file_of(one, cache)
    if file.is_file():
        return _as_it_is(one, file)
    if one.in_folder:
        raise UserError(
            f"{one.id}: {one.url} is a folder, out of which people take {one.file_name}, not programs; "
            f"{by_hand(one, published_folder(cache))}"
        )
    before = read_note(file)
    with downloaded(one, published_folder(cache), on_bytes) as draft:
        if file.is_file():  # another process was faster
            return _as_it_is(one, file)
        try:
            sha256 = _checked(one, draft)
        except UserError as error:
            raise UserError(f"{one.id}, not kept: {str(error).replace(str(draft), one.url)}") from error
        size = draft.stat().st_size
        keep(one, draft.replace, sha256, size, cache)
    changed = before is not None and before.sha256 != sha256
    notes = ("another file than the one that was taken before: who published it has changed it",) if changed else ()
    return Shelved(one, file, size, False, notes)


def add(file: Path, one: Published, cache: Path | None = None) -> Shelved:
    """Copy a file that somebody has to where a checkpoint is kept, once it is known to be it.

    Args:
        file: The file, whatever its name.
        one: The checkpoint it shall be.
        cache: As in `fetch`.

    Raises:
        UserError: it is not that checkpoint: which one it is, or what does not fit; or another file is there.
    """
    kept = file_of(one, cache)
    if kept.is_file() and file.is_file() and kept.samefile(file):
        return _as_it_is(one, kept)
    sha256 = _checked(one, file)
    notes = _not_told_apart(one, file)
    if kept.is_file():
        if sha256_as_kept(one, kept) != sha256:
            raise UserError(f"{one.id}: another file is kept as {kept}; remove it first, and {note_of(kept).name}")
        return _as_it_is(one, kept)
    size = file.stat().st_size
    keep(one, lambda draft: shutil.copyfile(file, draft), sha256, size, cache)
    return Shelved(one, kept, size, False, notes)


def _as_it_is(one: Published, file: Path) -> Shelved:
    """A file that lies in its place: checked as a new one where nobody has noted what it was."""
    if read_note(file) is None:
        _checked(one, file)
    sha256_as_kept(one, file)
    return Shelved(one, file, file.stat().st_size, True)


def _checked(one: Published, file: Path) -> str:
    """Hash of a file that is what was published as `one`, by size and hash where they are known, and by its tensors.

    Raises:
        UserError: it is not: which row's it is, or what is left over on either side.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in read_state_dict(file).tensors.items()}
    if misfit := _misfit(one, shapes):
        raise UserError(_whose(one, file, shapes) or f"{file} is not the file of {one.id}: {misfit}")
    sha256 = checked_sha256(one, file)
    make_network(MODELS[one.model], one.classes, published_source(one, file, sha256), None)
    return sha256


def _misfit(one: Published, shapes: Shapes) -> str:
    """What of a file and of a row's deployed network has no place in the other; empty where all has."""
    expected = {
        name: shape
        for name, shape in tensor_shapes(MODELS[one.model], one.num_outputs, deployed=True).items()
        if not name.endswith(COUNTER) and not one.is_zero(name)
    }
    places = {name: new for name, new in one.names_of(shapes).items() if not new.endswith(COUNTER)}
    taken = {new: name for name, new in reversed(places.items())}  # of two with one place the first has it
    over = [name for name, new in places.items() if new not in expected or taken[new] != name]
    missing = [name for name in expected if name not in taken]
    other = [name for name, shape in expected.items() if name in taken and shapes[taken[name]] != shape]
    parts = []
    if over:
        parts.append(f"{len(over)} of its {len(shapes)} tensors have no place in {one.model} ({listed(over)})")
    if missing:
        parts.append(f"{len(missing)} of the {len(expected)} of {one.model} are not in it ({listed(missing)})")
    if other:
        pairs = (f"{taken[name]} {shapes[taken[name]]}, not {expected[name]}" for name in other)
        parts.append(f"{len(other)} are of other shapes ({listed(pairs)})")
    return " and ".join(parts)


def _whose(one: Published, file: Path, shapes: Shapes) -> str:
    """Which other row a file is of, in one line; empty where it is of none."""

    def likely(other: Published) -> tuple[bool, bool, int]:
        alike = MODELS[other.model].family == MODELS[one.model].family
        return _is_called(other, file), alike, sum(other.name_of(name) != name for name in shapes)

    tried = sorted((other for other in PUBLISHED if other is not one), key=likely, reverse=True)
    model = next((other.model for other in tried if not _misfit(other, shapes)), None)
    if model is None:
        return ""
    ids = [other.id for other in tried if other.model == model and not _misfit(other, shapes)]
    return (
        f"{file} is not the file of {one.id}: by its tensors it is of {listed(ids)}; `zoo weights add {file} --as "
        f"{ids[0]}`"
    )


def _not_told_apart(one: Published, file: Path) -> tuple[str, ...]:
    """What to say of a file that may be another of its model's, of which nobody stated a hash.

    Raises:
        UserError: it has the other one's name.
    """
    if one.sha256 is not None or _is_called(one, file):
        return ()
    shapes = {name: tuple(tensor.shape) for name, tensor in read_state_dict(file).tensors.items()}
    twins = [other for other in published_of(one.model) if other is not one and not _misfit(other, shapes)]
    for twin in twins:
        if _is_called(twin, file):
            raise UserError(
                f"{file} fits {one.id} but is called as {twin.id}'s file is; give --as {twin.id}, or rename it to "
                f"{one.file_name} if it is that one"
            )
    if not twins:
        return ()
    return (f"by names and shapes it may as well be {listed([twin.id for twin in twins])}, of which no hash is known",)


def _is_called(one: Published, file: Path) -> bool:
    """Whether a file has the name that it has where it was published, or where it is kept."""
    return file.name in {one.file_name, unquote(urlsplit(one.url).path).rpartition("/")[2]}
