"""What people come with: eight questions to `zoo pick`, on the committed records or on made ones."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from zoo.cli.main import main, make_parser
from zoo.picker.pick import pick
from zoo.score.rows import row
from zoo.score.summary import Samples, summarise
from zoo.store import save

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture
def ask(capsys, monkeypatch):
    """`ask("--at 10hz", folder)`: exit code, output, errors, and the answer as JSON where there is one."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(flags, folder=RESULTS):
        where = ["--device", "intel-xeon-2c"] if folder == RESULTS and "--device" not in flags else []
        command = ["pick", *shlex.split(flags), *where, "--results", str(folder)]
        code = main(command)
        text = capsys.readouterr()
        answer = None
        if code < 2:
            assert main([*command, "--format", "json"]) == code
            answer = json.loads(capsys.readouterr().out)
        return code, " ".join(text.out.split()), text.err, answer

    return run


def why(answer, label):
    """Why a row lost."""
    (loser,) = [loser for loser in answer["losers"] if loser["label"] == label]
    return loser["why"]


def test_a_camera_at_10_hz(ask):
    code, said, _, answer = ask("--device intel-xeon-2c --at 10hz")
    assert code == 0
    assert answer["limits"] == ["pipeline p99 ≤ 100 ms"]
    assert answer["winner"]["pipeline_p99_s"] <= 0.1
    assert why(answer, "unet onnxruntime") == ["pipeline p99 104 ms > 100 ms (4.1% off)"]
    assert "at 10 Hz a frame comes every 100 ms: held against the p99 of calls made one after the other" in said
    assert answer["winner"]["miou"] >= max(
        loser_miou(answer, label) - 1e-3 for label in answer["pareto_set"] if label != answer["label"]
    )
    make_parser().parse_args(shlex.split(answer["export"])[1:])
    make_parser().parse_args(shlex.split(answer["load"])[1:])
    make_parser().parse_args(shlex.split(answer["measure"])[1:])


def loser_miou(answer, label):
    """Of the text that says why it lost, or of none: a tie has as much."""
    texts = why(answer, label)
    return float(texts[0].removeprefix("mIoU ").partition(" ")[0]) / 100


def test_p99_and_memory(ask):
    code, said, _, answer = ask("--max p99=25ms --max memory=150MiB")
    assert code == 0
    assert answer["winner"]["peak_memory_bytes"] <= 150 * 2**20
    assert answer["winner"]["pipeline_p99_s"] <= 0.025
    assert "peak memory ≤ 150 MiB: 53.1 MiB" in said
    assert why(answer, "icnet_resnet18 onnxruntime") == ["peak memory 201 MiB > 150 MiB (34% off)"]


def test_floors_of_person_and_rider(ask):
    code, said, _, answer = ask("--min iou.person=10% --min iou.Rider=10% --minimize latency")
    assert code == 0
    assert answer["limits"] == ["IoU of person ≥ 10.0 %", "IoU of rider ≥ 10.0 %"]
    assert answer["winner"]["class_iou"]["person"] >= 0.1
    assert answer["winner"]["class_iou"]["rider"] >= 0.1
    assert "IoU of person" in said
    code, said, _, answer = ask("--min iou.person=60% --min iou.rider=40%")
    assert (code, answer["winner"]) == (1, None)
    assert "IoU of person 13.2 % < 60.0 % (78% off)" in said


