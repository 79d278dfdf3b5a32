"""One contract for every runtime and precision: it says in one line why not, or it answers as fp32 eager does."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn

from zoo.errors import ModelError, UserError
from zoo.protocol import RUNTIMES
from zoo.record import Build, Precision, State
from zoo.runtimes import base, onnxruntime, openvino, table

CPU = torch.device("cpu")
CASES = (("none", 1), ("fit", 2))
"""How a frame is resized, and the batch size."""
SLOW = (("compile", "fp32", "none", 1), ("compile", "bf16", "fit", 2), ("aoti", "fp32", "fit", 2))
"""What is worth ten seconds each; their other pairs are only asked for."""
SHARE = {"fp32": 0.999, "tf32": 0.99, "bf16": 0.95, "fp16": 0.95, "int8": 0.95}
"""Of pixels that are labelled as eager fp32 does, at least."""
LOGIT_ERROR = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 3e-2, "fp16": 1e-2, "int8": 1e-1}
"""Largest, in parts of the largest logit."""


def rows(device: str) -> list:
    """Runtime, precision, resize, batch size."""
    found = []
    for runtime, precision, (resize, batch) in itertools.product(table.RUNTIMES, get_args(Precision), CASES):
        row = runtime, precision, resize, batch
        slow = runtime in ("compile", "aoti") and row in SLOW
        if device == "cuda" or slow or runtime not in ("compile", "aoti"):
            found.append(pytest.param(*row, marks=[pytest.mark.slow] if slow else []))
    return found


def test_the_names_that_records_are_held_to_are_those_of_the_table():
    assert tuple(table.RUNTIMES) == RUNTIMES


@pytest.fixture(scope="session")
def expected(pipeline, images):
    """Labels and logits of eager fp32 on the CPU."""

    @functools.cache
    def answer(resize: str, batch: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        runnable = table.load_pipeline("eager", pipeline(resize=resize), device=CPU, precision="fp32")
        labels = runnable.predict(images(batch, seed))
        assert (torch.bincount(labels.flatten()) / labels.numel() >= 0.01).sum() >= 6, "the labels must vary"
        return labels, runnable.network(runnable.preprocess(images(batch, seed)))

    return answer


@pytest.fixture(scope="session")
def built(pipeline, images, tmp_path_factory):
    """A runtime's file and how it was built; one for all that share it."""

    @functools.cache
    def of_content(suffix: str, holds: str, resize: str, batch: int, runtime: str, device: torch.device):
        file = tmp_path_factory.mktemp("built") / f"model{suffix}"
        calibration = [images(batch, seed) for seed in range(8)]
        return file, table.build(
            runtime,
            pipeline(resize=resize),
            file,
            device=device,
            precision=holds,
            batch_size=batch,
            calibration=calibration,
        )

    def build(runtime: str, precision: str, resize: str, batch: int, device: torch.device = CPU):
        suffix, holds = table.file_format(runtime), table.graph_precision(runtime, device, precision)
        writers = (table.builder_of(one, precision) for one in (runtime, "onnxruntime"))
        shares = len(set(writers)) == 1 and device == CPU
        return of_content(suffix, holds, resize, batch, "onnxruntime" if shares else runtime, device)

    return build


def why_not(runtime: str, device: torch.device, precision: str) -> str:
    return table.why_missing(runtime, device) or table.why_unsupported(runtime, device, precision)


@pytest.mark.parametrize(("runtime", "precision"), itertools.product(table.RUNTIMES, get_args(Precision)))
def test_what_does_not_run_says_why_in_one_line(runtime, precision, pipeline, tmp_path):
    reason = why_not(runtime, CPU, precision)
    assert "\n" not in reason
    if not reason:
        return
    assert len(reason) > 20
    kind = UserError if table.why_missing(runtime, CPU) else base.UnsupportedError
    with pytest.raises(kind) as caught:
        deploy(runtime, precision, pipeline, tmp_path)
    assert str(caught.value) == reason


