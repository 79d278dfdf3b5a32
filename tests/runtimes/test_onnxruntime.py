"""ONNX Runtime multiplies int8 exactly, whatever the CPU."""

from __future__ import annotations

import gc
import platform
from types import SimpleNamespace

import onnx
import onnxruntime
import pytest
import torch

from zoo.runtimes import base, table
from zoo.runtimes.onnxruntime import EXACT, load

CPU = torch.device("cpu")
MACHINES = [
    ("x86_64", {"avx2", "avx512f"}, "1"),
    ("AMD64", {"sse4_1"}, "1"),
    ("AMD64", set(), "1"),
    ("x86_64", {"avx2", "avx_vnni"}, "0"),
    ("x86_64", {"avx512f", "avx512_vnni"}, "0"),
    ("x86_64", {"amx_tile", "amx_int8"}, "0"),
    ("aarch64", {"asimd", "asimddp"}, "0"),
    ("arm64", set(), "0"),
]
"""Machine, features (none: it does not tell), whether exact products have to be asked for."""
SATURATES = base.saturates_int8()
"""Of this CPU itself."""


@pytest.fixture(scope="module")
def file(pipeline, images, tmp_path_factory):
    file = tmp_path_factory.mktemp("int8") / "int8.onnx"
    calibration = [images(1, seed) for seed in range(4)]
    table.build("onnxruntime", pipeline(), file, device=CPU, precision="int8", calibration=calibration)
    return file


@pytest.mark.parametrize(("machine", "features", "exact"), MACHINES)
def test_products_are_chosen_by_what_the_cpu_has(machine, features, exact, file, images, pipeline, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(base, "cpu_features", lambda: frozenset(features))
    taken = []
    session = onnxruntime.InferenceSession

    def spy(model, options, **more):
        taken.append(options.get_session_config_entry(EXACT))
        return session(model, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    runnable = table.load_file("onnxruntime", file, device=CPU, precision="int8")
    eager = table.load_pipeline("eager", pipeline(), device=CPU, precision="fp32")
    if exact == "1" or not SATURATES:  # what is asked for here, a CPU without VNNI answers with saturated sums
        assert (runnable.predict(images(1)) == eager.predict(images(1))).float().mean() > 0.95
    assert runnable.stages
    assert taken == [exact] * 4, "the whole and its stages"
    options = runnable.build.options
    assert options[EXACT] == exact
    assert ("x86 CPU without VNNI" in options["int8_products"]) == (exact == "1")
    text = table.snippet("onnxruntime", file, options, (1, 41, 57, 3)).text
    assert f'settings.add_session_config_entry("{EXACT}", "{exact}")' in text
    assert "InferenceSession(" in text.splitlines()[-2]
    assert ", settings, " in text.splitlines()[-2]


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="only x86 has the choice")
@pytest.mark.parametrize(("exact", "kind"), [("0", "INT8"), ("1", "UINT8")])
def test_the_key_does_what_it_is_taken_for(exact, kind, file, tmp_path):
    """ONNX Runtime obeys with VNNI too, so that this can be seen on any x86 CPU."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(EXACT, exact)
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    kinds = {tensor.name: onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in graph.initializer}
    assert {kinds[node.input[3]] for node in graph.node if node.op_type == "QLinearConv"} == {kind}


def test_other_precisions_are_told_nothing_of_it(pipeline, tmp_path):
    table.build("onnxruntime", pipeline(), tmp_path / "fp32.onnx", device=CPU, precision="fp32")
    options = table.load_file("onnxruntime", tmp_path / "fp32.onnx", device=CPU, precision="fp32").build.options
    assert set(options) == {"provider", "provider_options"}
    snippet = table.snippet("onnxruntime", tmp_path / "fp32.onnx", options, (1, 41, 57, 3))
    assert "settings" not in snippet.text
    assert "preload" not in snippet.text
    told = table.snippet("onnxruntime", tmp_path / "fp32.onnx", options, (1, 41, 57, 3), threads=3)
    assert "settings.intra_op_num_threads = 3\nsession = onnxruntime.InferenceSession(" in told.load
    assert ", settings, providers=" in told.load
    assert told.text == snippet.imports + "from PIL import Image\n\n" + told.frame + told.load + told.call


def test_another_provider_than_the_cpus_is_made_sure_of(tmp_path):
    options = {"provider": "CUDAExecutionProvider", "provider_options": "{'use_tf32': '0'}"}
    first, *_, last = table.snippet("onnxruntime", tmp_path / "a.onnx", options, (1, 41, 57, 3)).load.splitlines()
    assert first == "onnxruntime.preload_dlls()"
    assert last.startswith('assert session.get_providers()[0] == "CUDAExecutionProvider"')


def test_a_session_on_cuda_is_freed_once_its_work_is_done(file, monkeypatch):
    happened = []

    class Native:
        def __del__(self):
            happened.append("freed")

    class OnCuda(onnxruntime.InferenceSession):
        def __init__(self, model, options, providers):
            super().__init__(model, providers=["CPUExecutionProvider"])
            self.native, self.asked = Native(), providers

        def get_providers(self):
            return [name for name, _ in self.asked]

    monkeypatch.setattr(onnxruntime, "InferenceSession", OnCuda)
    monkeypatch.setattr("zoo.runtimes.onnxruntime.use_own_stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: SimpleNamespace(cuda_stream=1))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: happened.append(f"waited for {device}"))
    runnable = load(file, device=torch.device("cuda:0"), precision="int8")
    assert happened == []
    del runnable
    gc.collect()
    assert happened == ["waited for cuda:0", "freed"]