def test_for_sale_alone(ask, records, tmp_path):
    make = records.make
    for model, right, changes in (
        ("unet", 0.5, {}),
        ("fcn_resnet50", 0.6, {"pretrained": "torchvision ResNet50_Weights.IMAGENET1K_V1"}),
        ("segformer_b0", 0.7, {}),
        ("pidnet_s", 0.8, {"source": "published", "tag": "mmseg"}),
    ):
        made = make(model, right=right, **{name: value for name, value in changes.items() if name != "pretrained"})
        facts = {"trained_on": "synthetic", "pretrained": changes.get("pretrained", "")}
        weights = made.artifact.weights.model_copy(update=facts)
        artifact = made.artifact.model_copy(update={"weights": weights})
        save(made.model_copy(update={"artifact": artifact}), {}, tmp_path)
    assert ask("", tmp_path)[3]["winner"]["model"] == "pidnet_s"
    code, said, _, answer = ask("--for sale", tmp_path)
    assert (code, answer["winner"]["model"]) == (0, "unet")
    assert "note: for sale: facts and where they are stated, no legal advice" in said
    assert why(answer, "pidnet_s published mmseg")[0].startswith("training data: Cityscapes: non-commercial (https://")
    assert why(answer, "segformer_b0 run camvid_cpu")[0].startswith("code: NVIDIA Source Code License, non-commercial")
    assert any("ImageNet: non-commercial (https://" in line for line in why(answer, "fcn_resnet50 run camvid_cpu"))
    assert {loser["kind"] for loser in answer["losers"]} == {"licence"}
    random, said, _, answer = ask("--dataset none --for sale --minimize latency")
    assert random == 0
    assert "its weights are random: only the code's licence counted" in said
    assert answer["winner"]["code_licence"] == "BSD-3-Clause (torchvision)"
    assert ask("--for sale --dataset camvid")[0] == 1, "nobody states the terms of CamVid"


def test_int8_that_hurts_no_class(ask, records, tmp_path):
    whole, hurt, kept = records.confusion(0.6), records.confusion(0.6), records.confusion(0.599)
    hurt[2] = 0
    hurt[2, 2], hurt[2, 3] = 3000, 7000
    for model, matrix in (("a", hurt), ("b", kept)):
        save(records.make(model, matrix=whole), {}, tmp_path)
        fast = 0.004 if model == "a" else 0.006
        artifact = {"runtime": "openvino", "precision": "int8", "one_graph": True, "p50_s": fast}
        save(records.make(model, matrix=matrix, **artifact), {}, tmp_path)
    _, said, _, answer = ask("--minimize latency", tmp_path)
    assert answer["label"] == "a openvino int8"
    assert "note: it loses points of IoU against fp32 on class 2 (21.4), class 3 (" in " ".join(said.split())
    assert ("worst class lost" in said, "† class 2 21.4" in said) == (True, True)
    code, _, _, answer = ask("--precision int8 --max class-loss=2 --minimize latency", tmp_path)
    assert (code, answer["label"]) == (0, "b")
    assert why(answer, "a")[0].startswith("IoU lost of the worst class 21.4 points > 2.0 points")
    assert ask("--precision int8 --max 'class-loss.class 5=2' --minimize latency", tmp_path)[3]["label"] == "a"
    code, _, _, answer = ask("--dataset camvid --precision int8 --max class-loss=2 --minimize latency")
    assert (code, answer["winner"]["precision"]) == (0, "int8")


@pytest.fixture
def two(records, tmp_path):
    """Records of two devices: `a` is best on the first alone, `b` good on both, `c` on the first alone measured."""
    for device, threads, times in (
        ("intel-xeon-2c", 2, {"a": 0.010, "b": 0.020, "c": 0.010}),
        ("amd-epyc-zen4-8c", 8, {"a": 0.090, "b": 0.030}),
    ):
        for model, p50_s in times.items():
            right = {"a": 0.7, "b": 0.6, "c": 0.8}[model]
            save(records.make(model, device=device, thread_count=threads, p50_s=p50_s, right=right), {}, tmp_path)
    return tmp_path


def test_one_model_for_two_devices(ask, two):
    code, _, error, _ = ask("--max latency=60ms", two)
    assert code == 2
    assert "device is amd-epyc-zen4-8c or intel-xeon-2c; thread count is" in error
    both = "--device intel-xeon-2c --device amd-epyc-zen4-8c"
    code, said, _, answer = ask(f"{both} --max latency=60ms", two)
    assert (code, answer["label"]) == (0, "b")
    assert said.startswith("b (intel-xeon-2c and amd-epyc-zen4-8c · streets ")
    assert answer["winner"]["pipeline_p50_s"] == pytest.approx(0.0375), "where it is worst"
    assert "on intel-xeon-2c, eager fp32: mIoU" in said
    assert set(answer["devices"]) == {"intel-xeon-2c", "amd-epyc-zen4-8c"}
    assert why(answer, "a") == ["pipeline p50 112 ms on amd-epyc-zen4-8c > 60.0 ms (87% off)"]
    assert why(answer, "c") == ["not measured on amd-epyc-zen4-8c"]
    assert "c: not measured on amd-epyc-zen4-8c; there `zoo bench --models c --runtimes eager" in said
    assert ask(f"{both} --minimize latency", two)[3]["label"] == "b"
    assert ask("--device intel-xeon-2c,amd-epyc-zen4-8c", two)[3]["label"] == "a", "mIoU is the same on both"
    code, _, error, _ = ask("--device intel-xeon-2c --device nvidia-h200", two)
    assert code == 3
    assert "nothing was measured on 'nvidia-h200'. Its records came with zoo: --results shipped. There is: " in error
    assert (
        f"amd-epyc-zen4-8c, intel-xeon-2c; `zoo merge DIR --into {two}` takes in what was measured elsewhere" in error
    )
    code, _, error, _ = ask("--device abacus", two)
    assert (code, "shipped" in error) == (3, False)


