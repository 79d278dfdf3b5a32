import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import islice

import numpy as np
import psutil
import pytest
import torch
from torch.utils.data import DataLoader

from zoo.config import TrainConfig
from zoo.data import loading
from zoo.data.layout import open_dataset
from zoo.data.loading import _order, evaluation_frames, train_batches
from zoo.data.reading import read_frame
from zoo.errors import ModelError, UserError
from zoo.labels import CITYSCAPES

CONFIG = TrainConfig(batch_size=3, crop_size=(16, 24))


def take(stream, batch_count):
    return list(islice(stream, batch_count))


def same(one, other):
    return all((a == b).all() for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


@pytest.fixture
def dataset(folder):
    for number in range(7):
        folder.add("train", number=number, size=(20, 30), value=7 + number)
    return open_dataset(folder.root)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_batches_are_uint8_and_channels_last(dataset):
    images, labels, colors = next(train_batches(dataset, "train", CONFIG))
    assert [str(part.dtype) for part in (images, labels, colors)] == ["torch.uint8", "torch.uint8", "torch.float32"]
    assert tuple(images.shape) == (3, 16, 24, 3)
    assert tuple(labels.shape) == (3, 16, 24)
    assert tuple(colors.shape) == (3, 3)


def test_colors_are_drawn_within_their_strength(dataset):
    batches = take(train_batches(dataset, "train", CONFIG.model_copy(update={"color_jitter": 0.3})), 20)
    colors = np.concatenate([batch.colors for batch in batches])
    assert 0.7 <= colors.min() < 0.75
    assert 1.25 < colors.max() <= 1.3
    (plain,) = take(train_batches(dataset, "train", CONFIG.model_copy(update={"color_jitter": 0.0})), 1)
    assert (plain.colors == 1).all()
    assert (plain.images == batches[0].images).all()  # colours move no pixel


def test_stream_repeats_and_resumes_at_any_step(dataset):
    whole = take(train_batches(dataset, "train", CONFIG), 9)
    assert same(whole, take(train_batches(dataset, "train", CONFIG), 9))
    assert same(whole[4:], take(train_batches(dataset, "train", CONFIG, start_step=4), 5))
    other = take(train_batches(dataset, "train", CONFIG.model_copy(update={"seed": 1})), 9)
    assert not same(whole, other)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_give_the_same_batches(dataset, method, monkeypatch):
    whole = take(train_batches(dataset, "train", CONFIG), 6)
    monkeypatch.setattr(loading, "DataLoader", partial(DataLoader, multiprocessing_context=method))
    stream = train_batches(dataset, "train", CONFIG, workers=1)
    assert same(whole, take(stream, 6))
    stream.close()


def test_prepared_and_unprepared_give_the_same_batches(dataset):
    whole = take(train_batches(dataset, "train", CONFIG), 6)
    assert same(whole, take(train_batches(dataset, "train", CONFIG, prepared=False), 6))


def test_prepared_training_opens_no_file_of_the_dataset(dataset):
    whole = take(train_batches(dataset, "train", CONFIG), 6)
    stream = train_batches(dataset, "train", CONFIG)
    shutil.rmtree(dataset.root)
    assert same(whole, take(stream, 6))


def test_unprepared_training_decodes_each_file_once_per_sample(dataset, monkeypatch):
    opened = []
    real = loading.read_frame
    monkeypatch.setattr(loading, "read_frame", lambda frame, spec: opened.append(frame.name) or real(frame, spec))
    take(train_batches(dataset, "train", CONFIG, prepared=False), 7)
    assert len(opened) == 21
    assert len(set(opened)) == 7


def test_training_goes_on_where_nothing_can_be_prepared(dataset, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    whole = take(train_batches(dataset, "train", CONFIG), 2)
    assert not caplog.records
    assert same(whole, take(train_batches(dataset, "train", CONFIG, cache=tmp_path / "file" / "cache"), 2))
    (note,) = caplog.messages
    assert "\n" not in note
    assert "cannot be kept in" in note


def test_every_frame_is_prepared_before_the_first_batch(dataset):
    told = []
    train_batches(dataset, "train", CONFIG, on_frame=lambda done, total: told.append((done, total)))
    assert told == [(done, 7) for done in range(1, 8)]


@pytest.mark.parametrize(("process_count", "accumulate"), [(1, 1), (2, 1), (1, 3), (2, 3)])
def test_processes_and_pieces_see_the_images_of_one(dataset, process_count, accumulate):
    config = CONFIG.model_copy(update={"batch_size": 12})
    whole = take(train_batches(dataset, "train", config, start_step=1), 2)
    shared = config.model_copy(update={"accumulate": accumulate})
    streams = [
        train_batches(dataset, "train", shared, start_step=1, shard=(index, process_count))
        for index in range(process_count)
    ]
    for step in whole:  # piece after piece, each spread over the processes
        pieces = [next(stream) for _ in range(accumulate) for stream in streams]
        assert all(len(piece.images) == 12 // (process_count * accumulate) for piece in pieces)
        for part, together in zip(zip(*pieces, strict=True), step, strict=True):
            assert np.array_equal(np.concatenate(part), together)


@pytest.mark.parametrize(("process_count", "accumulate"), [(2, 1), (1, 2), (6, 1)])
def test_batch_that_cannot_be_shared_out_is_refused(dataset, process_count, accumulate):
    config = CONFIG.model_copy(update={"accumulate": accumulate})
    with pytest.raises(UserError, match=f"batch_size 3 is not a multiple of {process_count} processes x {accumulate}"):
        train_batches(dataset, "train", config, shard=(0, process_count))


def test_every_epoch_shows_every_frame_in_a_new_order():
    first, second = _order(0, 0, 50), _order(0, 1, 50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert list(first) != list(second)


@pytest.mark.parametrize(("workers", "prepared"), [(0, True), (0, False), (1, False)])
def test_damage_met_while_training_is_one_line(dataset, workers, prepared):
    for frame in dataset.frames("train")[1:]:
        frame.label.write_bytes(frame.label.read_bytes()[:-30])
    with pytest.raises(UserError) as caught:
        take(train_batches(dataset, "train", CONFIG, workers=workers, prepared=prepared), 4)
    assert "\n" not in str(caught.value)
    assert "gtFine_labelIds.png cannot be read" in str(caught.value)


def test_dataset_folder_is_left_as_it_is(dataset):
    before = {path: path.stat().st_mtime_ns for path in dataset.root.rglob("*")}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    dataset.root.chmod(0o555)
    take(train_batches(dataset, "train", CONFIG), 3)
    list(evaluation_frames(dataset, "train"))
    after = {path: path.stat().st_mtime_ns for path in dataset.root.rglob("*")}
    dataset.root.chmod(0o755)
    for path in before:
        path.chmod(0o755)
    assert after == before


def test_evaluation_walks_over_the_split(dataset):
    walked = list(evaluation_frames(dataset, "train"))
    assert [frame for frame, _, _ in walked] == list(dataset.frames("train"))
    for frame, image, label in walked:
        expected = read_frame(frame, dataset.spec)
        assert np.array_equal(image, expected[0])
        assert np.array_equal(label, expected[1])


@pytest.mark.parametrize(("limit", "numbers"), [(1, [0]), (3, [0, 2, 4]), (7, list(range(7))), (99, list(range(7)))])
def test_limited_evaluation_spreads_over_the_split(dataset, limit, numbers):
    walked = [int(frame.name[-6:]) for frame, _, _ in evaluation_frames(dataset, "train", limit=limit)]
    assert walked == numbers


@pytest.mark.data
@pytest.mark.skipif("ZOO_CAMVID" not in os.environ, reason="ZOO_CAMVID names no folder")
def test_camvid_class_shares():
    """The pixel shares its README states, in percent."""
    opened = open_dataset(os.environ["ZOO_CAMVID"])
    counts = np.zeros(256, np.int64)
    for _, image, label in evaluation_frames(opened, "train"):
        assert image.shape == (360, 480, 3)
        counts += np.bincount(label.ravel(), minlength=256)
    shares = {name: 100 * counts[k] / counts.sum() for k, name in enumerate(CITYSCAPES.class_names)}
    stated = {
        "road": 31.7,
        "building": 23.3,
        "sky": 16.8,
        "vegetation": 9.7,
        "car": 5.9,
        "sidewalk": 4.5,
        "person": 0.64,
    }
    for name, share in stated.items():
        assert shares[name] == pytest.approx(share, abs=0.06)
    assert 100 * counts[255] / counts.sum() == pytest.approx(3.9, abs=0.06)


def fail_to_share(self):
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device (28)")


def test_full_shared_memory_is_gone_round(dataset, monkeypatch, caplog):
    whole = take(train_batches(dataset, "train", CONFIG), 6)
    monkeypatch.setattr(torch.Tensor, "share_memory_", fail_to_share)
    stream = train_batches(dataset, "train", CONFIG, workers=1)
    assert same(whole, take(stream, 6))
    stream.close()
    assert caplog.text.count("shared memory is full") == 1
    assert "--shm-size" in caplog.text


WITH_LITTLE = """
import sys
from pathlib import Path
from zoo.config import TrainConfig
from zoo.data.layout import open_dataset
from zoo.data.loading import train_batches

config = TrainConfig(batch_size=4, crop_size=(512, 1024), scale_range=(8.0, 8.0))
stream = train_batches(open_dataset(sys.argv[1]), "train", config, workers=2, cache=Path(sys.argv[2]))
print(sum(next(stream).images.shape[0] for _ in range(5)))
stream.close()
"""


@pytest.mark.skipif(not shutil.which("unshare") or os.geteuid() != 0, reason="only root mounts a small /dev/shm")
def test_a_container_with_little_shared_memory_loads_all_the_same(dataset, tmp_path):
    """Eight megabytes, and a batch has eight: torch alone would wait for ever."""
    shell = 'mount -t tmpfs -o size=8m tmpfs /dev/shm && exec "$@"'
    line = ["unshare", "--mount", "sh", "-c", shell, "sh", sys.executable, "-c", WITH_LITTLE, str(dataset.root)]
    done = subprocess.run([*line, str(tmp_path)], check=False, capture_output=True, text=True, timeout=240)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("this container mounts nothing")
    assert done.stdout.strip() == "20"
    assert done.stderr.count("shared memory is full") == 1
    assert "Traceback" not in done.stderr


def test_where_no_process_can_be_started_batches_are_loaded_here(dataset, monkeypatch, caplog):
    def refuse(*arguments, num_workers, **options):
        if num_workers:
            raise OSError(28, "No space left on device")
        return DataLoader(*arguments, num_workers=num_workers, **options)

    whole = take(train_batches(dataset, "train", CONFIG), 3)
    monkeypatch.setattr(loading, "DataLoader", refuse)
    assert same(whole, take(train_batches(dataset, "train", CONFIG, workers=2), 3))
    assert "no loader process could be started" in caplog.text


def test_a_loader_process_that_is_killed_ends_in_one_line(dataset, monkeypatch):
    monkeypatch.setattr(loading, "POLL_S", 1)
    stream = train_batches(dataset, "train", CONFIG, workers=1)
    before = set(psutil.Process().children())
    next(stream)
    (child,) = set(psutil.Process().children()) - before
    child.kill()
    with pytest.raises(ModelError, match=r"process that loads batches failed \(.*workers=0") as caught:
        take(stream, 20)
    assert "\n" not in str(caught.value)
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL  # no step is interrupted by it


def test_loader_processes_that_hang_are_not_waited_for_for_ever(dataset, monkeypatch):
    monkeypatch.setattr(loading, "POLL_S", 1)
    monkeypatch.setattr(loading, "PATIENCE_S", 1.5)
    monkeypatch.setattr(loading, "augment", lambda *_: time.sleep(60))
    stream = train_batches(dataset, "train", CONFIG, workers=1)
    with pytest.raises(ModelError, match="gave nothing for 2 s"):
        next(stream)


def test_a_slow_batch_is_waited_for(dataset, monkeypatch):
    real = loading.augment
    (whole,) = take(train_batches(dataset, "train", CONFIG), 1)

    def slow(*arguments):
        time.sleep(0.7)
        return real(*arguments)

    monkeypatch.setattr(loading, "POLL_S", 1)
    monkeypatch.setattr(loading, "augment", slow)
    stream = train_batches(dataset, "train", CONFIG, workers=1)
    assert same([whole], take(stream, 1))
    stream.close()
