"""Fetching the file of a published checkpoint from where it lies. Free of torch.

gdown does the work: of the downloaders that are kept up it alone shows progress, goes on where a transfer broke off
(with `Range`, held against what the server says of the file), and gets files out of Google Drive. pooch and torch.hub
begin anew each time; huggingface_hub's `http_get` is no public part of it and raises whatever its version's HTTP
library does. Hashes are checked where files are kept (`kept`), however these came.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import gdown
import requests

from zoo.errors import UserError
from zoo.faults import how_to_write, reason
from zoo.locks import HeldError, hold
from zoo.published.facts import Published

OnBytes = Callable[[int, int | None], object]
"""Called with (bytes that are here, bytes in all where the server tells)."""

TIMEOUT_S = 10.0, 60.0
"""To connect, and from bytes to bytes."""
RETRIES = 2
"""In one command; the next one goes on with what is here."""

_SIZE = "size"
_GONE = {404, 410}
_CLOSED = {401, 403, 407, 451}


class _OtherFileError(Exception):
    """The server's file is no longer the one whose beginning is here."""


class _Watch:
    """Passes progress on, and keeps beside the part how long the whole is."""

    def __init__(self, draft: Path, on_bytes: OnBytes) -> None:
        self.note, self.on_bytes = draft / _SIZE, on_bytes
        self.resumes = _part(draft) is not None
        self.called = False

    def __call__(self, done: int, total: int | None) -> None:
        if not self.called and total is not None:
            if self.resumes and self.note.is_file() and self.note.read_text() != str(total):
                raise _OtherFileError
            self.note.write_text(str(total))
        self.called = True
        self.on_bytes(done, total)


def by_hand(one: Published, folder: Path) -> str:
    """What to do where no program fetches a file."""
    return (
        f"fetch it by other means and put it into {folder} as {one.file_name} (`zoo weights add FILE --as {one.id}` "
        "does that)"
    )


@contextmanager
def downloaded(one: Published, folder: Path, on_bytes: OnBytes) -> Iterator[Path]:
    """The whole file in a draft folder within `folder`; gone at the end, if the caller has not moved it.

    What is here of a transfer that breaks off stays, and is where the next one goes on.

    Raises:
        UserError: it cannot be fetched, another process does so now, or the folder cannot be written.
    """
    draft = folder / f".{one.file_name}.part"
    with ExitStack() as stack:
        try:
            draft.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold(draft / "lock"))
        except HeldError as held:
            raise UserError(f"{one.id}: another process fetches it now{held}; wait for it") from held
        except OSError as error:
            raise UserError(_cannot_write(draft, error)) from error
        file = draft / one.file_name
        try:
            if not file.is_file():
                _download(one, draft, on_bytes)
            os.umask(umask := os.umask(0))
            file.chmod(0o666 & ~umask)  # gdown's is for this user alone
            if _is_page(file):
                raise UserError(
                    f"{one.id}: {one.url} answers with a web page, not with the file; {by_hand(one, folder)}"
                )
            yield file
        finally:
            if _part(draft) is None:
                shutil.rmtree(draft, ignore_errors=True)


def _download(one: Published, draft: Path, on_bytes: OnBytes) -> None:
    """Bring the file into the draft folder; what a server does not go on with is begun anew, once."""
    while True:
        watch = _Watch(draft, on_bytes)
        try:
            gdown.download(
                one.url, str(draft / one.file_name), quiet=True, use_cookies=False, resume=True, progress=watch,
                timeout=TIMEOUT_S, retries=RETRIES,
            )  # fmt: skip
        except _OtherFileError:
            _drop_part(draft)
        except (gdown.DownloadError, requests.RequestException) as error:
            cause = error if isinstance(error, requests.RequestException) else error.__cause__
            unheard = isinstance(error, gdown.FileURLRetrievalError) or cause is not None
            if watch.resumes and not watch.called and not unheard:  # the server knows no ranges
                _drop_part(draft)
                continue
            raise UserError(_said(one, draft, error, cause)) from error
        except OSError as error:
            raise UserError(_cannot_write(draft, error)) from error
        else:
            return


def _said(one: Published, draft: Path, error: Exception, cause: BaseException | None) -> str:
    """Why a transfer ended, in one line, and what to do."""
    response = getattr(cause, "response", None)
    part = _part(draft)
    size = part.stat().st_size if part is not None else 0
    if isinstance(error, gdown.FileURLRetrievalError):
        why = "is not handed out to programs by Google Drive (asked for too often, or no longer shared)"
    elif response is not None:
        status = response.status_code
        kind = "is gone" if status in _GONE else "is closed to us" if status in _CLOSED else "cannot be had now"
        why = f"{kind} (HTTP {status} {response.reason})"
    elif size or cause is None or isinstance(cause, requests.exceptions.ChunkedEncodingError):
        whole = f" of {_mib(int((draft / _SIZE).read_text()))}" if (draft / _SIZE).is_file() else ""
        return (
            f"{one.id}: the transfer of {one.url} broke off; {_mib(size)}{whole} MiB are kept, and the same command "
            f"goes on from there; or {by_hand(one, draft.parent)}"
        )
    else:
        why = f"cannot be reached ({_network_error(cause)})"
    return f"{one.id}: {one.url} {why}; {by_hand(one, draft.parent)}"


def _network_error(error: BaseException | None) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let us through"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted here"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    return type(error).__name__


def _part(draft: Path) -> Path | None:
    """What is here of the file, as gdown keeps it."""
    return next((file for file in draft.glob("*.part") if file.stat().st_size), None)


def _drop_part(draft: Path) -> None:
    for file in (*draft.glob("*.part"), draft / _SIZE):
        with suppress(FileNotFoundError):
            file.unlink()


def _is_page(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"


def _cannot_write(folder: Path, error: OSError) -> str:
    return f"cannot write {folder}: {reason(error)}; {how_to_write(error, 'another cache with --cache')}"
