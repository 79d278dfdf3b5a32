r"""Artifacts beside what a user of torchvision runs: its own model in eager NCHW fp32, upsampled by it, then argmax.

`uint8` image to `uint8` label map at 512x1024 on a CPU (1024x2048 on CUDA, which nobody ran yet), in turns within
one process, trained weights. The peer does what torchvision's `references/segmentation` does: normalise,
`model(image)["out"]`, `argmax(1)`. Labels are compared with the peer's own.

Needs CamVid in the Cityscapes layout (`ZOO_CAMVID`) and finished runs of the three models in `ZOO_RUNS`:
    zoo bench --models lraspp_mobilenet_v3_large,fcn_resnet50 --data DIR --preset camvid
    zoo bench --models deeplabv3_mobilenet_v3_large --data DIR --preset camvid --set train.name=longer \
        --set train.steps=1000
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from zoo.artifact import find_source, load
from zoo.catalog import find
from zoo.data.layout import open_dataset
from zoo.data.reading import read_image
from zoo.errors import UserError
from zoo.labels import CITYSCAPES
from zoo.models.build import build_empty
from zoo.runtimes import table
from zoo.state_dict import load_into, read_state_dict
from zoo.weights.source import require_weights

SIZES = {"cpu": (512, 1024), "cuda": (1024, 2048)}
TRAINED = (96, 128)
"""What the networks of `configs/bench/camvid.toml` are trained on."""
CASES = [  # device, model, runtime, precision, target
    ("cpu", "lraspp_mobilenet_v3_large", "eager", "fp32", 1.5),
    ("cpu", "lraspp_mobilenet_v3_large", "onnxruntime", "fp32", 4.0),
    ("cpu", "lraspp_mobilenet_v3_large", "openvino", "bf16", 4.0),
    ("cpu", "deeplabv3_mobilenet_v3_large", "eager", "fp32", 1.5),
    ("cpu", "deeplabv3_mobilenet_v3_large", "openvino", "bf16", 4.0),
    ("cpu", "fcn_resnet50", "eager", "bf16", 1.5),
    ("cpu", "fcn_resnet50", "openvino", "bf16", 2.5),
    *(
        ("cuda", model, runtime, "fp16", 3.0)
        for model in ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "fcn_resnet50")
        for runtime in ("compile", "aoti")
    ),
]
pytestmark = pytest.mark.usefixtures("two_threads")
MIN_EQUAL = 0.99
ROUNDS = 12


@pytest.fixture(scope="module")
def dataset():
    if not os.environ.get("ZOO_CAMVID"):
        pytest.skip("needs ZOO_CAMVID and trained runs, see the file's first lines")
    return open_dataset(os.environ["ZOO_CAMVID"])


def mosaics_of(dataset, size):
    """Mosaics of validation frames at the size the recipe trains on: on larger ones its networks know few labels."""
    height, width = TRAINED
    rows, columns = -(-size[0] // height), -(-size[1] // width)
    tiles = [
        np.array(Image.fromarray(read_image(frame.image)).resize((width, height))) for frame in dataset.frames("val")
    ]
    chosen = np.random.default_rng(0).integers(0, len(tiles), (4, rows, columns))
    mosaics = [np.vstack([np.hstack([tiles[tile] for tile in row]) for row in grid]) for grid in chosen]
    return [torch.from_numpy(mosaic[: size[0], : size[1]].copy())[None] for mosaic in mosaics]


def source_of(spec, dataset):
    try:
        return require_weights(find_source("run", spec, dataset, None, None), spec.name)
    except UserError as error:
        pytest.skip(str(error))


def torchvisions(spec, checkpoint, device):
    """The peer: torchvision's model with the same weights."""
    ours, _ = build_empty(spec, CITYSCAPES.num_classes)
    load_into(ours, read_state_dict(checkpoint), path=checkpoint, model=spec.name)
    theirs = torchvision.models.get_model(spec.name, weights=None, weights_backbone=None, num_classes=19)
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not missing.missing_keys
    theirs.eval().to(device)
    mean, std = (torch.tensor(triple, device=device).view(3, 1, 1) for triple in (spec.mean, spec.std))

    def predict(image):
        with torch.inference_mode():
            x = (image.to(device).permute(0, 3, 1, 2).float() / 255 - mean) / std
            return theirs(x.contiguous())["out"].argmax(1).to(torch.uint8).cpu()

    return predict


@pytest.mark.parametrize(("device", "model", "runtime", "precision", "target"), CASES)
def test_pipeline_beside_torchvisions(benchmark, wanted, dataset, device, model, runtime, precision, target):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    place, size = torch.device(device), SIZES[device]
    if reason := table.why_missing(runtime, place) or table.why_unsupported(runtime, place, precision):
        pytest.skip(reason)
    images = mosaics_of(dataset, size)
    spec = find(model)
    source = source_of(spec, dataset)
    peer = torchvisions(spec, source.file, place)
    asked = wanted(spec, source, size, runtime=runtime, precision=precision, device=place, dataset=dataset)
    artifact, _, _ = load(asked)
    expected = [peer(image) for image in images]
    varied = all(int((torch.bincount(e.flatten(), minlength=19) >= 0.01 * e.numel()).sum()) >= 6 for e in expected)
    assert varied, "rule 12: agreement means something only where labels vary"
    equal = float(np.mean([(artifact.predict(i) == e).double().mean() for i, e in zip(images, expected, strict=True)]))
    peer_s = []

    def time_peer():
        """Each timed call follows an untimed one of its own: it finds its own threads and caches."""
        image = images[len(peer_s) % len(images)]
        peer(image)
        start = time.perf_counter()
        peer(image)
        peer_s.append(time.perf_counter() - start)
        artifact.predict(image)
        return (image,), {}

    benchmark.pedantic(artifact.predict, setup=time_peer, rounds=ROUNDS, warmup_rounds=2)
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
