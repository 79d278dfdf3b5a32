"""Artifacts as files: exported with a card, run without this package, measured by anybody."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from tests.artifacts import CPU, FRAME, make_place, make_wanted
from zoo import export, store
from zoo.artifact import build
from zoo.card import read_exported
from zoo.cli import main as cli
from zoo.data.layout import open_dataset
from zoo.data.reading import label_shares
from zoo.data.synthetic import write_dataset
from zoo.errors import UserError
from zoo.labels import CITYSCAPES
from zoo.runtimes import table


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def wanted(place):
    return make_wanted(place)


def arguments(place: Path, runtime: str, name: str, *more: str) -> list[str]:
    return [
        *("export", f"{place / 'net.py'}:build", "-o", str(place / name), "--runtime", runtime, "--random"),
        *(
            "--data",
            str(place / "streets"),
            "--cache",
            str(place / "cache"),
            "--results",
            str(place / "results"),
            *more,
        ),
    ]


def one_line(capsys) -> str:
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


SNIPPET_CASES = [
    ("onnxruntime", "ort.onnx", ("--batch", "2")),
    ("onnxruntime", "int8.onnx", ("--precision", "int8")),
    ("openvino", "ov.onnx", ()),
]


@pytest.mark.parametrize(("runtime", "name", "more"), SNIPPET_CASES)
def test_an_exported_file_has_its_card_and_runs_without_zoo(runtime, name, more, place, capsys):
    check_exported(runtime, name, more, place, capsys)


def check_exported(runtime, name, more, place, capsys):
    if reason := table.why_missing(runtime, CPU):
        pytest.skip(reason)
    assert cli.main(arguments(place, runtime, name, *more)) == 0
    said = capsys.readouterr().out
    file = place / name
    card = json.loads((place / f"{name}.json").read_text())
    batch = 2 if "--batch" in more else 1
    precision = "int8" if "int8" in more else "fp32"
    assert f"wrote {file}" in said
    assert f"no record yet: `zoo bench --file {file}" in said
    assert (card["file"], card["runtime"], card["precision"]) == (name, runtime, precision)
    assert card["sha256"] == store_sha256(file)
    assert card["bytes"] == file.stat().st_size
    assert card["input"]["shape"] == [batch, *FRAME, 3]
    assert card["output"]["shape"] == [batch, *FRAME]
    versions = (None, None, None) if runtime == "aoti" else (20, 9, "1.17")
    assert (card["opset"], card["ir_version"], card["oldest_onnxruntime"]) == versions
    assert ("opset 20, IR version 9: for ONNX Runtime 1.17 and newer" in said) == (runtime != "aoti")
    assert ("int8 products: u8 x" in said) == ("int8_products" in card["options"]) == (precision == "int8")
    assert card["class_names"] == list(CITYSCAPES.class_names)
    assert card["class_colors"][0] == list(CITYSCAPES.class_colors[0])
    assert card["weights"]["source"] == "random"
    assert "licence" in card
    assert card["record"] is None

    labels = labels_of(said, place)
    pixels = np.array(Image.open(place / "frame.png").convert("RGB"))[None].repeat(batch, axis=0)
    runnable = table.load_file(runtime, file, device=CPU, precision=precision)
    expected = runnable.predict(torch.from_numpy(pixels))[0].numpy()
    assert (labels.dtype, labels.shape) == (np.uint8, FRAME)
    assert (labels == expected).mean() > 0.999


def labels_of(said: str, folder: Path) -> np.ndarray:
    """What the printed snippet makes of `frame.png` in a folder."""
    snippet = said.partition("without zoo:\n\n")[2]
    blocked = f"import sys; sys.modules['zoo'] = None\n{snippet}\nnp.save('labels.npy', labels)"
    done = subprocess.run(
        [sys.executable, "-c", blocked], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return np.load(folder / "labels.npy")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("more", [(), ("--dynamic",)])
def test_the_snippet_takes_a_frame_of_another_size(runtime, more, place, tmp_path, capsys):
    if reason := table.why_missing(runtime, CPU):
        pytest.skip(reason)
    other = Image.open(place / "frame.png").resize((70, 50))
    other.save(tmp_path / "frame.png")
    assert cli.main(arguments(place, runtime, "other.onnx", *more)) == 0
    labels = labels_of(capsys.readouterr().out, tmp_path)
    given = other if more else other.resize(FRAME[::-1])
    assert labels.shape == given.size[::-1]
    runnable = table.load_file(runtime, place / "other.onnx", device=CPU, precision="fp32")
    assert (runnable.predict(torch.from_numpy(np.array(given))[None])[0].numpy() == labels).all()
    card = json.loads((place / "other.onnx.json").read_text())
    assert card["input"]["shape"] == ([1, 0, 0, 3] if more else [1, *FRAME, 3])
    assert card["input_size"] == list(FRAME)


def test_a_file_for_any_size_is_measured_at_the_datasets(place):
    write_dataset(place / "tall", image_size=(96, 64), train_count=1, val_count=2)
    assert cli.main(arguments(place, "onnxruntime", "any.onnx", "--dynamic")) == 0
    given = ("--data", str(place / "tall"), "--threads", "1", "--device", "cpu", "--results", str(place / "any"))
    where = ("--runs", str(place / "runs"), "--cache", str(place / "cache"))
    assert cli.main(["bench", "--file", str(place / "any.onnx"), *given, *where]) == 0
    (record,) = [one for one in store.scan(place / "any").records if not one.is_baseline]
    assert record.artifact.file_sha256 == store_sha256(place / "any.onnx")
    assert (record.status, record.artifact.output_size, record.artifact.input_size) == ("ok", (96, 64), FRAME)
    assert record.accuracy.image_count == 2
    assert record.speed.network is not None
    assert record.speed.waterfall == ()


def test_an_int8_file_that_is_slower_than_fp32_says_so(records, place, wanted, capsys):
    _, built = build(replace(wanted, precision="int8"))
    for precision, p50_s in (("fp32", 0.01), ("int8", 0.02)):
        made = records.make("net:build", right=None, runtime="onnxruntime", precision=precision, p50_s=p50_s)
        artifact = made.artifact.model_copy(update={"file_sha256": built.sha256 if precision == "int8" else None})
        store.save(made.model_copy(update={"artifact": artifact}), {}, place / "slower")
    given = arguments(place, "onnxruntime", "slow.onnx", "--precision", "int8")
    given[given.index(str(place / "results"))] = str(place / "slower")
    assert cli.main(given) == 0
    assert "int8 is slower than fp32 here: net:build in onnxruntime takes 25.0 ms" in capsys.readouterr().out


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A model that brings its weights, which int8 told by min-max alone would lose: one channel is far too loud."""
    place = make_place(tmp_path_factory.mktemp("own"))
    (place / "loud.py").write_text(
        textwrap.dedent("""
            import torch

            def build(num_classes):
                torch.manual_seed(0)
                net = torch.nn.Sequential(
                    torch.nn.Conv2d(3, 16, 5, 4, 2), torch.nn.ReLU(), torch.nn.Conv2d(16, num_classes, 1)
                )
                with torch.no_grad():
                    net[0].weight[5] *= 3000
                    net[0].bias[5] = 3000
                    net[2].weight[:, 5] /= 3000
                return net
        """)
    )
    return place


