import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from zoo.data import prepared
from zoo.data.layout import open_dataset
from zoo.data.prepared import PreparationError, prepare
from zoo.data.reading import read_frame
from zoo.errors import UserError

SIZES = ((20, 30), (8, 12), (33, 17))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(prepared, "BLOCK_FRAMES", 4)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def dataset(folder):
    """10 frames of three sizes: three blocks, the last of 2 frames."""
    for number in range(10):
        folder.add("train", number=number, size=SIZES[number % 3], value=7 + number)
    return open_dataset(folder.root)


@pytest.fixture
def decoded(monkeypatch):
    """Names of the frames that were decoded."""
    names = []
    real = prepared.read_frame
    monkeypatch.setattr(prepared, "read_frame", lambda frame, spec: names.append(frame.name) or real(frame, spec))
    return names


def assert_holds(opened, dataset):
    for index, frame in enumerate(dataset.frames("train")):
        for ours, expected in zip(opened.frame(index), read_frame(frame, dataset.spec), strict=True):
            assert np.array_equal(ours, expected)
            assert ours.dtype == np.uint8
            assert not ours.flags.writeable


def blocks(cache):
    """Blocks that stand; nothing else may."""
    found = list(cache.glob("prepared/*/*"))
    assert all(
        sorted(path.name for path in block.iterdir()) == ["images.npy", "labels.npy", "sizes.npy"] for block in found
    )
    return {block.name for block in found}


def relabel(frame, value):
    """Give a frame another label of the same size in bytes, later."""
    with Image.open(frame.label) as label:
        size = label.size
    Image.new("L", size, value).save(frame.label)
    os.utime(frame.label, (time.time() + 5,) * 2)


def test_prepared_frames_are_those_of_the_files(dataset, cache, decoded):
    told = []
    opened = prepare(dataset, "train", cache=cache, on_frame=lambda *done: told.append(done))
    assert_holds(opened, dataset)
    assert told == [(count, 10) for count in range(1, 11)]
    assert sorted(decoded) == [frame.name for frame in dataset.frames("train")]
    assert len(blocks(cache)) == 3


def test_second_call_decodes_nothing_and_writes_nothing(dataset, cache, decoded):
    prepare(dataset, "train", cache=cache)
    decoded.clear()

    def times():
        return {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}

    before = times()
    told = []
    assert_holds(prepare(dataset, "train", cache=cache, on_frame=lambda *done: told.append(done)), dataset)
    assert decoded == told == []
    assert times() == before


def test_arrays_are_mapped_not_read(dataset, cache):
    opened = prepare(dataset, "train", cache=cache)
    image, label = opened.frame(5)
    for array in (image, label):
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        assert type(owner.base).__name__ == "mmap"


def test_another_process_maps_the_same_files(dataset, cache):
    opened = prepare(dataset, "train", cache=cache)
    sent = pickle.dumps(opened)
    assert len(sent) < 4000  # paths, no pixels
    assert_holds(pickle.loads(sent), dataset)


def test_changed_source_is_noticed_and_the_old_block_is_removed(dataset, cache, decoded):
    before = (prepare(dataset, "train", cache=cache), blocks(cache))[1]
    decoded.clear()
    relabel(dataset.frames("train")[5], 11)
    fresh = open_dataset(dataset.root)
    assert_holds(prepare(fresh, "train", cache=cache), fresh)
    assert sorted(decoded) == [frame.name for frame in fresh.frames("train")[4:8]]  # its block alone
    assert len(blocks(cache)) == 3
    assert len(blocks(cache) & before) == 2


def test_added_and_removed_frames_are_noticed(folder, dataset, cache):
    prepare(dataset, "train", cache=cache)
    folder.add("train", number=99, size=(9, 9))
    longer = open_dataset(folder.root)
    assert_holds(prepare(longer, "train", cache=cache), longer)
    first = longer.frames("train")[0]
    first.image.unlink()
    first.label.unlink()
    shorter = open_dataset(folder.root)
    assert_holds(prepare(shorter, "train", cache=cache), shorter)
    assert len(blocks(cache)) == 3


def test_opened_arrays_outlive_their_removal(dataset, cache):
    opened = prepare(dataset, "train", cache=cache)
    kept = [opened.frame(index)[1].copy() for index in range(10)]
    relabel(dataset.frames("train")[0], 11)
    prepare(open_dataset(dataset.root), "train", cache=cache)
    assert all(np.array_equal(opened.frame(index)[1], label) for index, label in enumerate(kept))


def test_other_classes_and_other_splits_are_kept_apart(folder, dataset, cache):
    folder.add("val", size=(8, 12), value=7)
    both = open_dataset(folder.root)
    prepare(both, "train", cache=cache)
    prepare(both, "val", cache=cache)
    assert len(blocks(cache)) == 4
    table = {**both.spec.label_to_train_id, 7: 3}
    other = open_dataset(folder.root)
    object.__setattr__(other, "spec", both.spec.model_copy(update={"label_to_train_id": table}))
    assert (prepare(other, "val", cache=cache).frame(0)[1] == 3).all()


@pytest.mark.parametrize("at", range(1, 11))
def test_interruption_anywhere_goes_on_where_it_stopped(dataset, cache, decoded, at):
    def interrupt(done, _total):
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(dataset, "train", cache=cache, on_frame=interrupt)
    finished = len(blocks(cache))
    assert finished == (at - 1) // 4
    decoded.clear()
    told = []
    assert_holds(prepare(dataset, "train", cache=cache, on_frame=lambda *done: told.append(done)), dataset)
    assert len(decoded) == 10 - 4 * finished
    assert told == [(count, 10) for count in range(4 * finished + 1, 11)]


