"""`zoo.files` under faults: whatever ends a write, and wherever, a reader finds whole files or none.

Faults are injected in forked children, at every system call that a write makes: the call fails once with an error of
the disk, or the process is killed right there. Then the next call has to succeed, and to leave nothing behind.

Injected here: 280 faults: the 15 + 22 + 18 + 11 steps of four writers in four ways, a disk that is really full (the
limit on a file's size) 15 times, and one of two writers of an entry killed.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo import files, store
from zoo.errors import UserError

WAYS = {"full": errno.ENOSPC, "broken": errno.EIO, "read-only": errno.EROFS, "killed": signal.SIGKILL}
SAMPLES = {"network_s": np.linspace(0.01, 0.02, 300)}

RAISED, OTHER = 10, 11  # exit codes of a child


def in_a_child(action) -> int:
    """Run `action` in a forked child; return how it ended: 0, `RAISED` an OSError or UserError, `OTHER`, or -signal."""
    child = os.fork()
    if child == 0:
        code = OTHER
        try:
            action()
            code = 0
        except (OSError, UserError) as error:
            code = OTHER if "\n" in str(error) else RAISED
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def strike(step: str, way: str) -> None:
    """Let the system call `step`, such as "rename 2" for the second one, fail; for good, in this process."""
    seen: dict[str, int] = {}

    def arrive(name: str) -> None:
        seen[name] = seen.get(name, 0) + 1
        if f"{name} {seen[name]}" == step:
            if way == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(WAYS[way], os.strerror(WAYS[way]))

    watch(arrive)


def watch(arrive) -> None:
    """Call `arrive(name)` before each system call that changes a disk, and in the middle of each write."""
    events = {"os.mkdir": "mkdir", "os.rename": "rename", "os.remove": "remove", "os.rmdir": "rmdir"}

    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and arguments[2] is not None and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            arrive("open")
        elif event == "fcntl.flock":
            arrive("lock")
        elif event in events:
            arrive(events[event])

    real_sync = os.fsync

    def fsync(descriptor: int) -> None:
        arrive("fsync")
        real_sync(descriptor)

    def write_bytes(path: Path, content: bytes) -> None:
        with path.open("wb", buffering=0) as file:
            file.write(content[: len(content) // 2])
            arrive("write")
            file.write(content[len(content) // 2 :])

    os.fsync = fsync
    Path.write_bytes = write_bytes
    sys.addaudithook(hook)


def drafts(root: Path) -> list[Path]:
    return list(root.rglob(".zoo-draft-*"))


def steps(**counts: int) -> list[str]:
    return [f"{name} {index}" for name, count in counts.items() for index in range(1, count + 1)]


# What each writer below does to the disk: folder and draft, the lock, each file, then the renames, then cleaning up.
SAVE_STEPS = steps(mkdir=2, open=3, lock=1, write=2, fsync=3, rename=2, remove=1, rmdir=1)
PAGE_STEPS = steps(mkdir=4, open=4, lock=2, write=2, fsync=4, rename=2, remove=2, rmdir=2)
FOLDER_STEPS = steps(mkdir=4, open=3, lock=1, write=2, fsync=5, rename=1, remove=1, rmdir=1)
CLEANING = steps(remove=2, rmdir=2)
REMOVE_STEPS = steps(mkdir=2, open=1, lock=1, rename=1, remove=3, rmdir=3)


def fill(folder: Path) -> None:
    (folder / "weights").mkdir()
    (folder / "weights" / "0.bin").write_bytes(b"w" * 5000)
    (folder / "model.xml").write_bytes(b"x" * 3000)


def is_whole(folder: Path) -> bool:
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return sizes == {"weights/0.bin": 5000, "model.xml": 3000}


def write_page(root: Path, text: bytes) -> None:
    files.write_all({root / "pictures" / "plot.svg": text * 3, root / "page.md": text})


@pytest.mark.parametrize(
    ("wanted", "write"),
    [
        (SAVE_STEPS, lambda root, records: store.save(records.make(), SAMPLES, root)),
        (PAGE_STEPS, lambda root, records: write_page(root, b"new")),
        (FOLDER_STEPS, lambda root, records: files.whole_folder(root / "entry", fill)),
        (REMOVE_STEPS, lambda root, records: files.remove_folder(root / "standing")),
    ],
)
def test_no_system_call_is_left_out(wanted, write, records, tmp_path):
    store.save(records.make("first"), {}, tmp_path)
    store.save(records.make(), {}, tmp_path)  # its folder stands
    (tmp_path / "pictures").mkdir()
    files.whole_folder(tmp_path / "standing", fill)
    (tmp_path / "seen").touch()

    def watched() -> None:
        trace = os.open(tmp_path / "seen", os.O_WRONLY)
        watch(lambda name: os.write(trace, f"{name}\n".encode()))
        write(tmp_path, records)

    assert in_a_child(watched) == 0
    assert sorted((tmp_path / "seen").read_text().split()) == sorted(step.split()[0] for step in wanted)


def struck(step: str, way: str, write, *, harmless: set[str]) -> None:
    """Let the fault strike `write` in a child, and see that it ended as that fault ends it.

    `harmless` are the steps whose error changes nothing: making a folder that stands, and cleaning up.
    """

    def action() -> None:
        strike(step, way)
        write()

    passed = step in harmless or step in CLEANING
    assert in_a_child(action) == (-signal.SIGKILL if way == "killed" else 0 if passed else RAISED)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", SAVE_STEPS)
def test_a_record_is_kept_whole_or_not_at_all(step, way, records, tmp_path):
    earlier, record = records.make("unet", minutes=0), records.make("unet", minutes=5)
    kept = store.save(earlier, SAMPLES, tmp_path)
    struck(step, way, lambda: store.save(record, SAMPLES, tmp_path), harmless={"mkdir 1"})
    found = store.scan(tmp_path, history=True)
    assert found.warnings == ()
    assert found.records in [(earlier,), (earlier, record)], "what was finished is still there"
    for read in found.records:
        np.testing.assert_array_equal(
            store.samples(tmp_path / store.result_path(read))["network_s"], SAMPLES["network_s"]
        )
    if way != "killed" and step not in CLEANING:
        assert drafts(tmp_path) == []
    path = store.save(record, SAMPLES, tmp_path)
    assert store.scan(tmp_path, history=True) == store.Scan((earlier, record), ())
    assert sorted(kept.parent.iterdir()) == sorted(file for p in (kept, path) for file in (p, p.with_suffix(".npz")))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", PAGE_STEPS)
def test_a_page_never_shows_what_is_not_there(step, way, tmp_path):
    write_page(tmp_path, b"old")
    struck(step, way, lambda: write_page(tmp_path, b"new"), harmless={"mkdir 1", "mkdir 3"})
    page, plot = (tmp_path / "page.md").read_bytes(), (tmp_path / "pictures" / "plot.svg").read_bytes()
    assert page in {b"old", b"new"}
    assert plot in {b"oldoldold", b"newnewnew"}
    assert page == b"old" or plot == b"newnewnew", "the last file says that the set is complete"
    write_page(tmp_path, b"new")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["page.md", "pictures", "plot.svg"]
    assert (tmp_path / "page.md").read_bytes() * 3 == (tmp_path / "pictures" / "plot.svg").read_bytes() == b"new" * 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", FOLDER_STEPS)
def test_a_folder_appears_whole_or_not_at_all(step, way, tmp_path):
    target = tmp_path / "entry"
    struck(step, way, lambda: files.whole_folder(target, fill), harmless={"mkdir 1"})
    assert not target.exists() or is_whole(target)
    if way != "killed" and step not in CLEANING:
        assert drafts(tmp_path) == []
    assert files.whole_folder(target, fill) == target
    assert is_whole(target)
    files.whole_folder(tmp_path / "another", fill)  # one that is found is not written beside
    assert sorted(tmp_path.iterdir()) == [tmp_path / "another", target]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", REMOVE_STEPS)
def test_a_folder_vanishes_whole_or_not_at_all(step, way, tmp_path):
    target = files.whole_folder(tmp_path / "entry", fill)
    struck(step, way, lambda: files.remove_folder(target), harmless={"mkdir 1", "remove 3", "rmdir 3"})
    assert not target.exists() or is_whole(target)
    files.whole_folder(target, fill)
    files.remove_folder(target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size_bytes", [0, 1, 100, 1000, 2500])
@pytest.mark.parametrize("what", ["record", "folder", "function"])
def test_a_disk_that_is_really_full(what, size_bytes, records, tmp_path):
    earlier = store.save(records.make(minutes=0), SAMPLES, tmp_path)
    assert earlier.stat().st_size > size_bytes
    write = {
        "record": lambda: store.save(records.make(minutes=5), SAMPLES, tmp_path),
        "folder": lambda: files.whole_folder(tmp_path / "entry", fill),
        "function": lambda: files.write_all({tmp_path / "x": lambda draft: draft.write_bytes(b"x" * 3000)}),
    }[what]

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))  # the signal is ignored by Python
        write()

    before = sorted(tmp_path.rglob("*"))
    assert in_a_child(full) == RAISED
    assert sorted(tmp_path.rglob("*")) == before
    write()
    assert len(list(tmp_path.rglob("*"))) > len(before)


def test_what_lives_is_left_alone_and_what_died_is_removed(tmp_path):
    """Two processes fill the same entry; one is killed in the middle, and the other goes on untouched."""
    target, (ready, started), (wait, go) = tmp_path / "entry", os.pipe(), os.pipe()

    def slowly(folder: Path) -> None:
        fill(folder)
        os.write(started, b".")
        os.read(wait, 1)

    children = []
    for _ in range(2):
        children.append(os.fork())
        if children[-1] == 0:
            files.whole_folder(target, slowly)
            os._exit(0)
        os.read(ready, 1)
    assert len(drafts(tmp_path)) == 2, "the second took the first one's draft for no leftover"
    files.remove_leftovers(tmp_path)
    assert len(drafts(tmp_path)) == 2
    assert not target.exists()
    os.kill(children[0], signal.SIGKILL)
    os.waitpid(children[0], 0)
    files.remove_leftovers(tmp_path.parent)
    assert len(drafts(tmp_path)) == 1
    os.write(go, b".")
    assert os.waitstatus_to_exitcode(os.waitpid(children[1], 0)[1]) == 0
    assert list(tmp_path.iterdir()) == [target]
    assert is_whole(target)
    for end in (ready, started, wait, go):
        os.close(end)


def test_many_writers_of_one_entry_agree(tmp_path):
    target, children = tmp_path / "cache" / "entry", []
    for _ in range(8):
        children.append(os.fork())
        if children[-1] == 0:
            made = files.whole_folder(target, fill)
            os._exit(0 if is_whole(made) else 1)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 8
    assert is_whole(target)
    files.remove_leftovers(tmp_path)
    assert list((tmp_path / "cache").iterdir()) == [target]


@pytest.fixture(params=["links", "no links"])
def links(request, monkeypatch):
    """A file system with hard links, and one without."""

    def link(_source, _target):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if request.param == "no links":
        monkeypatch.setattr(os, "link", link)


@pytest.mark.usefixtures("links")
def test_a_new_file_has_one_writer_and_is_never_overwritten(tmp_path):
    target, children = tmp_path / "file", []
    for number in range(8):
        children.append(os.fork())
        if children[-1] == 0:
            os._exit(0 if files.write_new(target, bytes([number]) * 10_000) else RAISED)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(ended) == [0] + [RAISED] * 7
    assert target.read_bytes() == bytes([ended.index(0)]) * 10_000
    assert not files.write_new(target, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "no draft is left"


def test_an_entry_that_is_there_is_taken_without_a_write(tmp_path):
    target = files.whole_folder(tmp_path / "entry", fill)

    def look_only() -> None:
        watch(lambda name: os._exit(OTHER))
        files.whole_folder(target, fill)

    assert in_a_child(look_only) == 0


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_folders_is_written_to(tmp_path, monkeypatch, number):
    real_sync = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real_sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_all({tmp_path / "a": b"a"})
    assert is_whole(files.whole_folder(tmp_path / "entry", fill))


def test_what_a_function_raises_comes_through_and_leaves_nothing(tmp_path):
    def stumble(path: Path) -> None:
        if path.is_dir():
            fill(path)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        files.whole_folder(tmp_path / "entry", stumble)
    with pytest.raises(KeyError, match="mine"):
        files.write_all({tmp_path / "a": b"a", tmp_path / "b": stumble})
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path):
    (tmp_path / "entry").touch()
    with pytest.raises(OSError, match="entry"):
        files.whole_folder(tmp_path / "entry", fill)
    with pytest.raises(OSError, match="entry"):
        files.write_all({tmp_path / "entry" / "file": b""})
    assert list(tmp_path.iterdir()) == [tmp_path / "entry"]


def test_links_and_permissions_are_those_of_any_new_file(tmp_path):
    def link(folder: Path) -> None:
        (folder / "to").symlink_to("nowhere")

    (tmp_path / "plain").touch()
    files.write_all({tmp_path / "file": b""})
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (files.whole_folder(tmp_path / "entry", link) / "to").is_symlink()
    (tmp_path / "folder").mkdir()
    assert (tmp_path / "entry").stat().st_mode == (tmp_path / "folder").stat().st_mode