def of_own(place: Path, name: str, *more: str) -> list[str]:
    where = ("--data", str(place / "streets"), "--cache", str(place / "cache"), "--results", str(place / "results"))
    return ["export", f"{place / 'loud.py'}:build", "-o", str(place / name), "--weights", "own", *where, *more]


def test_int8_that_loses_too_much_is_made_otherwise_and_that_is_said(own, capsys):
    assert cli.main(of_own(own, "int8.onnx", "--precision", "int8")) == 0
    said = capsys.readouterr()
    found = json.loads((own / "int8.onnx.json").read_text())["build"]
    first, *others = found["quantisation"]["attempts"]
    assert first["way"] == "min-max calibration"
    assert first["miou_lost"] > 0.001
    assert others
    assert found["quantisation"]["image_count"] == 3
    kept = found["quantisation"]["way"]
    best = min((one["miou_lost"], one["way"]) for one in (first, *others) if one["miou_lost"] is not None)
    assert kept == best[1]
    assert found["options"]["quantisation"].startswith(f"static, QDQ, {kept}, ")
    assert f"int8 by {kept}" in said.out
    assert f"int8: trying {others[0]['way']}" in said.err
    assert cli.main(of_own(own, "again.onnx", "--precision", "int8")) == 0
    assert "trying" not in capsys.readouterr().err, "it is in the cache"


