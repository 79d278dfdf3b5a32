"""Two artifacts in turn: the statistics on a clock of our own making, sides as they are named, and one real run."""

import functools
import textwrap

import numpy as np
import pytest
import torch

from zoo.bench.pair import PairError, parse_side, run_pair
from zoo.cli.main import main
from zoo.config import BenchConfig
from zoo.errors import UserError
from zoo.measure.clock import FULL, QUICK, WAKE_S, HostClock, Turns, measure_pair

CPU = torch.device("cpu")
CONFIG = BenchConfig(accuracy=False, image_size=(32, 64), quick=True, timeout_s=60, device="cpu", threads=1)
NET = """
    import os, torch

    class Net(torch.nn.Conv2d):
        def forward(self, image):
            logits = super().forward(image)
            if image.shape[-1] == 48:
                {fault}
            return logits

    def build(num_classes):
        return Net(3, num_classes, 3, padding=1)

    build.divisor = 1
"""


class Machine:
    """Two calls on a clock that moves only when something is done.

    Every call is noisy, the machine slows down evenly and swings, and the first call after the other one is slow.
    """

    def __init__(self, seed, base_s=(0.01, 0.01), noise=0.03, drift=0.0, switch=1.0):
        self.ns, self.made = 0, []
        self.base_s, self.noise, self.drift, self.switch = base_s, noise, drift, switch
        self.random = np.random.default_rng(seed)

    def call(self, side, index):
        after_other = not self.made or self.made[-1][0] != side
        self.made.append((side, index))
        common = 1 + self.drift * self.ns / 1e9 + 0.1 * self.drift * np.sin(self.ns / 2e8)
        noise = self.random.lognormal(0, self.noise)
        self.ns += round(1e9 * self.base_s[side] * common * noise * (self.switch if after_other else 1))

    def measure(self, *, quick=True):
        calls = (functools.partial(self.call, 0), functools.partial(self.call, 1))
        return measure_pair(calls, device=CPU, quick=quick, clock=HostClock(counter_ns=lambda: self.ns))


def ties(turns):
    low, high = turns.ratio_interval
    return low <= 1 <= high


def test_five_percent_are_told_apart_through_noise_and_drift():
    for seed in range(20):
        turns = Machine(seed, (0.01, 0.0105), drift=0.2, switch=3.0).measure(quick=False)
        low, high = turns.ratio_interval
        assert 1 < low <= turns.ratio <= high
        assert turns.ratio == pytest.approx(1.05, abs=0.02)


@pytest.mark.parametrize("drift", [0.0, 0.2, 1.0])
def test_equal_ones_tie(drift):
    tied = [ties(Machine(seed, drift=drift, switch=3.0).measure()) for seed in range(200)]
    assert np.mean(tied) >= 0.9


def test_without_flipping_an_even_drift_would_decide():
    turns = Machine(0, noise=1e-6, drift=1.0).measure()
    even, odd = np.diff(np.log(turns.seconds))[::2], np.diff(np.log(turns.seconds))[1::2]
    assert np.all(even > 0), "the second one ran later"
    assert np.all(odd < 0), "the first one did"
    assert ties(turns)


def test_the_order_flips_every_turn_and_each_timed_call_is_woken_by_its_own():
    machine = Machine(0, (0.004, 0.02), noise=1e-9, switch=5.0)
    turns = machine.measure()
    np.testing.assert_allclose(turns.seconds, [(0.004, 0.02)] * len(turns.seconds), rtol=1e-6)
    wakes = {0: int(np.ceil(WAKE_S / 0.004)), 1: 1}
    expected = []
    for turn in range(len(turns.seconds)):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            expected += [(side, turn + 1 + wake) for wake in range(wakes[side])] + [(side, turn)]
    assert machine.made[-len(expected) :] == expected


def test_a_full_run_takes_its_turns_and_its_seconds_for_both():
    for base_s in ((0.001, 0.002), (0.02, 0.03), (0.2, 0.05)):
        machine = Machine(0, base_s, noise=1e-6)
        turns = machine.measure(quick=False)
        _, last = base_s
        spent_s = machine.ns / 1e9 - 2 * FULL.warmup_s
        assert len(turns.seconds) >= FULL.sample_count
        assert spent_s >= 2 * FULL.sample_s
        assert len(turns.seconds) == FULL.sample_count or spent_s < 2 * FULL.sample_s + 1 + last


def test_slow_ones_stop_at_the_cap_with_enough_turns_for_an_interval():
    turns = Machine(0, (3.0, 3.0)).measure()
    assert len(turns.seconds) == QUICK.cap_count
    assert len(Machine(0, (3.0, 3.0)).measure(quick=False).seconds) == FULL.cap_count
    assert np.isfinite(turns.ratio_interval).all()


def test_the_ratio_is_the_median_over_turns():
    seconds = np.array([(1.0, 2.0), (10.0, 20.0), (1.0, 2.0), (5.0, 10.0), (1.0, 2.0), (1.0, 9.0), (1.0, 1.0)])
    turns = Turns(seconds, (True, True))
    assert turns.ratio == 2.0
    assert turns.ratio_interval == (1.0, 9.0)


