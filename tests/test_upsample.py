"""The fast op against its reference: in strips on a CPU, as a Triton kernel, compiled by Inductor."""

import importlib.util
import multiprocessing
import os
import random
import shutil
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from zoo.upsample import upsample_argmax, upsample_argmax_reference


def undecided(logits: torch.Tensor, size, crop, align_corners: bool) -> torch.Tensor:
    """Where rounding decides: the two best classes differ by a few units in the last place.

    Those of a value, and of where a pixel lies among the logits, whose rounding moves a class by up to twice the
    largest value: a unit of 512 columns is that of 1, 256 times.
    """
    grid = F.interpolate(logits.float(), size, mode="bilinear", align_corners=align_corners)[..., : crop[0], : crop[1]]
    best = grid.topk(min(2, grid.shape[1]), dim=1).values
    units = 32 + 2 * max(logits.shape[2:])
    return best[:, 0] - best[:, -1] <= units * 2**-23 * logits.float().abs().max()


def check_equal(logits: torch.Tensor, size, crop, align_corners: bool, op=upsample_argmax) -> None:
    fast = op(logits, size, crop, align_corners)
    plain = upsample_argmax_reference(logits, size, crop, align_corners)
    assert fast.dtype == torch.uint8
    assert fast.shape == plain.shape == (len(logits), *crop)
    differs = fast != plain
    assert differs.float().mean() <= 1e-4
    if logits.shape[1] > 1:
        assert bool(undecided(logits, size, crop, align_corners)[differs].all())


