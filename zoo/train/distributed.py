"""Several processes that train one network together, as `torchrun` or Ray Train starts them; one is the plain case.

Gradients are added up in one message after a step's last backward pass. `DistributedDataParallel` would send them while
the pass still runs, and in exchange wants every parameter used in every pass, which not every network here does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.errors import ModelError, UserError
from zoo.machine import core_count
from zoo.measure.device import resolve_device

PATIENCE = timedelta(hours=12)
"""How long processes wait for the first one, which validates and writes alone; a dead one ends them all much sooner."""
T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The processes of one training, seen from one of them."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes, validates and talks."""
        return self.rank == 0

    def share(self, make: Callable[[], T]) -> T:
        """Return what the first process makes, on every process; they wait for it."""
        if self.count == 1:
            return make()
        box = [make() if self.is_first else None]
        dist.broadcast_object_list(box)
        made: T = box[0]  # type: ignore[assignment]
        return made

    def total(self, number: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        if self.count > 1:
            number = number.clone()
            dist.all_reduce(number)
        return number

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each of these tensors by its sum over all processes."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def largest(self, number: int, device: torch.device) -> int:
        """Return the largest of the processes' numbers, so that all of them decide alike."""
        if self.count == 1:
            return number
        box = torch.tensor(number, device=device)
        dist.all_reduce(box, dist.ReduceOp.MAX)
        return int(box)


ALONE = Group()


def is_first_process() -> bool:
    """Whether this process talks to the user: the only one, or the first of those `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def process_group(device: str) -> Iterator[tuple[Group, torch.device]]:
    """Join the processes `torchrun` or Ray Train started, each on a device of its own; without: this process alone.

    Args:
        device: `auto`, `cpu`, `cuda` …; with several processes `cuda` is one GPU for each, by local rank.

    Yields:
        The group and this process's device.

    Raises:
        UserError: no such device, fewer GPUs than processes, or a device that cannot be shared out.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, resolve_device(device)
        return
    target = resolve_device(device)
    if target.type == "mps" or ":" in device:
        raise UserError(f"device {device} cannot be shared by {count} processes: give --device cuda or cpu")
    if target.type == "cuda":
        target = resolve_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
        torch.cuda.set_device(target)
    else:  # torchrun leaves each process one thread
        torch.set_num_threads(max(1, core_count() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    ours = not dist.is_initialized()  # Ray Train has joined them already, and parts them
    if ours:
        dist.init_process_group("nccl" if target.type == "cuda" else "gloo", timeout=PATIENCE)
    yield Group(dist.get_rank(), count), target
    dist.barrier()  # nobody leaves while another still sends
    if ours:
        dist.destroy_process_group()  # not after an error: the others may be waiting, and torchrun ends them


def synchronised(module: nn.Module, model: str) -> nn.Module:
    """Let batch norms take their statistics over all processes, in place of each process's own (CUDA alone).

    Raises:
        ModelError: a batch norm of a kind that would not survive the change.
    """
    for part in module.modules():
        if isinstance(part, _BatchNorm) and type(part).__module__ != _BatchNorm.__module__:
            raise ModelError(
                f"{model} normalises with {type(part).__name__}, which cannot be synchronised; train it in one process"
            )
    whole: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return whole