def test_int8_with_random_weights_is_not_held_against_anything(place, capsys):
    assert cli.main(arguments(place, "onnxruntime", "random8.onnx", "--precision", "int8")) == 0
    assert "int8 by min-max calibration, not held against fp32: its weights are random" in capsys.readouterr().out


def test_a_file_that_keeps_what_is_required_is_written(own, capsys):
    given = ("--require", "class-loss:0.1,equal:99,miou-lost:0.1,class-loss.road:0.1")
    assert cli.main(of_own(own, "kept.onnx", *given)) == 0
    said = capsys.readouterr().out
    assert (own / "kept.onnx").is_file()
    assert "against fp32 eager, on 2 images of synthetic val: " in said
    assert "of the labels equal" in said


def test_nothing_lost_has_no_sign(own, capsys, monkeypatch):
    held = export.Held(
        miou=0.5, miou_lost=-1e-5, class_lost={"road": -1e-6}, common=frozenset({"road"}), equal_share=1.0,
        image_count=2,
    )  # fmt: skip
    monkeypatch.setattr(export, "hold", lambda *_: held)
    assert cli.main(of_own(own, "gained.onnx", "--require", "class-loss:2")) == 0
    assert "images of synthetic val: 0.0 points of mIoU lost, most on road: 0.0; " in capsys.readouterr().out


def test_a_file_that_loses_more_is_not_written_and_the_classes_are_named(own, capsys, monkeypatch):
    held = export.Held(
        miou=0.5, miou_lost=0.02, class_lost={"road": 0.05, "pole": 0.031, "car": 0.01, "train": 0.3},
        common=frozenset({"road", "pole", "car"}), equal_share=0.9, image_count=2,
    )  # fmt: skip
    monkeypatch.setattr(export, "hold", lambda *_: held)
    (own / "refused.onnx").write_bytes(b"of before")
    assert cli.main(of_own(own, "refused.onnx", "--require", "class-loss:2,equal:99.9,miou:40")) == 1
    said = one_line(capsys)
    assert f"{own / 'refused.onnx'} is not written, it does not keep IoU lost of the worst class ≤ 2.0 points: " in said
    assert "road 5.0 points, pole 3.1 points; labels equal to fp32 ≥ 99.90 %: 90.00 % (against fp32 eager, on " in said
    assert "train" not in said, "it is rare"
    assert (own / "refused.onnx").read_bytes() == b"of before"
    assert not (own / "refused.onnx.json").exists()


@pytest.mark.parametrize(
    ("require", "lost", "said"),
    [
        ("class-loss:0.01", 0.0002, "IoU lost of the worst class ≤ 0.01 points: road 0.02 points ("),
        ("class-loss.road:2", 0.0204, "IoU lost of road ≤ 2.0 points: 2.04 points ("),
        ("miou-lost:2", 0.02004, "mIoU lost ≤ 2.0 points: 2.004 points ("),
        ("miou:50.01", 0.0, "mIoU ≥ 50.01 %: 50.00 % ("),
    ],
)
def test_what_is_lost_never_reads_as_what_may_be(require, lost, said, own, capsys, monkeypatch):
    held = export.Held(
        miou=0.5, miou_lost=lost, class_lost={"road": lost}, common=frozenset({"road"}), equal_share=0.9, image_count=2
    )
    monkeypatch.setattr(export, "hold", lambda *_: held)
    assert cli.main(of_own(own, "refused.onnx", "--require", require)) == 1
    assert f"does not keep {said}" in one_line(capsys)


def test_what_a_class_loses_that_no_label_shows_cannot_be_required(own, capsys, monkeypatch):
    monkeypatch.setattr(export, "build", lambda *_: pytest.fail("nothing is built"))
    dataset = open_dataset(own / "streets")
    shares = dict(zip(dataset.spec.class_names, label_shares(dataset, "val"), strict=True))
    absent = next(name for name, share in shares.items() if not share)
    assert cli.main(of_own(own, "model.onnx", "--require", f"class-loss.road:1,class-loss.{absent}:1")) == 2
    said = one_line(capsys)
    assert f"--require names {absent}, which no label of synthetic val shows: what such a class loses cannot be" in said
    assert "those that are there: road, sidewalk" in said