def deploy(runtime, precision, pipeline, folder):
    if table.file_format(runtime):
        table.build(runtime, pipeline(), folder / "model", device=CPU, precision=precision)
    else:
        table.load_pipeline(runtime, pipeline(), device=CPU, precision=precision)


@pytest.mark.parametrize(("runtime", "precision", "resize", "batch"), rows("cpu"))
def test_an_artifact_answers_as_eager_fp32_does(runtime, precision, resize, batch, pipeline, images, built, expected):
    check(CPU, runtime, precision, resize, batch, pipeline, images, built, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("runtime", "precision", "resize", "batch"), rows("cuda"))
def test_an_artifact_on_cuda_answers_as_eager_fp32_does(
    runtime, precision, resize, batch, pipeline, images, built, expected
):
    check(torch.device("cuda:0"), runtime, precision, resize, batch, pipeline, images, built, expected)


def check(device, runtime, precision, resize, batch, pipeline, images, built, expected):
    if reason := why_not(runtime, device, precision):
        pytest.skip(reason)
    if (runtime, precision, device) == ("openvino", "int8", CPU) and base.saturates_int8():
        pytest.skip("OpenVINO's int8 products saturate on an x86 CPU without VNNI, and it has no exact ones to ask for")
    facts = Build()
    if table.file_format(runtime):
        file, facts = built(runtime, precision, resize, batch, device)
        runnable = table.load_file(runtime, file, device=device, precision=precision)
    else:
        runnable = table.load_pipeline(
            runtime, pipeline(resize=resize), device=device, precision=precision, batch_size=batch
        )
    given, others = images(batch), images(batch, 5)
    labels, logits = expected(resize, batch)
    answer = runnable.predict(given)
    kept = answer.clone()

    assert (answer.dtype, answer.shape, answer.device) == (torch.uint8, labels.shape, CPU)
    assert share(answer, labels) >= SHARE[precision]
    assert share(runnable.predict(others), expected(resize, batch, 5)[0]) >= SHARE[precision]
    assert torch.equal(answer, kept), "an answer changed with the next call"
    assert torch.equal(given, images(batch)), "the images changed"
    assert torch.equal(runnable.predict(given), kept), "the same images give another answer"
    turned = given.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)  # the same pixels, laid out otherwise
    assert torch.equal(runnable.predict(turned), kept)

    assert list(runnable.stages) == ["copy_in", "preprocess", "network", "upsample_argmax", "copy_out"]
    x = runnable.preprocess(runnable.copy_in(given))
    before = x.clone()
    found = runnable.network(x)
    first = found.clone()
    runnable.network(torch.zeros_like(x))
    assert torch.equal(found, first), "logits changed with the next call"
    assert torch.equal(x, before), "the network's input changed"
    error = (found.float().cpu() - logits).abs().max() / logits.abs().max()
    assert error <= LOGIT_ERROR[precision]
    assert share(runnable.copy_out(runnable.upsample_argmax(found)), kept) >= SHARE[precision]

    state = runnable.state()
    assert isinstance(state, State)
    own_operators = runtime == "eager" or (runtime in ("compile", "aoti") and device.type == "cuda")
    assert state.batch_norm == ("kept" if own_operators else "folded" if runtime == "compile" else None)
    assert state.aux_heads == ("off" if runtime in ("eager", "compile") else None), "a file does not tell"
    assert state.tf32 is (None if device.type == "cpu" else precision == "tf32")
    assert runnable.weights_bytes > 0
    assert runnable.precision == precision
    check_build(runtime, precision, facts, runnable.build)


def check_build(runtime, precision, facts, loading):
    has_file = runtime not in ("eager", "compile")
    assert (facts.export_s is not None) == has_file
    assert ((facts.compile_s or loading.compile_s) is not None) == (runtime in ("compile", "aoti", "tensorrt"))
    assert (facts.calibrate_s is not None) == (precision == "int8")
    assert facts.calibration_image_count == (8 if precision == "int8" else None)
    assert loading.graph_break_count == (0 if runtime == "compile" else None)
    assert not facts.cached