def start(dataset, cache, arguments, before=""):
    """Prepare in a process of its own, after running `before`; a `UserError` is its last line."""
    code = f"""
import os, resource, signal
from pathlib import Path
from zoo.data import prepared
from zoo.data.layout import open_dataset
prepared.BLOCK_FRAMES = 4
{before}
try:
    prepared.prepare(open_dataset({str(dataset.root)!r}), "train", cache=Path({str(cache)!r}), {arguments})
except prepared.PreparationError as error:
    print(error)
"""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("at", [1, 6])
def test_a_kill_leaves_nothing_that_looks_whole(dataset, cache, at):
    kill = f"on_frame=lambda done, _: done == {at} and os.kill(os.getpid(), signal.SIGKILL)"
    with start(dataset, cache, kill) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len([path for path in cache.glob("prepared/*/*") if not path.name.startswith(".")]) == (at - 1) // 4
    assert_holds(prepare(dataset, "train", cache=cache), dataset)
    assert len(blocks(cache)) == 3  # and no draft of the dead


@pytest.mark.parametrize("limit", [0, 130, 4000])
def test_a_disk_that_is_really_full(dataset, cache, limit):
    """Files may grow to `limit` bytes alone: the system refuses the rest of the write."""
    with start(dataset, cache, "", f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))") as process:
        said, _ = process.communicate()
    assert process.returncode == 0
    assert len(said.splitlines()) == 1
    assert "cannot be kept in" in said
    assert "File too large" in said
    assert blocks(cache) == set()


def test_processes_at_once_make_one_copy(dataset, cache):
    processes = [start(dataset, cache, f"turn=({index}, 3)") for index in range(3)]
    for process in processes:
        said, _ = process.communicate()
        assert (process.returncode, said) == (0, "")
    assert len(blocks(cache)) == 3
    assert_holds(prepare(dataset, "train", cache=cache), dataset)


def test_second_process_begins_elsewhere(dataset, cache, decoded):
    """The second begins at another block, and is met by the first."""
    opened = []

    def second(done, _total):
        if done == 1:
            opened.append(prepare(dataset, "train", cache=cache, turn=(1, 2)))

    opened.append(prepare(dataset, "train", cache=cache, on_frame=second, turn=(0, 2)))
    for one in opened:
        assert_holds(one, dataset)
    assert len(blocks(cache)) == 3
    assert len(decoded) == 4 + 10  # the first's own block, and all by the second
    last_of_first_block = len(decoded) - 1 - decoded[::-1].index(dataset.frames("train")[0].name)
    assert decoded.index(dataset.frames("train")[4].name) < last_of_first_block


def test_damaged_file_is_named_and_leaves_no_block(dataset, cache):
    path = dataset.frames("train")[6].label
    path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(UserError, match=f"{path.name} cannot be read") as caught:
        prepare(dataset, "train", cache=cache)
    assert not isinstance(caught.value, PreparationError)  # the dataset is to be mended, not the cache
    assert len(blocks(cache)) == 1


def test_image_swapped_in_the_middle_is_named(dataset, cache, monkeypatch):
    monkeypatch.setattr(prepared, "frame_sizes", lambda frames: [(3, 4)] * len(frames))
    with pytest.raises(UserError, match="was changed while it was read"):
        prepare(dataset, "train", cache=cache)
    assert blocks(cache) == set()


def test_too_little_room_is_said_before_the_start(dataset, cache, decoded, monkeypatch):
    need = sum(4 * np.prod(read_frame(frame, dataset.spec)[1].shape) for frame in dataset.frames("train"))
    enough = prepared.RESERVE_BYTES + int(need)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=enough - 1))
    with pytest.raises(PreparationError, match=r"needs 0.0 GiB in .*free some room, or name another cache"):
        prepare(dataset, "train", cache=cache)
    assert decoded == []
    assert not cache.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=enough))
    prepare(dataset, "train", cache=cache)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_full_disk_in_the_middle_is_one_line_and_leaves_nothing(dataset, cache, monkeypatch, number):
    real, calls = prepared._write_header, []

    def fail_late(stream, length):
        calls.append(length)
        if len(calls) == 4:  # the second block's labels
            raise OSError(number, os.strerror(number))
        real(stream, length)

    with monkeypatch.context() as patched:
        patched.setattr(prepared, "_write_header", fail_late)
        with pytest.raises(PreparationError) as caught:
            prepare(dataset, "train", cache=cache)
    assert os.strerror(number) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(blocks(cache)) == 1
    assert_holds(prepare(dataset, "train", cache=cache), dataset)


def test_cache_that_cannot_be_made_is_one_line(dataset, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PreparationError, match=r"cannot be kept in .*file.*: Not a directory"):
        prepare(dataset, "train", cache=tmp_path / "file")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda block: os.truncate(block / "images.npy", 200),
        lambda block: os.truncate(block / "sizes.npy", 0),
        lambda block: (block / "labels.npy").unlink(),
    ],
)
def test_damaged_block_is_made_again(dataset, cache, spoil):
    prepare(dataset, "train", cache=cache)
    spoil(min(cache.glob("prepared/*/*")))
    assert_holds(prepare(dataset, "train", cache=cache), dataset)


def test_vanished_file_is_named(dataset, cache):
    dataset.frames("train")[3].image.unlink()
    with pytest.raises(UserError, match=r"000003_leftImg8bit\.png cannot be read: it does not exist"):
        prepare(dataset, "train", cache=cache)


def test_split_without_labels_cannot_be_prepared(folder, cache):
    folder.add("val")
    folder.add("test", kinds=())
    with pytest.raises(UserError, match="has no label file"):
        prepare(open_dataset(folder.root), "test", cache=cache)