@pytest.mark.parametrize(
    ("require", "more", "said"),
    [
        ("class-loss", (), "a requirement is one of equal:VALUE, miou-lost:VALUE, miou:VALUE, class-loss:VALUE"),
        ("latency:5ms", (), "got 'latency:5ms'"),
        ("class-loss:two", (), "two"),
        (",", (), "nothing is required"),
        ("class-loss.unicorn:2", (), "--require names unicorn, no class of synthetic; there are: road, sidewalk"),
        ("class-loss:2", ("--weights", "random"), "random weights have no accuracy to lose"),
    ],
)
def test_what_cannot_be_required_is_one_line(require, more, said, own, capsys):
    given = of_own(own, "model.onnx", "--require", require, *more)
    if more:
        given.remove("own")
        given.remove("--weights")
    assert cli.main(given) == 2
    assert said in one_line(capsys)
    assert not (own / "model.onnx").exists()


def test_what_is_required_is_counted_on_data_that_is_named(own, capsys, monkeypatch):
    monkeypatch.delenv("CITYSCAPES_DATASET", raising=False)
    given = of_own(own, "model.onnx", "--require", "class-loss:2")
    at = given.index("--data")
    assert cli.main([*given[:at], *given[at + 2 :]]) == 2
    assert "name them with --data DIR" in one_line(capsys)


