"""Artifacts beside what a user of torchvision runs: its own model in eager NCHW fp32, upsampled by it, then argmax.

512x1024, `uint8` image to `uint8` label map, in turns within one process, trained weights. The peer does what
torchvision's `references/segmentation` does: normalise, `model(image)["out"]`, `argmax(1)`. Labels are compared with
the peer's own.

Needs CamVid in the Cityscapes layout (`ZOO_CAMVID`) and finished runs of the three models in `ZOO_RUNS`:
    zoo bench --models lraspp_mobilenet_v3_large,deeplabv3_mobilenet_v3_large,fcn_resnet50 --data DIR --preset camvid
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from zoo.catalog import find
from zoo.checkpoint import find_any_checkpoint, load_weights, runs_folder
from zoo.data.layout import open_dataset
from zoo.data.loading import read_image
from zoo.errors import UserError
from zoo.export import Wanted, load
from zoo.labels import CITYSCAPES
from zoo.models.build import build_empty
from zoo.runtimes import base

SIZE = (512, 1024)
CPU = torch.device("cpu")
CASES = [  # model, runtime, precision, target
    ("lraspp_mobilenet_v3_large", "eager", "fp32", 1.5),
    ("lraspp_mobilenet_v3_large", "onnxruntime", "fp32", 4.0),
    ("lraspp_mobilenet_v3_large", "openvino", "bf16", 4.0),
    ("deeplabv3_mobilenet_v3_large", "eager", "fp32", 1.5),
    ("deeplabv3_mobilenet_v3_large", "openvino", "bf16", 4.0),
    ("fcn_resnet50", "eager", "bf16", 1.5),
    ("fcn_resnet50", "openvino", "bf16", 2.5),
]
MIN_EQUAL = 0.99
ROUNDS = 12


@pytest.fixture(scope="module")
def dataset():
    if not os.environ.get("ZOO_CAMVID"):
        pytest.skip("needs ZOO_CAMVID and trained runs, see the file's first lines")
    return open_dataset(os.environ["ZOO_CAMVID"])


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images(dataset):
    frames = dataset.frames("val")[:: max(1, len(dataset.frames("val")) // 4)][:4]
    resized = (Image.fromarray(read_image(frame.image)).resize(SIZE[::-1]) for frame in frames)
    return [torch.from_numpy(np.array(image))[None] for image in resized]


def checkpoint_of(spec, dataset) -> Path:
    try:
        return find_any_checkpoint(runs_folder(), spec, dataset)
    except UserError as error:
        pytest.skip(str(error))


def torchvisions(spec, checkpoint):
    """The peer: torchvision's model with the same weights."""
    ours, _ = build_empty(spec, CITYSCAPES.num_classes)
    load_weights(ours, checkpoint, spec.name, CITYSCAPES.num_classes)
    theirs = torchvision.models.get_model(spec.name, weights=None, weights_backbone=None, num_classes=19)
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not missing.missing_keys
    theirs.eval()
    mean, std = (torch.tensor(triple).view(3, 1, 1) for triple in (spec.mean, spec.std))

    def predict(image):
        with torch.inference_mode():
            x = (image.permute(0, 3, 1, 2).float() / 255 - mean) / std
            return theirs(x.contiguous())["out"].argmax(1).to(torch.uint8)

    return predict


@pytest.mark.parametrize(("model", "runtime", "precision", "target"), CASES)
def test_pipeline_beside_torchvisions(benchmark, dataset, images, model, runtime, precision, target):
    if reason := base.why_missing(runtime, CPU) or base.why_unsupported(runtime, CPU, precision):
        pytest.skip(reason)
    spec = find(model)
    checkpoint = checkpoint_of(spec, dataset)
    peer = torchvisions(spec, checkpoint)
    artifact, _, _ = load(
        Wanted(
            spec=spec,
            classes=CITYSCAPES,
            weights=checkpoint,
            dataset=dataset,
            runtime=runtime,
            precision=precision,
            device=CPU,
            image_size=SIZE,
            input_size=SIZE,
            resize="none",
            batch_size=1,
            memory_format="channels_last",
            compile_mode="default",
            cache=None,
        )
    )
    expected = [peer(image) for image in images]
    varied = all(int((torch.bincount(e.flatten(), minlength=19) >= 0.01 * e.numel()).sum()) >= 6 for e in expected)
    assert varied, "rule 12: agreement means something only where labels vary"
    equal = float(np.mean([(artifact.predict(i) == e).double().mean() for i, e in zip(images, expected, strict=True)]))
    peer_s = []

    def time_peer():
        start = time.perf_counter()
        peer(images[len(peer_s) % len(images)])
        peer_s.append(time.perf_counter() - start)
        artifact.predict(images[0])  # the timed call finds its own threads and caches, not the peer's

    benchmark.pedantic(artifact.predict, (images[0],), setup=time_peer, rounds=ROUNDS, warmup_rounds=2)
    ratio = float(np.median(peer_s)) / benchmark.stats.stats.median
    benchmark.extra_info.update(
        peer=f"torchvision {model}, eager NCHW fp32",
        ratio_to_peer=ratio,
        target=target,
        runtime=runtime,
        precision=precision,
        equal_share=equal,
    )
    assert equal >= MIN_EQUAL
    assert ratio >= target
