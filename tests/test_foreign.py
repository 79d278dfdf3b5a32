"""Networks of other makers: what is read of a file, the pipeline around it, and their rows."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from tests.foreign import FLOAT, HALF, INT32, INT64, UINT8, write_network
from zoo import store
from zoo.card import read_exported
from zoo.cli import main as cli
from zoo.data.layout import open_dataset
from zoo.data.reading import read_frame
from zoo.data.synthetic import write_dataset
from zoo.errors import ModelError, UserError
from zoo.foreign import Feed, Network, class_names, deploy, match
from zoo.labels import CITYSCAPES
from zoo.runtimes import table

CPU = torch.device("cpu")
COLORS = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (240, 240, 240)]
NAMES = ("road", "car", "sky", "lamp")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""`lamp` is no class of Cityscapes."""


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "streets"
    write_dataset(root, image_size=(64, 128), train_count=1, val_count=2)
    return root


def blocks(height, width, seed=0):
    """A frame of coloured blocks `(1, H, W, 3)` and its classes `(H, W)`."""
    coarse = np.random.default_rng(seed).integers(0, 4, (height // 16, width // 16))
    labels = coarse.repeat(16, 0).repeat(16, 1)
    return torch.from_numpy(np.array(COLORS, np.uint8)[labels])[None], labels


CASES = [
    {},
    {"mean": MEAN, "std": STD},
    {"dtype": HALF, "mean": MEAN, "std": STD},
    {"size": ("h", "w"), "batch": "n", "mean": MEAN, "std": STD},
    {"size": ("h", "w"), "stride": 2},
    {"layout": "NHWC"},
    {"layout": "NHWC", "dtype": UINT8, "inside": True},
    {"dtype": UINT8, "inside": True},
    {"answer": "NHW", "made": INT64},
    {"answer": "NHW", "made": INT32, "size": ("h", "w")},
    {"answer": "N1HW", "made": INT64},
    {"answer": "NHW", "made": UINT8, "layout": "NHWC", "dtype": UINT8, "inside": True, "size": ("h", "w")},
    {"aux": 4, "size": ("h", "w")},
    {"aux": 2},
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_what_goes_in_comes_out_as_classes(runtime, case, tmp_path):
    if reason := table.why_missing(runtime, CPU):
        pytest.skip(reason)
    file = write_network(tmp_path / "net.onnx", COLORS, **case)
    raw = case.get("dtype") == UINT8
    feed = (
        Feed(classes=NAMES)
        if raw
        else Feed(mean=case.get("mean", (0, 0, 0)), std=case.get("std", (1, 1, 1)), classes=NAMES)
    )
    card = read_exported(file, trust=False, feed=feed)
    assert card.network.made == "answer"
    assert card.network.unread == (("aux",) if "aux" in case else ())
    assert card.precision == "fp32"
    network, notes = match(card.network, card.class_names, "net.onnx", CITYSCAPES)
    assert network.train_ids == (0, 13, 10, 255)
    assert any("lamp" in note for note in notes)
    assert any("no channel for sidewalk" in note for note in notes)
    # The frame is twice the input: it is brought there, and its classes back.
    frame, labels = blocks(64, 128)
    runnable = deploy(
        runtime, file, network, device=CPU, precision="fp32", image_size=(64, 128), input_size=(32, 64), resize="fit",
        batch_size=1,
    )  # fmt: skip
    answered = runnable.predict(frame)
    assert (answered.dtype, answered.shape) == (torch.uint8, (1, 64, 128))
    expected = np.array(network.train_ids)[labels]
    inside = (np.indices(labels.shape) % 16 > 2).all(0) & (np.indices(labels.shape) % 16 < 13).all(0)
    assert (answered[0].numpy() == expected)[inside].all(), "but for what resizing blurs"
    assert runnable.network(runnable.preprocess(frame)).shape[0] == 1
    assert set(runnable.stages) == {"copy_in", "preprocess", "network", "upsample_argmax", "copy_out"}
    again = runnable.predict(blocks(64, 128, seed=1)[0])
    assert not torch.equal(again, answered)


def test_a_batch_and_padding(tmp_path):
    file = write_network(tmp_path / "net.onnx", COLORS, batch="n", size=("h", "w"))
    card = read_exported(file, trust=False, feed=Feed(mean=(0, 0, 0), std=(1, 1, 1)))
    frames, labels = zip(*(blocks(48, 96, seed) for seed in (0, 1)), strict=True)
    runnable = deploy(
        "onnxruntime", file, card.network, device=CPU, precision="fp32", image_size=(48, 96), input_size=(64, 96),
        resize="fit", batch_size=2,
    )  # fmt: skip
    assert (runnable.predict(torch.cat(frames)).numpy() == np.stack(labels)).all()


def test_a_mean_of_255ths_is_a_mean_all_the_same(tmp_path):
    file = write_network(tmp_path / "net.onnx", COLORS)
    for mean, std in ((MEAN, STD), (tuple(255 * m for m in MEAN), tuple(255 * s for s in STD))):
        network = read_exported(file, trust=False, feed=Feed(mean=mean, std=std)).network
        assert network.mean == pytest.approx(MEAN)
        assert network.std == pytest.approx(STD)


def test_without_a_word_on_how_it_is_fed_it_is_a_network_alone(tmp_path):
    file = write_network(tmp_path / "net.onnx", COLORS)
    card = read_exported(file, trust=False)
    assert (card.network.is_fed, card.class_names) == (False, ())
    runnable = deploy(
        "onnxruntime", file, card.network, device=CPU, precision="fp32", image_size=(32, 64), input_size=(32, 64),
        resize="fit", batch_size=1,
    )  # fmt: skip
    assert not runnable.is_pipeline
    assert runnable.network(torch.zeros(1, 3, 32, 64)).shape == (1, 4, 32, 64)
    with pytest.raises(AssertionError):
        runnable.predict(blocks(32, 64)[0])


@pytest.mark.parametrize(
    ("classes", "output", "made"),
    [(None, None, "answer"), (NAMES, None, "answer"), (("a", "b"), None, "aux"), (None, "aux", "aux")],
)
def test_of_two_outputs_the_one_asked_for_or_of_these_classes_or_of_most_pixels(classes, output, made, tmp_path):
    file = write_network(tmp_path / "net.onnx", COLORS, aux=2)
    network = read_exported(file, trust=False, feed=Feed(classes=classes, output=output)).network
    assert network.made == made
    assert network.unread == tuple({"answer", "aux"} - {made})


def ports(*outputs, given=(FLOAT, (1, 3, 8, 8)), more=()):
    """A graph of these ends; nothing is computed."""
    value = helper.make_tensor_value_info
    inputs = [value("image", *given), *(value(f"more{n}", *port) for n, port in enumerate(more))]
    outs = [value(f"out{n}", *port) for n, port in enumerate(outputs)]
    nodes = [
        helper.make_node("Constant", [], [out.name], value=helper.make_tensor("c", kind, [1], [0]))
        for out, (kind, _) in zip(outs, outputs, strict=True)
    ]
    graph = helper.make_graph(nodes, "ports", inputs, outs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


LOGITS = (FLOAT, (1, 4, 8, 8))


@pytest.mark.parametrize(
    ("model", "feed", "said"),
    [
        (ports(LOGITS, more=[(FLOAT, (1,))]), {}, "has 2 inputs (image, more0)"),
        (ports(LOGITS, given=(TensorProto.STRING, (1,))), {}, "takes string (1); zoo measures networks with one RGB"),
        (ports(LOGITS, given=(FLOAT, (1, 1, 8, 8))), {}, "takes float (1, 1, 8, 8)"),
        (ports(LOGITS, given=(FLOAT, (1, 3, 2, 8, 8))), {}, "takes float (1, 3, 2, 8, 8)"),
        (ports(LOGITS, given=(TensorProto.DOUBLE, (1, 3, 8, 8))), {}, "takes double"),
        (ports((FLOAT, (1, 1000))), {}, "answers with out0 float (1, 1000): no label map"),
        (ports((FLOAT, (1, 1000, 1, 1))), {}, "no label map"),
        (ports((FLOAT, (1, 1, 8, 8))), {}, "no label map; zoo reads float logits (N, K, h, w)"),
        (ports((FLOAT, ("n", 5, 6)), (INT64, (1, 7))), {}, "out0 float (any, 5, 6), out1 int64 (1, 7)"),
        (ports(LOGITS), {"output": "out1"}, "has no output 'out1'. Did you mean 'out0'? It has out0"),
        (ports((FLOAT, (1, 9)), LOGITS), {"output": "out0"}, "out0 float (1, 9): no label map"),
        (ports(LOGITS), {"classes": ("a", "b")}, "answers with 4 channels (out0) and 2 classes are named"),
        (ports(LOGITS), {"classes": ("a", "a", "b", "c")}, "got 'a' twice"),
        (ports(LOGITS), {"classes": "nowhere.txt"}, "or a file that names them; got 'nowhere.txt'"),
        (ports(LOGITS), {"mean": MEAN}, "--std is missing"),
        (ports(LOGITS), {"mean": MEAN, "std": (0, 1, 1)}, "std above 0"),
        (ports(LOGITS, given=(UINT8, (1, 8, 8, 3))), {"mean": MEAN, "std": STD}, "leave --mean and --std away"),
    ],
)
def test_what_does_not_fit_is_one_line(model, feed, said, tmp_path):
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(UserError) as caught:
        read_exported(tmp_path / "net.onnx", trust=False, feed=Feed(**feed))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_in_a_file_that_is_not_there_are_one_line(tmp_path):
    file = write_network(tmp_path / "net.onnx", COLORS)
    onnx.save(onnx.load(str(file)), str(file), save_as_external_data=True, location="net.data", size_threshold=0)
    card, data = read_exported(file, trust=False), tmp_path / "net.data"
    assert card.network.made == "answer"
    assert card.bytes == file.stat().st_size + data.stat().st_size
    data.write_bytes(data.read_bytes()[::-1])
    assert read_exported(file, trust=False).network != card.network, "other weights are another cell"
    (tmp_path / "net.data").unlink()
    with pytest.raises(UserError, match=r"keeps weights in net\.data, which is not there; copy it beside"):
        read_exported(file, trust=False)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_size_it_does_not_take_is_one_line(runtime, tmp_path):
    if reason := table.why_missing(runtime, CPU):
        pytest.skip(reason)
    model = onnx.load(str(write_network(tmp_path / "net.onnx", COLORS, size=("h", "w"))))
    model.graph.node[-1].CopyFrom(helper.make_node("Add", ["scores", "places"], ["answer"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((1, 4, 32, 64), np.float32), "places"))
    onnx.save(model, str(tmp_path / "net.onnx"))
    network = read_exported(tmp_path / "net.onnx", trust=False).network

    def at(size):
        return deploy(
            runtime, tmp_path / "net.onnx", network, device=CPU, precision="fp32", image_size=size, input_size=size,
            resize="fit", batch_size=1,
        )  # fmt: skip

    assert at((32, 64)).network is not None
    with pytest.raises(ModelError, match=r"on an input image of 1x3x48x64 .*; name another --input-size") as caught:
        at((48, 64))
    assert "\n" not in str(caught.value)


def test_classes_are_named_in_many_ways(tmp_path):
    assert class_names("road, car") == ["road", "car"]
    assert class_names("cityscapes") == list(CITYSCAPES.class_names)
    (tmp_path / "names.txt").write_text("road\ncar\n\n")
    (tmp_path / "names.json").write_text('["road", "car"]')
    (tmp_path / "classes.toml").write_text(
        'name = "two"\nignored = [0]\n[[classes]]\nname = "road"\ncolor = [1, 1, 1]\nvalues = [1]\n'
        '[[classes]]\nname = "car"\ncolor = [2, 2, 2]\nvalues = [2]\n'
    )
    for name in ("names.txt", "names.json", "classes.toml"):
        assert class_names(str(tmp_path / name)) == ["road", "car"]
    (tmp_path / "bad.json").write_text('{"road": 1}')
    with pytest.raises(UserError, match="no JSON list"):
        class_names(str(tmp_path / "bad.json"))


def test_classes_of_another_dataset_are_refused(tmp_path):
    network = read_exported(write_network(tmp_path / "net.onnx", COLORS), trust=False).network
    with pytest.raises(UserError, match=r"none of its classes \(a, b, c, …\) is one of cityscapes's"):
        match(network, ("a", "b", "c", "d"), "net.onnx", CITYSCAPES)
    turned, notes = match(network, ("SKY", "road", "car", "bus"), "net.onnx", CITYSCAPES)
    assert turned.train_ids == (10, 0, 13, 15)
    assert len(notes) == 1


def test_a_sidecar_says_it_and_flags_go_first(tmp_path):
    file = write_network(tmp_path / "net.onnx", COLORS, aux=2)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    sidecar = tmp_path / "net.onnx.json"
    sidecar.write_text(json.dumps({"mean": MEAN, "std": STD, "classes": "names.txt", "resize": "stretch"}))
    card = read_exported(file, trust=False)
    assert (card.class_names, card.network.mean, card.resize) == (NAMES, MEAN, "stretch")
    card = read_exported(file, trust=False, feed=Feed(output="aux", classes=("a", "b")))
    assert (card.class_names, card.network.made, card.network.std) == (("a", "b"), "aux", STD)
    for text, said in (
        ("{}", "says nothing"),
        ("[1", "is not a card of zoo"),
        ('{"maen": [0, 0, 0]}', "maen"),
        ('{"mean": "x"}', "mean"),
    ):
        sidecar.write_text(text)
        with pytest.raises(UserError) as caught:
            read_exported(file, trust=False)
        assert said in str(caught.value)
        assert "mean, std, classes, output, resize, align_corners" in str(caught.value)
        assert "\n" not in str(caught.value)


def bench(tmp_path, file, *more):
    folders = ("--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs"), "--cache", str(tmp_path / "c"))
    return cli.main(["bench", "--file", str(file), *folders, "--device", "cpu", "--threads", "1", *more])


def records_of(tmp_path):
    return store.scan(tmp_path / "results").records


def test_a_network_alone_is_a_row_without_a_pipeline(tmp_path, capsys):
    file = write_network(tmp_path / "theirs.onnx", COLORS, size=("h", "w"), aux=2)
    quick = ("--set", "quick=true", "--preset", "latency", "--runtimes", "onnxruntime,openvino")
    assert bench(tmp_path, file, *quick, "--input-size", "32x64,48x80") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "not read: aux" in out
    assert "the network alone; --mean, --std and --classes" in out
    records = records_of(tmp_path)
    assert {(one.artifact.runtime, one.artifact.input_size) for one in records} == {
        (runtime, size) for runtime in ("onnxruntime", "openvino") for size in ((32, 64), (48, 80))
    }
    for record in records:
        assert record.status == "ok", record.failure
        assert record.speed.pipeline is None
        assert record.speed.network.p50_s > 0
        assert record.memory.weights_bytes > 0
        assert record.accuracy is None
    assert bench(tmp_path, file, *quick, "--input-size", "32x64,48x80") == 0
    assert "cells measured: 0, finished before: 4" in capsys.readouterr().out
    results = ("--results", str(tmp_path / "results"))
    assert cli.main(["leaderboard", *results, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["pipeline_p50_s"] for row in rows} == {None}
    assert all(row["latency_p50_s"] > 0 for row in rows)
    for form in ("table", "md", "csv"):
        assert cli.main(["leaderboard", *results, "--format", form]) == 0
        out = capsys.readouterr().out
        assert "theirs" in out
        assert "Fastest artifact" not in out, "none has a pipeline"
    assert cli.main(["compare", "theirs", "theirs", *results]) in (0, 2)
    assert cli.main(["pick", *results, "--max-latency", "network:10s", "--objective", "memory"]) in (0, 1, 2, 3)
    assert cli.main(["pick", *results, "--max-latency", "10s", "--objective", "memory"]) in (0, 1, 2, 3)


def test_with_mean_std_and_classes_it_is_scored_like_any_other(streets, tmp_path, capsys):
    dataset = open_dataset(streets)
    pixels, labels = zip(*(read_frame(frame, dataset.spec) for frame in dataset.frames("val")), strict=True)
    pixels, labels = np.stack(pixels), np.stack(labels)
    names = [CITYSCAPES.class_names[train_id] for train_id in np.unique(labels) if train_id != 255]
    means = [pixels[labels == CITYSCAPES.class_names.index(name)].mean(0) for name in names]
    file = write_network(tmp_path / "theirs.onnx", means, size=(64, 128), mean=MEAN, std=STD)
    told = ("--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD)), "--classes", ",".join(names))
    where = ("--data", str(streets), "--set", "quick=true", "--set", "train_missing=false", "--preset", "latency")
    assert bench(tmp_path, file, *where, "--set", "accuracy=true", *told) == 0
    (record,) = [one for one in records_of(tmp_path) if one.artifact.model == "theirs"]
    assert record.status == "ok", record.failure
    assert record.speed.pipeline.p50_s >= 0
    assert record.artifact.input_size == record.artifact.output_size == (64, 128)
    assert "NCHW" in record.build.options["network"]
    # What numpy says of nearest colours, without a network.
    distance = ((pixels[..., None, :] / 255 - np.array(means) / 255) ** 2).sum(-1)
    train_ids = np.array([CITYSCAPES.class_names.index(name) for name in names])
    expected = train_ids[distance.argmin(-1)]
    counted = labels != 255
    right = (expected == labels)[counted].mean()
    confusion = np.array(record.accuracy.confusion)
    assert np.trace(confusion[:, :19]) / confusion.sum() == pytest.approx(right, abs=0.002)
    assert "it has no channel for" in " ".join(capsys.readouterr().out.split())
    # The other way round in the file and in its names: the same classes, another cell.
    turned = write_network(tmp_path / "turned.onnx", means[::-1], size=("h", "w"), mean=MEAN, std=STD)
    told = (*told[:4], "--classes", ",".join(names[::-1]))
    assert bench(tmp_path, turned, *where, "--set", "accuracy=true", *told, "--runtimes", "openvino") == 0
    (other,) = [one for one in records_of(tmp_path) if one.artifact.model == "turned"]
    assert np.abs(np.array(other.accuracy.confusion) - confusion).sum() <= 0.002 * confusion.sum()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--mean", "0,0"), "three numbers for red, green and blue"),
        (("--mean", "a,b,c"), "numbers are separated by commas"),
        (("--mean", "0,0,0"), "--std is missing"),
        (("--output", "mask"), "has no output 'mask'"),
        (("--classes", "road,car"), "answers with 4 channels"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(more, said, tmp_path, capsys):
    file = write_network(tmp_path / "theirs.onnx", COLORS)
    assert bench(tmp_path, file, "--preset", "latency", *more) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_flags_of_a_file_without_a_file_are_refused(capsys):
    assert cli.main(["bench", "--models", "unet", "--classes", "cityscapes"]) == 2
    assert "speak of a --file" in capsys.readouterr().err


def test_a_network_reads_itself_aloud():
    network = Network(
        given="x", layout="NCHW", dtype="float", batch_size=0, sides=(0, 64), made="y", answer="NKHW", channel_count=19
    )
    assert str(network) == "float NCHW of Hx64 → logits 'y' of 19 channels"