def share(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return (ours == theirs).float().mean().item()


def test_an_unknown_runtime_gets_one_line(pipeline):
    with pytest.raises(UserError, match="Did you mean 'eager'") as caught:
        table.load_pipeline("eagre", pipeline(), device=CPU, precision="fp32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("runtime", "package"), [("onnxruntime", "onnxscript"), ("openvino", "openvino")])
def test_a_missing_package_is_one_line(runtime, package, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    assert table.why_missing(runtime, CPU) == f"runtime {runtime} needs {package}: pip install 'zoo-seg[runtimes]'"


@pytest.mark.parametrize("runtime", ["compile", "aoti"])
def test_a_missing_compiler_is_one_line(runtime, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    reason = table.why_missing(runtime, CPU)
    assert f"runtime {runtime} needs a C++ compiler" in reason
    assert "\n" not in reason


def test_missing_headers_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert "Python.h" in table.why_missing("compile", CPU)


@pytest.mark.parametrize(
    ("runtime", "name", "fitting"),
    [("eager", "model.onnx", "onnxruntime, openvino, tensorrt"), ("onnxruntime", "model.pt2", "aoti")],
)
def test_a_runtime_refuses_a_file_it_does_not_run(runtime, name, fitting, tmp_path):
    with pytest.raises(UserError, match=f"choose {fitting}$"):
        table.load_file(runtime, tmp_path / name, device=CPU, precision="fp32")


@pytest.mark.parametrize(("runtime", "suffix"), [("onnxruntime", ".onnx"), ("openvino", ".onnx"), ("aoti", ".pt2")])
@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
def test_garbage_is_one_line(runtime, suffix, content, tmp_path):
    file = tmp_path / f"model{suffix}"
    file.write_bytes(content)
    with pytest.raises(UserError, match="model") as caught:
        table.load_file(runtime, file, device=CPU, precision="fp32")
    assert "\n" not in str(caught.value)


def test_a_package_is_loaded_without_a_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "C++ compiler" in table.why_missing("aoti", CPU)
    assert table.why_missing("aoti", CPU, building=False) == ""


def test_aoti_on_cuda_needs_its_toolkit(monkeypatch):
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: True)
    monkeypatch.setattr("torch.utils.cpp_extension.CUDA_HOME", None)
    assert "CUDA_HOME" in table.why_missing("aoti", torch.device("cuda"))
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: False)
    assert "runtime aoti needs Triton" in table.why_missing("aoti", torch.device("cuda"))


@pytest.mark.parametrize(
    "said", ["std::bad_alloc", "Failed to allocate memory for requested buffer", "CUDA out of memory"]
)
def test_memory_that_ends_while_loading_is_a_memory_error(said, built, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError(said)

    file, _ = built("onnxruntime", "fp32", "none", 1)
    monkeypatch.setattr(onnxruntime, "_session", fail)
    with pytest.raises(MemoryError, match=said):
        table.load_file("onnxruntime", file, device=CPU, precision="fp32")


def test_onnxruntimes_stages_leave_the_cores_to_each_other(built):
    file, _ = built("onnxruntime", "fp32", "none", 1)
    runnable = table.load_file("onnxruntime", file, device=CPU, precision="fp32")
    for call in (runnable.preprocess, runnable.network, runnable.upsample_argmax):
        options = inspect.getclosurevars(call).nonlocals["session"].get_session_options()
        assert options.get_session_config_entry("session.force_spinning_stop") == "1"
        assert options.intra_op_num_threads == torch.get_num_threads()


@pytest.mark.parametrize("runtime", table.RUNTIMES)
def test_version_names_the_package(runtime):
    name, _, version = table.version(runtime).partition(" ")
    if runtime in ("onnxruntime", "openvino"):
        assert name == runtime
        assert version[0].isdigit()
    elif runtime != "tensorrt":
        assert not name


def test_a_converter_that_fails_is_one_line(pipeline, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise TypeError  # says nothing

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ModelError, match="cannot convert this network: TypeError: TypeError"):
        table.build("onnxruntime", pipeline(), tmp_path / "model.onnx", device=CPU, precision="fp32")


@pytest.mark.parametrize(
    "runtime", [pytest.param(name, marks=[pytest.mark.slow] * (name == "compile")) for name in table.RUNTIMES]
)
def test_a_runtime_is_prepared(runtime):
    if reason := table.why_missing(runtime, CPU):
        pytest.skip(reason)
    table.prepare(runtime, CPU)
    assert not torch._inductor.config.freezing


@pytest.mark.slow
def test_what_another_artifact_compiled_stays(pipeline, images):
    def load(resize):
        return table.load_pipeline("compile", pipeline(resize=resize), device=CPU, precision="fp32")

    first = load("none")
    expected = first.predict(images(1))
    second = load("fit")
    counters = torch._dynamo.utils.counters
    before = counters["stats"]["unique_graphs"]
    assert torch.equal(first.predict(images(1)), expected)
    eager = table.load_pipeline("eager", pipeline(resize="fit"), device=CPU, precision="fp32")
    assert share(second.predict(images(1)), eager.predict(images(1))) > 0.999
    assert counters["stats"]["unique_graphs"] == before


class Branches(nn.Conv2d):
    """Its control flow depends on what it sees."""

    def forward(self, x):
        logits = super().forward(x)
        return 2 * logits if logits.mean() > 0 else logits


@pytest.mark.parametrize("runtime", ["onnxruntime", "aoti"])
def test_a_network_that_cannot_be_exported_is_one_line(runtime, pipeline, tmp_path, capfd):
    with pytest.raises(ModelError, match=r"torch\.export cannot record this network: .*data-dependent") as caught:
        table.build(runtime, pipeline(Branches(3, 19, 1)), tmp_path / "model", device=CPU, precision="fp32")
    assert "\n" not in str(caught.value)
    assert len(capfd.readouterr().err.splitlines()) <= 1


@pytest.mark.slow
def test_a_compiler_says_nothing_of_a_toolkit_that_a_cpu_needs_not(tmp_path):
    if reason := table.why_missing("compile", CPU):
        pytest.skip(reason)
    code = "import torch; from zoo.runtimes import compile; compile.prepare(torch.device('cpu'))"
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "CUDA_HOME": str(tmp_path), "PYTHONPATH": paths}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_compile_tells_graph_breaks_and_leaves_no_setting_behind(pipeline, images):
    branches = Branches(3, 19, 1)
    runnable = table.load_pipeline("compile", pipeline(deepcopy(branches)), device=CPU, precision="fp32")
    assert runnable.build.graph_break_count > 0
    assert not torch._inductor.config.freezing
    eager = table.load_pipeline("eager", pipeline(branches), device=CPU, precision="fp32")
    assert share(runnable.predict(images(1)), eager.predict(images(1))) > 0.999


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_file_is_never_named_by_a_precision_it_does_not_hold(runtime, built):
    for holds, asked in (("fp32", "int8"), ("int8", "fp32")):
        file, _ = built(runtime, holds, "none", 1)
        with pytest.raises(base.UnsupportedError, match=f"holds {holds}"):
            table.load_file(runtime, file, device=CPU, precision=asked)


def test_openvino_fp32_is_fp32_and_not_what_the_cpu_likes_best(built):
    file, _ = built("openvino", "fp32", "none", 1)

    def kinds(compiled) -> set[str]:
        return set(openvino._precisions(compiled))

    runnable = table.load_file("openvino", file, device=CPU, precision="fp32")
    assert kinds(inspect.getclosurevars(runnable.whole).nonlocals["request"].get_compiled_model()) == {"f32"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "_precisions", lambda _: Counter(f32=9, bf16=1))
        with pytest.raises(base.UnsupportedError, match="1 in bf16"):
            table.load_file("openvino", file, device=CPU, precision="fp32")
    if base.gains_from_bf16(CPU):
        assert kinds(openvino._core().compile_model(str(file), "CPU")) != {"f32"}, "left alone it takes bf16"
        runnable = table.load_file("openvino", file, device=CPU, precision="bf16")
        assert kinds(inspect.getclosurevars(runnable.whole).nonlocals["request"].get_compiled_model()) == {"bf16"}
