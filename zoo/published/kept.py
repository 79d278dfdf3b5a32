"""Files of published checkpoints on this machine, each with a note of what it was when it was taken. Free of torch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from zoo.cache import cache_folder
from zoo.errors import UserError
from zoo.faults import how_to_read, how_to_write, reason
from zoo.files import Content, sha256_of, write_all
from zoo.published.facts import Published
from zoo.spec import Facts

_DIGITS = 12
"""Of a hash, where a line shows two."""


class Kept(Facts):
    """What a file was when it was taken."""

    id: str
    url: str
    sha256: str
    byte_count: int


def published_folder(cache: Path | None = None) -> Path:
    """Where the files of published checkpoints are kept."""
    return (cache or cache_folder()) / "weights"


def file_of(one: Published, cache: Path | None = None) -> Path:
    """Where the file of a published checkpoint is kept, whether it is there or not."""
    return published_folder(cache) / one.file_name


def note_of(file: Path) -> Path:
    """Where the note of a file stands."""
    return file.with_name(f"{file.name}.json")


def read_note(file: Path) -> Kept | None:
    """What a file was when it was taken; `None` where nothing that can be read says so."""
    try:
        return Kept.model_validate_json(note_of(file).read_bytes())
    except (OSError, ValidationError):
        return None


def sha256_as_kept(one: Published, file: Path) -> str:
    """Hash of a file's bytes, held against what was published, and against what they were when it was first used.

    The first use is noted beside the file, where that can be written.

    Raises:
        UserError: they are others, or cannot be read.
    """
    sha256 = checked_sha256(one, file)
    noted = read_note(file)
    if noted is None:
        with suppress(OSError):  # a folder that is shared, to be read only
            write_all({note_of(file): _note(one, sha256, file.stat().st_size)})
    elif noted.sha256 != sha256:
        raise UserError(
            f"{file} was changed since it was taken as {noted.id}: its SHA-256 was {noted.sha256[:_DIGITS]}… and is "
            f"{sha256[:_DIGITS]}…; remove it and {note_of(file).name}, then `zoo weights fetch {one.id}`"
        )
    return sha256


def checked_sha256(one: Published, file: Path) -> str:
    """Hash of a file's bytes, held against what was published.

    Raises:
        UserError: it is of another size or hash, or cannot be read.
    """
    try:
        size, sha256 = file.stat().st_size, sha256_of(file)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {reason(error)}; {how_to_read(error)}") from error
    if one.byte_count not in (None, size):
        raise UserError(f"{file} is not the file of {one.id}: it has {size} bytes, {one.byte_count} were published")
    if one.sha256 not in (None, sha256):
        raise UserError(
            f"{file} is not the file of {one.id}: its SHA-256 begins with {sha256[:_DIGITS]}, that of the published "
            f"one with {str(one.sha256)[:_DIGITS]}"
        )
    return sha256


def keep(one: Published, content: Content, sha256: str, byte_count: int, cache: Path | None = None) -> Path:
    """Put a file into its place with its note, whole or not at all; return where it is.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    file = file_of(one, cache)
    try:
        write_all({file: content, note_of(file): _note(one, sha256, byte_count)})
    except OSError as error:
        advice = how_to_write(error, "another cache with --cache")
        raise UserError(f"cannot write {file}: {reason(error)}; {advice}") from error
    return file


def _note(one: Published, sha256: str, byte_count: int) -> bytes:
    kept = Kept(id=one.id, url=one.url, sha256=sha256, byte_count=byte_count)
    return f"{kept.model_dump_json(indent=1)}\n".encode()
