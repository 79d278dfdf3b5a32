"""One training step of DeepLabV3-ResNet-50 at 512x1024, beside torchvision's own loop on the same device, in turns.

The peer is the step of torchvision's `references/segmentation/train.py`: its model with the auxiliary head, NCHW, fp32,
cross-entropy that ignores 255, SGD; images reach it normalised. Ours is the step that `zoo train` runs, precision
`auto`, from `uint8`: recoloured, normalised, and with the gradient clipped.

On a GPU also, on what the loader brings of prepared 1024x2048 frames: the share of the time the GPU is busy, as its
driver counts it, and the speed beside that on a batch that lies ready.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from itertools import repeat

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from zoo.catalog import find
from zoo.config import TrainConfig
from zoo.data import synthetic
from zoo.data.layout import open_dataset
from zoo.data.loading import Batch, train_batches
from zoo.models.build import build_model
from zoo.train.step import TrainingStep

CROP = (512, 1024)
CASES = [("cpu", 2, 1.3, 3), ("cuda", 8, 2.0, 20)]  # device, batch, target, rounds
LEARNING_RATE = 0.01

pytestmark = [pytest.mark.usefixtures("two_threads"), pytest.mark.timeout(1800)]


def training_step(device, config):
    module, spec = build_model(find("deeplabv3_resnet50"))
    module.train().to(device).to(memory_format=torch.channels_last)
    return TrainingStep(module, spec, config, num_classes=19, device=device)


def ours(device, batch_size):
    config = TrainConfig(batch_size=batch_size, crop_size=CROP, sgd_learning_rate=LEARNING_RATE)
    one = training_step(device, config)
    rng = torch.Generator().manual_seed(0)
    batch = Batch(
        images=torch.randint(0, 256, (batch_size, *CROP, 3), dtype=torch.uint8, generator=rng),
        labels=torch.randint(0, 19, (batch_size, *CROP), dtype=torch.uint8, generator=rng),
        colors=torch.rand(batch_size, 3, generator=rng) * 0.6 + 0.7,
    )

    def step():
        loss, norm = one.gradients(0, [batch])
        one.update(0)
        assert np.isfinite(loss + norm)

    return step, "bf16" if one.bf16 else "fp32"


def torchvisions(device, batch_size):
    model = torchvision.models.get_model(
        "deeplabv3_resnet50", weights=None, weights_backbone=None, num_classes=19, aux_loss=True
    )
    model.train().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=1000, power=0.9)
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, 3, *CROP, generator=rng)
    labels = torch.randint(0, 19, (batch_size, *CROP), generator=rng)

    def step():
        image, target = images.to(device), labels.to(device)
        output = model(image)
        losses = {name: nn.functional.cross_entropy(x, target, ignore_index=255) for name, x in output.items()}
        loss = losses["out"] + 0.5 * losses["aux"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        assert np.isfinite(loss.item())

    return step


@pytest.mark.parametrize(("kind", "batch_size", "target", "rounds"), CASES, ids=[case[0] for case in CASES])
def test_training_step_beside_torchvisions(benchmark, kind, batch_size, target, rounds):
    if kind == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    device = torch.device(kind)
    peer, (step, precision) = torchvisions(device, batch_size), ours(device, batch_size)
    wait = torch.cuda.synchronize if kind == "cuda" else lambda: None
    peer()
    peer_s = []

    def time_peer():
        wait()
        start = time.perf_counter()
        peer()
        wait()
        peer_s.append(time.perf_counter() - start)

    def whole_step():
        step()
        wait()

    benchmark.pedantic(whole_step, setup=time_peer, rounds=rounds, warmup_rounds=1)
    if benchmark.stats is None:  # under --benchmark-disable
        return
    seconds, peer_seconds = benchmark.stats.stats.median, float(np.median(peer_s))
    benchmark.extra_info.update(
        peer="torchvision's references/segmentation, NCHW fp32",
        ratio_to_peer=peer_seconds / seconds,
        target=target,
        precision=precision,
        images_per_s=batch_size / seconds,
        peer_images_per_s=batch_size / peer_seconds,
    )
    assert benchmark.extra_info["ratio_to_peer"] >= target


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_loader_does_not_hold_a_gpu_back(benchmark, tmp_path):
    """Steps on one batch that lies ready beside steps on what the loader brings."""
    step_count = 40
    config = TrainConfig(batch_size=8, crop_size=CROP, sgd_learning_rate=LEARNING_RATE)
    one = training_step(torch.device("cuda"), config)
    root = synthetic.write_dataset(tmp_path / "streets", image_size=(1024, 2048), train_count=64, val_count=1)
    batches = train_batches(open_dataset(root), "train", config, workers=8, pin_memory=True, cache=tmp_path)

    def seconds(stream):
        for step in range(5 + step_count):
            if step == 5:  # warm
                torch.cuda.synchronize()
                start = time.perf_counter()
            one.gradients(step, [next(stream)])
            one.update(step)
        torch.cuda.synchronize()
        return time.perf_counter() - start

    ready_s = seconds(repeat(next(batches)))
    with busy_shares() as shares:
        loaded_s = benchmark.pedantic(seconds, args=(batches,), rounds=1)
    benchmark.extra_info.update(
        peer="a batch that lies ready",
        ratio_to_peer=ready_s / loaded_s,
        target=0.95,
        images_per_s=step_count * config.batch_size / loaded_s,
        gpu_busy_share=float(np.median(shares)),
    )
    assert benchmark.extra_info["ratio_to_peer"] >= 0.95
    assert benchmark.extra_info["gpu_busy_share"] >= 0.95


@contextmanager
def busy_shares():
    """Collect, four times a second, the share of the last moments in which a kernel ran (NVML's utilisation)."""
    shares, done = [], threading.Event()

    def watch():
        while not done.wait(0.25):
            shares.append(torch.cuda.utilization() / 100)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield shares
    done.set()
    watcher.join()