def store_sha256(file: Path) -> str:
    done = subprocess.run(["sha256sum", str(file)], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


def bench(place: Path, file: Path, *more: str) -> int:
    return cli.main(
        [
            *("bench", "--file", str(file), "--set", "accuracy=false", "--results", str(place / "results")),
            *(
                "--runs",
                str(place / "runs"),
                "--cache",
                str(place / "cache"),
                "--device",
                "cpu",
                "--threads",
                "1",
                *more,
            ),
        ]
    )


def records_of(place: Path) -> list:
    return store.scan(place / "results").records


def test_a_measured_file_has_its_record_in_its_card(place, capsys):
    assert cli.main(arguments(place, "onnxruntime", "mine.onnx")) == 0
    assert bench(place, place / "mine.onnx") == 0
    (record,) = [one for one in records_of(place) if one.artifact.model == "net:build"]
    assert (record.status, record.artifact.runtime) == ("ok", "onnxruntime")
    assert record.artifact.file_sha256 == store_sha256(place / "mine.onnx")
    assert record.speed.network is not None
    assert record.speed.state.batch_norm == "folded"
    assert cli.main(arguments(place, "onnxruntime", "mine.onnx")) == 0
    card = json.loads((place / "mine.onnx.json").read_text())
    assert card["record"]["key"] == record.key
    assert "no record yet" not in capsys.readouterr().out.rpartition("wrote ")[2]
    assert read_exported(place / "mine.onnx", trust=False).record == record


def test_what_is_exported_is_what_a_sweep_measured(place, capsys):
    frame = ("--set", "accuracy=false", "--set", "image_size=[64, 128]", "--set", "train_missing=false")
    where = ("--results", str(place / "results"), "--runs", str(place / "runs"), "--cache", str(place / "cache"))
    model = f"{place / 'net.py'}:build"
    runtimes = ("--runtimes", "openvino", "--input-size", "64x128", "--device", "cpu")
    assert cli.main(["bench", "--models", model, *runtimes, *frame, *where]) == 0
    (record,) = [one for one in records_of(place) if one.artifact.output_size == (64, 128)]
    assert record.build.export_s is not None
    assert not record.build.cached
    assert cli.main(arguments(place, "openvino", "same.onnx", "--image-size", "64x128")) == 0
    card = json.loads((place / "same.onnx.json").read_text())
    assert card["record"]["key"] == record.key
    assert card["build"]["cached"]
    assert "no record yet" not in capsys.readouterr().out


def test_a_file_of_another_maker_is_one_row_without_a_network_scope(place, capsys):
    foreign = place / "foreign.onnx"
    onnx.save(contract_model(), foreign)
    assert bench(place, foreign) == 0
    (record,) = [one for one in records_of(place) if one.artifact.model == "foreign"]
    assert (record.status, record.artifact.weights.source) == ("ok", "file")
    assert record.speed.network is None
    assert record.speed.pipeline.p50_s > 0
    assert record.cost is None
    assert "foreign" in capsys.readouterr().out
    assert bench(place, foreign, "--runtimes", "eager") == 2
    assert "runtime eager does not run .onnx files" in one_line(capsys)


@pytest.mark.slow
def test_a_package_runs_without_zoo_and_is_measured_when_it_is_trusted(place, capsys):
    check_exported("aoti", "trusted.pt2", (), place, capsys)  # which takes most of a minute to compile
    assert bench(place, place / "trusted.pt2") == 2
    assert "--trust" in one_line(capsys)
    assert bench(place, place / "trusted.pt2", "--trust") == 0
    (record,) = [one for one in records_of(place) if one.artifact.runtime == "aoti"]
    assert record.status == "ok"
    assert record.artifact.file_bytes == (place / "trusted.pt2").stat().st_size
    (place / "trusted.pt2").rename(place / "bare.pt2")
    with pytest.raises(UserError, match="has no card"):
        read_exported(place / "bare.pt2", trust=True)
    with pytest.raises(UserError, match="compiled for cpu, not cuda"):
        table.load_file("aoti", place / "bare.pt2", device=torch.device("cuda"), precision="fp32")


@pytest.mark.parametrize(
    ("runtime", "name", "more", "said"),
    [
        ("onnxruntime", "model.pt2", (), "name it model.onnx"),
        ("aoti", "model.onnx", (), "name it model.pt2"),
        ("eager", "model.onnx", (), "choose one of aoti, onnxruntime, openvino, tensorrt"),
        ("onxruntime", "model.onnx", (), "Did you mean 'onnxruntime'"),
        ("onnxruntime", "frame.png/model.onnx", (), "name another file with -o"),
        ("onnxruntime", "model.onnx", ("--precision", "bf16"), "choose another --runtime or --precision"),
        ("onnxruntime", "model.onnx", ("--batch", "0"), "batch"),
        ("onnxruntime", "model.onnx", ("--opset", "17"), "--opset takes 18"),
        ("onnxruntime", "model.onnx", ("--opset", "22"), "to 21; got 22"),
        ("aoti", "model.pt2", ("--opset", "20"), "runtime aoti writes .pt2"),
        ("onnxruntime", "model.onnx", ("--dynamic", "--resize", "none"), "choose --resize fit or stretch"),
        ("aoti", "model.pt2", ("--dynamic",), "leave --dynamic out"),
        ("onnxruntime", "model.onnx", ("--checkpoint", "nowhere.pt"), "--random"),
    ],
)
def test_what_cannot_be_exported_is_one_line(runtime, name, more, said, place, capsys):
    assert cli.main(arguments(place, runtime, name, *more)) == 2
    assert said in one_line(capsys)
    assert not (place / "model.onnx").exists()


def test_a_model_without_weights_is_one_line(place, capsys, tmp_path):
    given = [word for word in arguments(place, "onnxruntime", "model.onnx") if word != "--random"]
    assert cli.main([*given, "--checkpoint", str(tmp_path / "nowhere.pt")]) == 2
    assert "nowhere.pt" in one_line(capsys)
    assert cli.main([*given, "--runs", str(tmp_path)]) == 2
    assert "name weights with --weights" in one_line(capsys)


def test_a_model_that_cannot_be_exported_is_one_line_and_a_failed_record(place, capsys):
    (place / "branches.py").write_text(
        textwrap.dedent("""
            import torch

            class Net(torch.nn.Conv2d):
                def forward(self, x):
                    logits = super().forward(x)
                    return logits if logits.mean() > 0 else 2 * logits

            def build(num_classes):
                return Net(3, num_classes, 3, 2, 1)
        """)
    )
    given = [word.replace("net.py", "branches.py") for word in arguments(place, "onnxruntime", "branches.onnx")]
    assert cli.main(given) == 2
    assert "data-dependent" in one_line(capsys)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        code = cli.main(
            [
                *("bench", "--models", "branches.py:build", "--runtimes", "onnxruntime", "--set", "accuracy=false"),
                *("--set", "train_missing=false", "--set", "image_size=[64, 96]", "--input-size", "64x96"),
                *("--results", "results", "--runs", "runs", "--cache", "cache", "--device", "cpu"),
            ]
        )
    assert code == 3
    (record,) = [one for one in records_of(place) if one.artifact.model == "branches:build"]
    assert (record.status, record.failure.step) == ("failed", "build")
    assert "data-dependent" in record.failure.reason


def contract_model(
    given=(onnx.TensorProto.UINT8, (1, *FRAME, 3)), made=(onnx.TensorProto.UINT8, (1, *FRAME)), extra: bool = False
):
    """A foreign file that answers with the strongest colour."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Cast", ["picture"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ArgMax", ["floats"], ["index"], axis=3, keepdims=0),
        helper.make_node("Cast", ["index"], ["classes"], to=made[0]),
    ]
    outputs = [helper.make_tensor_value_info("classes", *made)]
    if extra:
        outputs.append(helper.make_tensor_value_info("index", onnx.TensorProto.INT64, made[1]))
    graph = helper.make_graph(nodes, "foreign", [helper.make_tensor_value_info("picture", *given)], outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_foreign_file_is_named_by_what_it_computes_in(wanted, tmp_path):
    file, _ = build(replace(wanted, precision="int8"))
    (tmp_path / "theirs.onnx").write_bytes(file.read_bytes())
    card = read_exported(tmp_path / "theirs.onnx", trust=False)
    assert (card.precision, card.weights.source, card.input.shape) == ("int8", "file", (1, *FRAME, 3))
    onnx.save(contract_model(), tmp_path / "mine.onnx")
    assert read_exported(tmp_path / "mine.onnx", trust=False).precision == "fp32"


FLOAT = onnx.TensorProto.FLOAT
UINT8 = onnx.TensorProto.UINT8


@pytest.mark.parametrize(
    ("change", "network"),
    [
        ({}, None),
        ({"given": (FLOAT, (1, *FRAME, 3))}, "float NHWC of 64x96 → labels 'classes'"),
        (
            {"given": (UINT8, ("n", "h", "w", 3)), "made": (UINT8, ("n", "h", "w"))},
            "uint8 NHWC of HxW → labels 'classes'",
        ),
        ({"made": (onnx.TensorProto.INT64, (1, *FRAME))}, "uint8 NHWC of 64x96 → labels 'classes'"),
        ({"extra": True}, "uint8 NHWC of 64x96 → labels 'classes'"),
    ],
)
def test_a_foreign_file_keeps_the_contract_or_is_a_network(change, network, tmp_path):
    onnx.save(contract_model(**change), tmp_path / "model.onnx")
    card = read_exported(tmp_path / "model.onnx", trust=False)
    assert network == (card.network and str(card.network))
    assert card.input_size == (None if network and "HxW" in network else FRAME)


@pytest.mark.parametrize(
    ("name", "content", "card", "said"),
    [
        ("none.onnx", None, None, "no file"),
        ("model.txt", b"", None, "neither .onnx nor .pt2"),
        ("model.pt2", b"native", None, "--trust"),
        ("model.onnx", b"garbage", None, "not a valid ONNX file"),
        ("model.onnx", b"", None, "not a valid ONNX file"),
        ("model.onnx", b"garbage", b"{}", "is not a card of zoo"),
        ("model.onnx", b"garbage", b"\xff\xfe", "is not a card of zoo"),
    ],
)
def test_a_file_that_is_no_artifact_is_one_line(name, content, card, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    if card is not None:
        (tmp_path / f"{name}.json").write_bytes(card)
    with pytest.raises(UserError, match=said) as caught:
        read_exported(tmp_path / name, trust=False)
    assert "\n" not in str(caught.value)


def test_a_card_of_another_file_is_refused(wanted, place, tmp_path):
    exported = export._export(replace(wanted), tmp_path / "one.onnx", [])
    onnx.save(contract_model(), tmp_path / "one.onnx")
    assert exported.card_file.is_file()
    with pytest.raises(UserError, match="card of another file"):
        read_exported(tmp_path / "one.onnx", trust=False)
