"""What the fork server holds, and what a worker makes of an error."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zoo.bench import worker
from zoo.bench.workshop import PRELOAD

NO_OPERATION = """
import sys, threading
import torch
from torch.utils._python_dispatch import TorchDispatchMode

seen = []

class Witness(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        seen.append(str(func))
        return func(*args, **(kwargs or {}))

with Witness():
    for name in sys.argv[1:]:
        __import__(name)
assert not torch.cuda.is_initialized()
assert {"torchvision", "segmentation_models_pytorch", "timm"} <= set(sys.modules)
operations = [name for name in seen if name.startswith("aten.") and not name.startswith("aten.empty")]
print(len(operations), operations[:5])
"""


def test_the_fork_server_only_imports():
    done = subprocess.run(
        [sys.executable, "-c", NO_OPERATION, *PRELOAD], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0 "), f"importing the workers runs torch operations: {done.stdout}"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), "oom"),
        (ValueError("odd\nlines"), "failed"),
    ],
)
def test_errors_become_a_status_and_one_line(error, status):
    trouble = worker._trouble(error)
    assert trouble.status == status
    assert "\n" not in trouble.reason