def test_nothing_qualifies(ask):
    code, said, error, answer = ask("--max latency=6ms --min miou=40%")
    assert (code, error, answer["winner"]) == (1, "", None)
    assert said.startswith("nothing qualifies (intel-xeon-2c · camvid")
    assert "nearest: contextnet onnxruntime: mIoU 38.7 % < 40.0 % (3.2% off) ddrnet_23_slim onnxruntime" in said
    assert "ddrnet_23_slim onnxruntime: pipeline p50 6.31 ms > 6.00 ms (5.2% off)" in said


def test_nothing_measured_yet(ask, records, tmp_path):
    code, said, error, _ = ask("", tmp_path / "results")
    assert (code, said, error.count("\n")) == (3, "", 1)
    assert f"does not exist; make some with `zoo bench --models all --results {tmp_path / 'results'}`" in error
    save(records.make("a", right=None), {}, tmp_path)
    code, _, error, _ = ask("--min miou=50%", tmp_path)
    assert code == 3
    assert "no record knows its mIoU" in error
    code, _, error, _ = ask("--max missed=0 --minimize latency", tmp_path)
    assert code == 3
    measure = f"`zoo bench --models a --data DIR --preset camvid --rate RATE --results {tmp_path}`"
    assert f"no record knows its missed deadlines; measure with {measure}\n" in error


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("--max energy=1J", "their devices do not count it"),
        ("--max p99.9=50ms", "it takes 1,000 samples"),
        ("--min iou.wall=10", "no image of theirs shows wall; of these classes it is known: building, car, fence"),
    ],
)
def test_what_no_measurement_of_these_would_tell_is_said_and_no_command_that_made_them(ask, question, why):
    code, said, error, _ = ask(f"--device amd-epyc-zen4-2c --dataset camvid {question}")
    assert (code, said) == (3, "")
    assert why in error
    assert "`zoo bench" not in error


def test_every_line_with_a_published_number_says_that_it_is(ask):
    asked = "--accept published --dataset none --device intel-xeon-2c --min miou=70% --explain"
    _, said, _, answer = ask(asked)
    published = [loser for loser in answer["losers"] if any("mIoU 7" in why for why in loser["why"])]
    assert published
    lines = [*answer["reasons"], *answer["notes"], *(why for loser in published for why in loser["why"])]
    for line in lines:
        numbers = re.findall(r"[0-9.]+ (?:%|points of mIoU)", re.sub("[≥<] [0-9.]+ %", "", line))
        assert line.count("(published)") == len(numbers), line
    assert "was not held against fp32" not in said


def test_a_published_number_is_of_weights_whose_terms_count(ask):
    code, said, _, answer = ask("--accept published --dataset none --device intel-xeon-2c --for sale")
    assert (code, answer["winner"]) == (1, None)
    assert "weights: of other weights of this architecture, whose mIoU it is: unknown (https://github.com/" in said


def test_rows_of_the_asked_rate_that_lack_a_number_are_named_with_it(ask):
    _, said, _, _ = ask("--device amd-epyc-zen4-2c --at 10hz")
    assert "note: rows paced at 10 Hz are left out: their mIoU is not known" in said
    _, said, _, _ = ask("--device amd-epyc-zen4-2c --at 12hz")
    assert "note: rows of paced calls are left out: --at RATE chooses among those of its rate" in said