def test_fast_op_equals_the_reference_at_any_size():
    draw = random.Random(0)
    torch.manual_seed(0)
    for _ in range(60):
        h, w = draw.randint(1, 40), draw.randint(1, 40)
        size = (draw.randint(1, 130), draw.randint(1, 130))
        crop = (draw.randint(1, size[0]), draw.randint(1, size[1]))
        logits = torch.randn(draw.randint(1, 3), draw.choice([1, 2, 19, 19, 150, 255]), h, w)
        if draw.random() < 0.5:
            logits = logits.to(memory_format=torch.channels_last)
        check_equal(logits, size, crop, draw.random() < 0.5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_fast_op_on_smooth_logits_of_every_precision(align_corners, dtype):
    torch.manual_seed(0)
    logits = F.interpolate(torch.randn(2, 19, 6, 12) * 4, (64, 128), mode="bicubic").to(dtype)
    check_equal(logits, (256, 512), (250, 500), align_corners)


def test_first_class_wins_a_tie():
    assert int(upsample_argmax(torch.zeros(1, 19, 4, 4), (16, 16), (16, 16), False).sum()) == 0
    logits = torch.randint(-2, 3, (1, 19, 32, 32)).float()  # quarters of small integers: ties are exact
    for size in ((32, 32), (64, 64), (128, 128)):
        plain = upsample_argmax_reference(logits, size, size, False)
        assert torch.equal(upsample_argmax(logits, size, size, False), plain)


def test_op_refuses_what_a_byte_cannot_hold():
    with pytest.raises(AssertionError):
        upsample_argmax(torch.zeros(1, 256, 2, 2), (4, 4), (4, 4), False)
    with pytest.raises(AssertionError):
        upsample_argmax(torch.zeros(1, 2, 2, 2), (4, 4), (5, 4), False)


def test_op_takes_logits_that_ask_for_gradients():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    assert not upsample_argmax(logits, (8, 8), (8, 8), False).requires_grad


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_of_torch_stay_as_they_were(threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        check_equal(torch.randn(2, 19, 16, 16), (64, 64), (60, 64), False)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_threads_of_its_own():
    logits = torch.randn(1, 2, 4, 4)
    upsample_argmax(logits, (8, 8), (8, 8), False)
    child = multiprocessing.get_context("fork").Process(target=upsample_argmax, args=(logits, (8, 8), (8, 8), False))
    child.start()
    child.join(20)
    stuck = child.is_alive()
    child.kill()
    assert not stuck
    assert child.exitcode == 0


def check_triton(device: str) -> None:
    """What the kernel must do wherever it runs, its interpreter on a CPU included."""
    from zoo.upsample_triton import upsample_argmax_triton as op  # a machine may have no Triton

    draw = random.Random(0)
    torch.manual_seed(0)
    dtypes = [torch.float32, torch.bfloat16, torch.float16]
    for case, num_classes in enumerate([1, 2, 19, 255] + [1, 2, 19, 19] * 2):
        h, w = draw.randint(1, 12), draw.randint(1, 24)
        size = (draw.randint(1, 6 * h), draw.randint(1, 10 * w))  # larger and smaller than the logits
        crop = (draw.randint(1, size[0]), draw.randint(1, size[1]))
        logits = torch.randn(draw.randint(1, 3), num_classes, h, w, device=device).to(dtypes[case % 3])
        if draw.random() < 0.5:
            logits = logits.to(memory_format=torch.channels_last)
        check_equal(logits, size, crop, draw.random() < 0.5, op)
    for factor in (4, 8):
        for align_corners in (False, True):
            logits = torch.randn(1, 3, 6, 40, device=device)[..., 1:-2]  # strides of a larger tensor
            check_equal(logits, (6 * factor, 37 * factor), (6 * factor - 3, 37 * factor - 1), align_corners, op)

    whole = torch.randint(-2, 3, (1, 19, 8, 8), device=device).float()  # quarters of small integers: ties are exact
    broken = torch.randn(1, 5, 8, 8, device=device)
    broken[0, 1, 2, 2] = broken[0, 3, 2:4, 2:4] = float("nan")
    empty = torch.full((1, 5, 8, 8), float("-inf"), device=device)
    empty[0, 2, :4] = 0
    for logits in (torch.zeros_like(whole), whole, broken, empty):
        for size in ((16, 16), (32, 32)):  # of 8x8 torch may make a copy: no neighbour's NaN times 0
            plain = upsample_argmax_reference(logits, size, size, False)
            assert torch.equal(op(logits, size, size, False), plain)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_kernel_equals_the_reference_in_tritons_interpreter():
    """In a process of its own: Triton chooses the interpreter when it is imported."""
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    run = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_kernel_compiles_without_a_device(tmp_path, monkeypatch, dtype, align_corners):
    """The interpreter forgives what the compiler does not. Triton makes a constant of every size that is 1."""
    from triton import compiler
    from triton.backends.compiler import GPUTarget

    from zoo.upsample_triton import _upsample_argmax_kernel as kernel

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    types = {one.name: one.annotation_type for one in kernel.params} | {"logits": f"*{dtype}", "labels": "*u8"}
    fixed = {"align_corners": align_corners, "rows": 4, "columns": 128, "unroll": 4}
    for ones in ({"stride_w": 1}, dict.fromkeys(("classes", "height", "width", "stride_k", "crop_height"), 1)):
        constants = fixed | ones
        signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
        assert {"i64", "constexpr"} >= {signature[name] for name in kernel.arg_names if name.startswith("stride")}
        values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
        source = compiler.ASTSource(kernel, signature, values)
        built = compiler.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True})
        assert built.asm["cubin"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernel_equals_the_reference_on_cuda():
    check_triton("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("stride", [4, 8, 32])
def test_cuda_never_holds_the_full_logits(stride, memory_format):
    size = (1024, 2048)
    logits = torch.randn(2, 19, size[0] // stride, size[1] // stride, device="cuda").to(memory_format=memory_format)
    for align_corners in (False, True):
        check_equal(logits, size, (1000, 2048), align_corners)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    labels = upsample_argmax(logits, size, size, False)
    assert torch.cuda.max_memory_allocated() - before <= labels.numel() + 511 + (1 << 20), "torch splits off no less"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_reaches_images_beyond_32_bits():
    if torch.cuda.mem_get_info()[0] < 8 << 30:
        pytest.skip("needs 8 GiB of free GPU memory")
    far = torch.zeros(2**31 + 3 * 8 * 8, dtype=torch.float16, device="cuda")
    logits = far.as_strided((2, 3, 8, 8), (2**31, 64, 8, 1))
    logits[1] = torch.randn(3, 8, 8)
    check_equal(logits, (32, 32), (32, 32), False)


INDUCTOR = """
import pathlib, re, torch
from zoo.upsample import upsample_argmax
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) * 1024
compiled = torch.compile(lambda logits: upsample_argmax(logits, (1024, 2048), (1024, 2048), False), fullgraph=True)
x = torch.randn(1, 19, 128, 256)
with torch.inference_mode():
    compiled(x)  # the compiler's own memory is not the op's
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    compiled(x)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets the peak")
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_compiled_reference_never_holds_the_full_logits():
    """Inductor computes a logit where the argmax asks for it: 16 MiB of indices, not 152 MiB of logits."""
    run = subprocess.run([sys.executable, "-c", INDUCTOR], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 64 << 20


if __name__ == "__main__":
    check_triton("cpu")
