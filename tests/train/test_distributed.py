"""Two processes beside one, as `torchrun` starts them."""

import os
import subprocess
import sys
from itertools import islice

import pytest
import torch
from torch import nn

from zoo.catalog import find
from zoo.checkpoint import read_facts
from zoo.data.loading import train_batches
from zoo.errors import ModelError, UserError
from zoo.models.build import build_model
from zoo.state_dict import load_into, read_state_dict, read_weights
from zoo.train.distributed import ALONE, process_group, synchronised
from zoo.train.journal import read_losses
from zoo.train.loop import train_model
from zoo.train.run import read_run
from zoo.train.step import TrainingStep

RECIPE = (
    "steps=4", "batch_size=4", "crop_size=[18, 30]", "precision=fp32", "sgd_learning_rate=0.05",
    "class_weights=inverse_log", "ema_decay=0.5", "val_every=2",
)  # fmt: skip


def torchrun(*arguments):
    """`zoo` in two processes, each with one thread."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "zoo.cli"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*line, *arguments], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(tiny, dataset, tmp_path):
    """The same images in the same steps; sums are rounded in another order."""
    name = tiny("Plain").name
    sets = [word for change in RECIPE for word in ("--set", change)]
    torchrun("train", name, "--data", str(dataset.root), "--runs", str(tmp_path / "two"), *sets)
    (run_dir,) = (path.parent for path in (tmp_path / "two").rglob("run.json"))
    run = read_run(run_dir)
    assert (run.process_count, run.config.batch_size) == (2, 4)
    alone = train_model(name, run.config, data=dataset.root, runs=tmp_path / "one", device="cpu")
    for file in ("last.safetensors", "best.safetensors"):
        one, two = (read_weights(folder / file) for folder in (alone.last.parent, run_dir))
        assert one.keys() == two.keys()
        assert all(torch.allclose(two[key], value, rtol=0, atol=1e-6) for key, value in one.items())
    assert read_losses(run_dir) == pytest.approx(alone.losses, rel=1e-5)
    assert read_facts(run_dir / "best.safetensors").miou == pytest.approx(alone.miou)


@pytest.mark.slow
def test_two_processes_estimate_the_statistics_of_one(tiny, dataset, tmp_path):
    """Given the same weights; those differ, since each process normalises by what it sees."""
    source = tiny("Net").name
    sets = [word for change in (*RECIPE, "batch_norm_batches=3") for word in ("--set", change)]
    torchrun("train", source, "--data", str(dataset.root), "--runs", str(tmp_path), *sets)
    (run_dir,) = (path.parent for path in tmp_path.rglob("run.json"))
    config = read_run(run_dir).config
    module, spec = build_model(find(source), 19)
    last = run_dir / "last.safetensors"
    load_into(module, read_state_dict(last), path=last, model=spec.name)
    two = {key: buffer.clone() for key, buffer in module.named_buffers()}
    assert two["stem.1.num_batches_tracked"] == 3
    one = TrainingStep(module, spec, config, num_classes=19, device=torch.device("cpu"))
    one.estimate_statistics(islice(train_batches(dataset, "train", config, start_step=config.steps), 3))
    for key, buffer in one.trained.named_buffers():
        assert torch.allclose(two[key], buffer, rtol=1e-5, atol=1e-6), key


def test_one_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group("cpu") as (group, device):
        assert group is ALONE
        assert device == torch.device("cpu")
        assert group.is_first
        assert group.share(lambda: 3) == 3
        assert group.largest(2, device) == 2


def test_one_named_gpu_is_not_shared_out(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("zoo.train.distributed.resolve_device", torch.device)
    with pytest.raises(UserError, match="device cuda:1 cannot be shared by 2 processes"), process_group("cuda:1"):
        pass


def test_batch_norms_are_synchronised_or_refused():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    keys = set(module.state_dict())
    whole = synchronised(module, "net")
    assert isinstance(whole[1], nn.SyncBatchNorm)
    assert set(whole.state_dict()) == keys

    class Activated(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    with pytest.raises(ModelError, match="net normalises with Activated, which cannot be synchronised"):
        synchronised(nn.Sequential(Activated(4)), "net")