def test_an_older_protocol_and_a_slower_int8_are_said(ask):
    _, said, _, _ = ask("--device intel-xeon-2c --dataset camvid --precision int8")
    assert "note: all were timed by zoo-lat/2, before today's zoo-lat/3: no row of that is asked for" in said
    _, said, _, _ = ask("--device intel-xeon-2c --dataset camvid --precision int8 --models lraspp_mobilenet_v3_large")
    assert "note: int8 is slower than fp32 here: lraspp_mobilenet_v3_large in onnxruntime takes" in said


def test_what_no_measurement_tells_leaves_the_ways_to_the_rest(ask):
    _, _, error, _ = ask("--device intel-xeon-2c --dataset none --max energy=1J")
    assert "no record knows its mIoU, energy per image (energy per image: their devices do not count it" in error
    assert "train with `zoo train MODEL --data DIR`" in error


def test_no_note_of_a_choice_contradicts_another(records, tmp_path):
    older = records.make("a").model_copy(update={"protocol": "zoo-lat/2"})
    said = " ".join(pick([row(older), row(records.make("b", right=None))]).notes)
    assert "rows of zoo-lat/3 are left out" in said
    assert "no row of that is asked for" not in said
    paced = [
        row(records.make("c", rate_hz=10.0, right=None)),
        row(records.make("d", rate_hz=10.0)).having(peak_memory_bytes=None),
    ]
    said = " ".join(pick([*paced, row(records.make("a"))], at="10hz", limits="memory<=10GiB").notes)
    assert "rows paced at 10 Hz are left out: none of them knows all that is asked for" in said


def test_what_several_devices_doubt_and_that_each_trained_its_own(ask):
    _, said, _, answer = ask("--device intel-xeon-2c --device amd-epyc-zen3-2c --at 10hz")
    (grade,) = [note for note in answer["notes"] if "measured with grade" in note]
    assert "on intel-xeon-2c" in grade
    assert "on amd-epyc-zen3-2c" in grade
    assert "note: not one training for all: its weights are of the same recipe, and differ by device" in said
    _, said, _, _ = ask("--device intel-xeon-2c")
    assert "not one training" not in said


@pytest.fixture
def timed(records, tmp_path):
    """`timed(model, seconds, **changes)`: a record whose calls took these."""

    def keep(model, seconds, **changes):
        record, samples = records.sampled(model, samples=len(seconds), **changes)
        said = summarise(Samples(seconds, 10, 1.0, True))
        record = record.model_copy(update={"speed": record.speed.model_copy(update={"pipeline": said})})
        save(record, {**samples, "pipeline_s": seconds}, tmp_path)

    return keep


def test_of_several_devices_a_tail_is_that_of_the_device_it_is_of(ask, timed, tmp_path):
    draw = np.random.default_rng(0)
    for model, device, typical in (("a", "x", 0.010), ("a", "y", 0.080), ("b", "x", 0.010), ("b", "y", 0.040)):
        timed(model, typical * draw.normal(1, 0.005, 1000), device=device, right=0.8)
    for order in ("x,y", "y,x"):
        _, said, _, answer = ask(f"--device {order} --minimize p99", tmp_path)
        assert (answer["label"], "tie" in said) == ("b", False)
        assert why(answer, "a")[0].startswith("pipeline p99 80.")
        assert "pipeline p99 40." in said


def test_a_tail_that_is_kept_by_chance_is_said(ask, timed, tmp_path):
    calls = 0.09 * np.exp(np.random.default_rng(3).normal(0, 0.045, 1000))
    timed("a", calls)
    asked = f"--max p99={1e3 * np.quantile(calls, 0.992):.4f}ms"
    said = ask(asked, tmp_path)[1]
    assert "pipeline p99 100.0 [98." in said or "pipeline p99 99." in said
    assert "note: the 95 % interval of pipeline p99 reaches 10" in said
    assert "interval of pipeline p99" not in ask("--max p99=200ms", tmp_path)[1]


def test_a_tail_of_few_calls_says_how_many_were_over(ask, timed, tmp_path):
    timed("a", np.array([0.09] * 199 + [0.12]))
    said = ask("--max p99=100ms", tmp_path)[1]
    assert "pipeline p99 rests on 200 calls, too few for an interval: 1 of them took longer than the limit" in said
    assert "too few" not in ask("--max p99=130ms", tmp_path)[1], "every call kept it"
