"""The mean label map: one answer for every image."""

import os
import tracemalloc

import numpy as np
import pytest
import torch

from tests.scored import CLASS_IDS, random_maps, write_set
from zoo.baseline import mean_label_map, predict_constant
from zoo.counting import evaluate
from zoo.data.layout import open_dataset
from zoo.data.reading import read_label
from zoo.score.accuracy import miou


@pytest.fixture
def camvid():
    if "ZOO_CAMVID" not in os.environ:
        pytest.skip("ZOO_CAMVID names no folder")
    return open_dataset(os.environ["ZOO_CAMVID"])


@pytest.mark.data
def test_mean_label_map_of_camvid(camvid):
    result = evaluate(predict_constant(mean_label_map(camvid)), camvid, "val")
    assert miou(result.confusion) == pytest.approx(0.167, abs=5e-4)


def test_mean_label_map(tmp_path):
    maps = [np.full((4, 6), 7, np.uint8), np.full((4, 6), 11, np.uint8), np.full((8, 12), 11, np.uint8)]
    maps[0][0, 0] = maps[1][0, 0] = 0
    maps[2][:2, :2] = 0  # never labelled there: the most frequent class of all
    dataset = write_set(tmp_path, maps, split="train")
    label_map = mean_label_map(dataset)
    assert label_map.dtype == np.uint8
    np.testing.assert_array_equal(label_map, np.full((4, 6), 2))
    larger = predict_constant(label_map)(torch.zeros(2, 8, 12, 3, dtype=torch.uint8))
    assert larger.shape == (2, 8, 12)


def test_the_mean_label_map_is_as_large_as_most_frames(tmp_path):
    shapes = [(12, 8), (8, 12), (8, 12), (12, 8), (8, 12)]  # a portrait first
    dataset = write_set(tmp_path, [np.full(shape, 7, np.uint8) for shape in shapes], split="train")
    assert mean_label_map(dataset).shape == (8, 12)


@pytest.mark.parametrize("block_bytes", [1, 50_000, 2**28])
def test_the_mean_label_map_is_counted_in_blocks(tmp_path, monkeypatch, block_bytes):
    truths = random_maps(np.random.default_rng(2), [*CLASS_IDS, 0, 0], count=7, shape=(60, 90))
    for truth in truths:
        truth[13:15, 20:70] = 0  # never labelled
    dataset = write_set(tmp_path, truths, split="train")
    read = np.stack([read_label(frame, dataset.spec) for frame in dataset.frames("train")])
    counts = np.stack([(read == train_id).sum(axis=0) for train_id in range(19)])  # K, H, W
    expected = np.where(counts.any(axis=0), counts.argmax(axis=0), counts.sum(axis=(1, 2)).argmax())
    monkeypatch.setattr("zoo.baseline.BLOCK_BYTES", block_bytes)
    tracemalloc.start()
    np.testing.assert_array_equal(mean_label_map(dataset), expected)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if block_bytes < 2**28:
        assert peak < block_bytes + 60 * read[0].nbytes, (
            "whole it would be 20 counts a pixel and as many for each index"
        )
