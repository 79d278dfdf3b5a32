"""What the fork server holds."""

from __future__ import annotations

import subprocess
import sys

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
runtimes = {"onnx", "onnxruntime", "openvino", "tensorrt"} & set(sys.modules)
assert not runtimes, f"a runtime's memory counts from where it is loaded, which a worker does: {runtimes}"
operations = [name for name in seen if name.startswith("aten.") and not name.startswith("aten.empty")]
print(len(operations), operations[:5])
"""


def test_the_fork_server_only_imports():
    done = subprocess.run(
        [sys.executable, "-c", NO_OPERATION, *PRELOAD], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0 "), f"importing the workers runs torch operations: {done.stdout}"