def test_a_side_is_named_and_the_rest_is_the_config():
    side = parse_side("unet,runtime=openvino,precision=bf16,input_size=64x128", CONFIG)
    assert (side.spec.name, side.runtime, side.precision, side.input_size) == ("unet", "openvino", "bf16", (64, 128))
    side = parse_side("unet", CONFIG.model_copy(update={"input_sizes": ((32, 64),)}))
    assert (side.runtime, side.precision, side.input_size) == ("eager", "fp32", (32, 64))
    assert parse_side("unet", CONFIG).input_size is None


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ("unett", "Did you mean 'unet'"),
        ("unet,runtime=openvin", "Did you mean 'openvino'"),
        ("unet,precision=fp8", "no precision 'fp8'"),
        ("unet,threads=2", "'threads=2' is none of runtime=…, precision=…, input_size=…"),
        ("unet,openvino", "'openvino' is none of"),
        ("unet,input_size=64", "a size is HEIGHTxWIDTH"),
    ],
)
def test_a_mistake_in_a_side_is_one_line(side, words, capsys):
    assert main(["bench", "--preset", "latency", "--pair", side, "unet"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert words in error


def test_several_runtimes_of_the_config_leave_a_side_open():
    for runtimes in (("eager", "openvino"), ("installed",)):
        config = CONFIG.model_copy(update={"runtimes": runtimes})
        with pytest.raises(UserError, match=r"unet does not say which runtime; add ,runtime=…"):
            parse_side("unet", config)
        assert parse_side("unet,runtime=eager", config).runtime == "eager"


@pytest.mark.parametrize(
    "flags", [["--models", "unet"], ["--throughput"], ["--rerun"], ["--dry-run"], ["--file", "a.onnx"]]
)
def test_a_pair_is_all_that_is_measured(flags, capsys):
    assert main(["bench", "--pair", "unet", "unet", *flags]) == 2
    assert f"leave {flags[0]} away" in capsys.readouterr().err


@pytest.fixture
def net(tmp_path):
    def write(fault="pass"):
        (tmp_path / "net.py").write_text(textwrap.dedent(NET).format(fault=fault))
        return f"{tmp_path / 'net.py'}:build"

    return write


def test_one_real_run(net, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = ["bench", "--preset", "latency", "--set", "quick=true", "--set", "image_size=[64, 128]", "--device", "cpu"]
    code = main([*line, "--threads", "1", "--pair", net(), f"{net()},input_size=8x16"])
    out, error = capsys.readouterr()
    assert (code, error) == (0, "")
    sentence, medians, condition, *doubts = out.splitlines()
    assert "net:build eager fp32 8x16" in sentence
    assert "net:build eager fp32 64x128" in sentence
    assert sentence.endswith("same machine, same run")
    assert medians.startswith("pipeline p50: ")
    assert condition.endswith("64x128 · batch 1 · 1 thread · weights: random")
    assert "QUICK" in doubts[0]
    assert not (tmp_path / "results").exists(), "a pair is printed, not kept"


def test_without_a_finished_run_weights_are_random_and_that_is_said(net, tmp_path):
    from zoo.config import TrainConfig
    from zoo.data.synthetic import write_dataset

    write_dataset(tmp_path / "streets", image_size=(64, 128), train_count=1, val_count=1)
    config = CONFIG.model_copy(update={"accuracy": True, "train": TrainConfig(steps=1), "train_missing": True})
    pair = run_pair(config, net(), net(), data=tmp_path / "streets", runs=tmp_path / "runs")
    assert pair.missing_weights == ("net:build",)
    assert pair.artifacts[0].output_size == (64, 128)
    assert [side.weights.source for side in pair.artifacts] == ["random", "random"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("fault", "words"),
    [("raise ValueError('odd')", "odd"), ("os.abort()", "SIGABRT"), ("logits = logits / 0", "NaN or infinity")],
)
def test_a_side_that_fails_is_named(net, fault, words):
    with pytest.raises(PairError, match=rf"^net:build,runtime=eager,precision=fp32,input_size=32x48: .*{words}"):
        run_pair(CONFIG, net(fault), f"{net(fault)},input_size=32x48")


def test_a_failed_side_is_one_line_and_exit_code_3(net, capsys):
    line = ["bench", "--preset", "latency", "--set", "quick=true", "--set", "image_size=[32, 48]", "--device", "cpu"]
    broken = net("raise ValueError('odd')")
    assert main([*line, "--pair", broken, f"{broken},input_size=32x64"]) == 3
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("zoo: net:build,runtime=eager,precision=fp32,input_size=32x48: ")
    assert error.count("\n") == 1


def test_a_side_this_machine_does_not_run_is_a_mistake_in_what_was_asked(net):
    with pytest.raises(UserError, match="net:build,runtime=eager,precision=tf32: tf32 needs a CUDA device"):
        run_pair(CONFIG, net(), f"{net()},precision=tf32")
