"""`zoo …` as a person types it: exit codes, and one clear line for each mistake."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.published.rows import CONTENT as CHECKPOINT
from tests.published.rows import make as published_row
from zoo.catalog import MODELS
from zoo.cli.main import main
from zoo.data.importers.writing import KINDS
from zoo.labels import CITYSCAPES
from zoo.store import save

RESULTS = Path(__file__).parents[2] / "results"
"""The committed records."""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working folder, and a cache that is nobody's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CITYSCAPES_DATASET", raising=False)
    monkeypatch.delenv("ZOO_RUNS", raising=False)
    return tmp_path


@pytest.fixture
def zoo(call):
    """`zoo("list --tag core")`: exit code, standard output, standard error."""
    return lambda line: call(*line.split())


@pytest.fixture
def results(records, place):
    for record in (records.make("unet", right=0.4), records.make("fcn", right=0.6), records.baseline(right=0.2)):
        save(record, {}, place / "results")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("list fcn_resnet5", "Did you mean 'fcn_resnet50'"),
        ("list --tag cores", "cores"),
        ("weights list pidnet_x", "no published checkpoint 'pidnet_x'. Did you mean 'pidnet_s'"),
        ("weights fetch pidnet_s", "pidnet_s has 2 published checkpoints; give one: pidnet_s:mmseg, pidnet_s:official"),
        ("weights fetch dabnet pidnet_s:x", "no published checkpoint 'pidnet_s:x'"),
        ("weights add nothing.pth --as dabnet", "no checkpoint file nothing.pth"),
        ("eval", "zoo eval takes a MODEL (and --weights), or --predictions DIR"),
        ("eval unet --predictions somewhere", "give one of the two"),
        ("eval unet --data nowhere", "nowhere"),
        ("eval unet --encoding auto", "only --predictions are files to be decoded; leave --encoding away"),
        ("eval unet --workers 0", "leave --workers away"),
        ("eval unet --void 19", "leave --void away"),
        ("eval --predictions . --void none", "--void takes values of label maps, such as 19 or 19,255; got 'none'"),
        ("eval --predictions . --precision fp32", "--predictions are scored as they are; leave --precision away"),
        ("eval --predictions . --device cpu", "leave --device away"),
        ("eval --predictions . --runs runs", "leave --runs away"),
        ("eval --predictions . --flip", "leave --flip away"),
        ("eval --predictions nowhere --data missing", "missing"),
        ("bench --models unett --data nowhere", "Did you mean 'unet'"),
        ("bench --preset quik", "no bench preset 'quik'. Did you mean 'quick'"),
        ("bench --set nonsense=1", "unknown key 'nonsense'"),
        ("bench --set nonsense", "--set takes key=value"),
        ("bench --input-size 12", "a size is HEIGHTxWIDTH in pixels, such as 512x1024; got '12'"),
        ("bench --input-size ²x4", "a size is HEIGHTxWIDTH in pixels, such as 512x1024; got '²x4'"),
        ("bench --models unet --data nowhere", "nowhere"),
        ("bench --budget soon", "a duration is days, hours, minutes or seconds, such as 2h30m or 90s; got 'soon'"),
        ("bench --pair unet enet --budget 5m", "leave --budget away"),
        ("bench --pair unet enet --fleet local", "leave --fleet away"),
        ("bench --fleet head:10001", "--fleet takes local or ray://HOST:PORT, such as ray://head:10001; got 'head:1"),
        ("bench --fleet local --device cpu", "--fleet measures on what --on names; leave --device away"),
        ("bench --fleet local --dry-run", "leave --dry-run away"),
        ("bench --on T4", "without --fleet there is no fleet to choose from; leave --on away"),
        ("train unet --fleet local --workers 0", "--workers counts the devices that train, 1 or more; got 0"),
        ("train unet --workers 2", "without --fleet there is no fleet to choose from; leave --workers away"),
        ("train unet --fleet head", "--fleet takes local or ray://HOST:PORT"),
        ("train unet --fleet local --init own", "leave --init away"),
        ("train unett", "Did you mean 'unet'"),
        ("train unet --set lr=1", "unknown key 'lr'"),
        ("leaderboard --results results", "results does not exist; make some with `zoo bench"),
        ("leaderboard --check", "name it with --output FILE"),
        ("pick --max-latency 25", "a latency is a time with its unit"),
        ("pick --max latancy=5ms", "no metric 'latancy'. Did you mean 'latency'"),
        ("pick --max latency=5", "a time is a number with its unit"),
        ("pick --min latency=5ms", "as a flag --max latency=5ms"),
        ("pick --max latency", "--max takes key=value"),
        ("pick --maximize latency", "--maximize would choose the worst; ask for --minimize latency"),
        ("pick --minimize latency --maximize miou", "one thing is made best"),
        ("pick --price 2.49", "what an hour of the machine costs, such as 2.49/h; got '2.49'"),
        ("pick --at fast", "a rate is times a second, such as 10hz, 30fps or 25/s; got 'fast'"),
        ("pick --for rent", "invalid choice: 'rent'"),
        ("pick --max-memory 2", "memory is a number with its unit"),
        ("pick --where speed=9 --results {results}", "no column 'speed'"),
        (
            "pick --dataset none --where dataset=camvid --results {results}",
            "dataset is asked for by its own flag",
        ),
        ("pick --no-quick --where quick=yes --results {results}", "quick is asked for by its own flag and by --where"),
        ("pick --where split --results {results}", "--where takes key=value"),
        ("pick --batch x --results {results}", "no record with batch 'x'. There is: 1"),
        ("leaderboard --sort beauty --results {results}", "no metric 'beauty'. Allowed: miou, miou-lost, latency"),
        ("train unet --set steps=3 --set steps=5", "--set steps is given as 3 and as 5; give it once"),
        ("train unet --steps 3 --set steps=5", "steps is given by its own flag and by --set steps; give it once"),
        ("bench --models unet --weights unet=run --checkpoint unet=own", "--weights unet is given as run and as own"),
        ("bench --pair unet,runtime=eager,runtime=aoti unet", "runtime is given as eager and as aoti; give it once"),
        ("info unett", "Did you mean 'unet'"),
        ("info unet --input-size 64", "a size is HEIGHTxWIDTH"),
        ("info unet --results nowhere", "nowhere does not exist"),
        ("compare a b --results results", "results does not exist"),
        ("compare", "nothing is named; name two or more"),
        ("compare a", "a alone is named; name two or more"),
        ("compare a@soon b --results {results}", "no ok record of 'a@soon'"),
        ("compare a@2026-99 b", "a date is YYYY-MM-DD or YYYY-MM-DDTHH:MM, in UTC; got '2026-99'"),
        ("compare a b --fail-on slower", "a loss is METRIC:AMOUNT, such as slower:5% or miou:0.5; got 'slower'"),
        ("compare a b --fail-on slower:5", "a time with its unit: slower:5% or slower:5ms"),
        ("compare a b --fail-on slower:5%,latency:2ms", "--fail-on names pipeline p50 twice; give it once"),
        ("export unet -o u.onnx --require class-loss:2,class-loss:3", "IoU lost of the worst class twice; give it"),
        ("export unet -o u.onnx --require miou:60,equal:99,miou:61", "--require names mIoU twice; give it once"),
        ("compare one.json two.json", "one.json: No such file"),
        ("data synth streets --size 64", "a size is HEIGHTxWIDTH"),
        ("data synth streets --size 8x8", "32 to 8192 pixels"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(zoo, place, line, words):
    code, out, error = zoo(line.format(results=RESULTS))
    assert (code, out) == (2, "")
    assert error.startswith("zoo: ")
    assert error.count("\n") == 1
    assert words in error
    assert not (place / "results").exists(), "nothing was begun"


@pytest.mark.parametrize("line", ["", "lisst", "list --nonsense", "leaderboard --format pdf", "bench --batch many"])
def test_a_wrong_flag_is_one_line_too(zoo, line):
    code, out, error = zoo(line)
    assert (code, out) == (2, "")
    assert error.startswith("zoo: ")
    assert error.count("\n") == 1
    assert "--help" in error


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("bench --image-size 64x128", "zoo: unrecognized arguments: --image-size 64x128. Did you mean '--input-size'"),
        ("bench --nope", "?; see `zoo bench --help`"),
        ("data synth streets --sizes=64x64", "Did you mean '--size' or '--seed'?; see `zoo data synth --help`"),
        ("info unet now", "zoo: unrecognized arguments: now; see `zoo info --help`"),
    ],
)
def test_a_flag_that_is_not_known_names_the_help_of_its_verb(zoo, line, words):
    code, _, error = zoo(line)
    assert code == 2
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        "eval unet --data a --data b",
        "pick --min-miou 1% --min-miou 2%",
        "leaderboard --sort miou --sort latency",
        "train unet --steps 1 --steps 2",
        "export unet -o a.onnx --output b.onnx",
        "bench --pair a b --pair c d",
        "data synth new --size 64x64 --size 32x32",
    ],
)
def test_a_flag_with_two_values_is_refused(zoo, place, line):
    code, out, error = zoo(line)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"zoo: argument -\S+: given as .+ and as .+; give it once; see `zoo [a-z ]+ --help`\n", error)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        *(
            "pick --max-latency=",
            "pick --min-miou=",
            "pick --runtime=",
            "pick --where split=",
            "leaderboard --models=,",
        ),
        *("train unet --data=", "eval unet --weights=", "bench --models=", "bench --runtimes=, --models unet"),
    ],
)
def test_an_empty_value_is_none(zoo, place, results, line):
    code, out, error = zoo(line)
    assert (code, out) == (2, "")
    assert re.search(r"empty value; give one, or leave the flag away|got ',?'; name some, or leave it away", error)
    assert error.count("\n") == 1


def test_spaces_after_commas_are_no_part_of_a_value(results):
    assert main(["pick", "--models", "unet, fcn", "--precision", "fp32,"]) == 0


def test_the_same_value_twice_is_no_mistake(zoo, results):
    assert zoo("pick --format json --format json")[0] == 0


def test_a_table_can_be_asked_for(zoo, results, records, place):
    save(records.make("unet", right=0.8, runtime="openvino", precision="int8", p50_s=0.001), {}, place / "results")
    save(records.make("unet", right=0.9, quick=True), {}, place / "results")

    def asked(line):
        code, out, error = zoo(f"leaderboard --format json {line}")
        assert (code, error) == (0, "")
        return [(row["model"], row["runtime"], row["quick"]) for row in json.loads(out) if not row["baseline"]]

    whole = asked("")
    assert ("unet", "eager", True) in whole
    assert asked("--no-quick") == [row for row in whole if not row[2]]
    assert asked("--runtime openvino") == asked("--precision int8") == [("unet", "openvino", False)]
    both = asked("--models unet,fcn --runtime eager --runtime openvino --no-quick")
    assert both == asked("--models unet --models fcn --no-quick") == asked("--dataset streets --no-quick")
    assert asked("--sort latency --no-quick")[0] == ("unet", "openvino", False)
    assert asked("--where split=val --input-size 256x512 --device intel-xeon-2c --recipe camvid_cpu") == whole
    code, out, _ = zoo("pick --runtime openvino --models u* --min-miou 42")
    assert (code, out.partition(" ")[0]) == (0, "unet")


def test_every_tag_is_named(zoo):
    _, told, _ = zoo("list --help")
    assert all(tag in told for tag in {tag for spec in MODELS.values() for tag in spec.tags})
    assert "efficientvit_seg_b0" in zoo("list --tag fast")[1]


def test_list(zoo):
    code, out, error = zoo("list --tag core --format json")
    assert (code, error) == (0, "")
    assert [spec["name"] for spec in json.loads(out)] == [
        "encoder_decoder", "unet", "fcn_resnet50", "deeplabv3_resnet50",
    ]  # fmt: skip


def test_weights_are_fetched_and_said(zoo, place, monkeypatch):
    row = published_row("http://127.0.0.1:1/net.pth")
    monkeypatch.setattr("zoo.published.table.PUBLISHED", (row,))
    monkeypatch.setattr("zoo.published.download.RETRIES", 0)
    code, out, error = zoo(f"weights fetch {row.id} {row.model}")
    assert (code, out) == (1, "")
    assert error.startswith(f"zoo: {row.id}: {row.url} cannot be reached (no connection); ")
    assert error.count("\n") == 1, "one id twice is one"
    (place / "mine.pth").write_bytes(CHECKPOINT)
    code, out, error = zoo(f"weights add mine.pth --as {row.model}")
    assert (code, error) == (0, "")
    first, second = out.splitlines()
    assert first == f"{row.id}: {len(CHECKPOINT) / 2**20:.1f} MiB in {place / 'cache' / 'weights' / row.file_name}"
    assert second == "  fed RGB own; trained on Cityscapes fine train; code unknown, weights unknown, data unknown"
    code, out, error = zoo(f"weights fetch {row.id}")
    assert (code, error) == (0, "")
    assert out.splitlines()[0].endswith("(it was there already)")
    code, out, error = zoo("weights list --format csv")
    assert (code, error) == (0, "")
    assert out.splitlines()[1].startswith(f"{row.id},yes,")


def test_pick_ends_with_1_when_nothing_qualifies(zoo, results):
    code, out, error = zoo("pick --max-latency 30ms")
    assert (code, out.partition(" ")[0], error) == (0, "fcn", "")
    code, out, error = zoo("pick --max-latency 1ms")
    assert (code, error) == (1, "")
    assert out.startswith("nothing qualifies")


def test_only_the_baseline(zoo, records, place):
    save(records.baseline(), {}, place / "results")
    code, out, _ = zoo("leaderboard")
    assert code == 0
    assert "mean_label_map (baseline)" in out
    assert "no model is measured yet" in out
    code, _, error = zoo("pick")
    assert code == 3
    assert error.startswith("zoo: no model is measured yet")


def test_leaderboard_check(zoo, results, records, place):
    code, out, _ = zoo("leaderboard --output board.md --check")
    assert (code, out) == (1, "board.md is missing\nboard.svg is missing\n")
    code, out, _ = zoo("leaderboard --output board.md")
    assert (code, out) == (0, "wrote board.md\nwrote board.svg\n")
    code, out, _ = zoo("leaderboard --output board.md --check")
    assert (code, out) == (0, "board.md says what the records say\n")
    save(records.make("new", right=0.9), {}, place / "results")
    code, out, _ = zoo("leaderboard --output board.md --check")
    assert (code, out) == (1, "board.md is out of date\nboard.svg is out of date\n")


def test_the_page_is_one_file(zoo, results, records, place):
    for line in ("leaderboard --html board.html", "leaderboard --output board.html"):
        assert zoo(line) == (0, "wrote board.html\n", "")
        assert [path.name for path in place.glob("board.*")] == ["board.html"]
    assert zoo("leaderboard --output board.html --check")[0] == 0
    code, out, _ = zoo("leaderboard --html board.html --output board.csv")
    assert (code, out) == (0, "wrote board.csv\nwrote board.svg\nwrote board.html\n")
    save(records.make("new", right=0.9), {}, place / "results")
    assert zoo("leaderboard --output board.html --check") == (1, "board.html is out of date\n", "")


def test_serve_says_at_once_what_is_wrong(zoo, place):
    code, _, error = zoo("serve --results none")
    assert (code, error.count("\n")) == (2, 1)
    assert "none does not exist" in error


def test_a_damaged_record_is_named_and_the_rest_is_shown(zoo, results, records, place):
    broken = save(records.make("broken"), {}, place / "results")
    broken.write_text("{")
    for line in ("leaderboard", "pick"):
        code, out, error = zoo(line)
        assert code == 0
        assert "fcn" in out
        assert error.startswith("zoo: skipped ")
        assert broken.name in error


def test_info(zoo, results):
    code, out, error = zoo("info unet --input-size 64x128")
    assert (code, error) == (0, "")
    assert "unet: U-Net" in out
    assert "rank 1 of 2" in out, "in the records here"
    assert "encoder" in out.partition("parameters and MACs by part")[2]
    code, out, error = zoo("info unet --input-size 64x128 --format json")
    assert (code, error) == (0, "")
    assert json.loads(out)["parts"]["modules"][0]["name"] == "encoder"
    assert json.loads(zoo("info unet --no-parts --format json")[1])["parts"] is None


def test_compare(zoo, results):
    code, out, error = zoo("compare unet fcn --format json")
    assert (code, error) == (0, "")
    ((pair,),) = (against["pairs"] for against in json.loads(out)["against"])
    assert (pair["first"]["model"], pair["second"]["model"]) == ("unet", "fcn")


@pytest.mark.parametrize(
    ("limits", "code", "words"),
    [
        ("slower:200%", 0, "passed: of 1 row none is known to lose more than is allowed (pipeline p50 200 %)"),
        ("slower:5%,memory:10%", 4, "lost: fcn: pipeline p50 25.0 → 50.0 ms, 100 % worse (allowed 5 %)"),
        ("p99:5%", 5, "by chance or not is not known (allowed 5 %)"),
        ("energy:5%", 5, "not known: energy per image: no row has it that could be held"),
    ],
)
def test_compare_ends_as_fail_on_says(zoo, records, place, limits, code, words):
    for model, p50_s in (("unet", 0.02), ("fcn", 0.04)):
        save(records.make(model, p50_s=p50_s), {}, place / "results")
    found, out, error = zoo(f"compare unet fcn --fail-on {limits}")
    assert (found, error) == (code, "")
    assert words in " ".join(out.split())
    found, out, error = zoo(f"compare unet fcn --format json --fail-on {limits}")
    assert found == code
    assert json.loads(out)["fail_on"]["passed"] is (code == 0)


def test_a_class_that_is_none_is_refused_as_pick_does(zoo, results):
    """A name is known whatever its case; `results` has the classes of `record`."""
    asked = ("--fail-on iou.foo:1", "--fail-on class-loss.foo:1 --format json")
    for line in (*(f"compare unet fcn {words}" for words in asked), "leaderboard --sort iou.foo"):
        code, out, error = zoo(line)
        assert (code, out) == (2, "")
        assert error.startswith("zoo: no class 'foo'. There are: class 0, class 1, ")
    assert "passed" in zoo("compare unet fcn --fail-on iou.Class-1:100")[1]


def test_compare_takes_several_folders(zoo, records, place):
    for folder, p50_s in (("before", 0.02), ("after", 0.04)):
        save(records.make("unet", p50_s=p50_s, minutes=p50_s), {}, place / folder)
    for line in ("compare before after", "compare --results before --results after"):
        code, out, error = zoo(f"{line} --fail-on slower:5%")
        assert (code, error) == (4, "")
        assert "2.00x slower" in out
    assert zoo("compare before after --runtime aoti")[0] == 2


def test_synthetic_streets_and_their_own_labels_as_predictions(zoo, place):
    code, out, error = zoo("data synth streets --size 64x128 --train 1 --val 1")
    assert (code, error) == (0, "")
    assert out == "wrote 1 train and 1 val synthetic frames: streets\n"
    assert len(list(place.glob("streets/leftImg8bit/*/*/*.png"))) == 2
    (place / "predictions").mkdir()
    (label,) = place.glob("streets/gtFine/val/*/*_labelIds.png")
    shutil.copy(label, place / "predictions")
    code, out, error = zoo("eval --predictions predictions --data streets --encoding labelIds --format json")
    assert (code, error) == (0, "")
    values = json.loads(out)
    assert (values["miou"], values["pixel_accuracy"], values["num_images"]) == (1.0, 1.0, 1)
    code, out, error = zoo("eval --predictions predictions --data streets --split test")
    assert (code, out) == (2, "")
    assert "has no split 'test'" in error


def test_import_says_how_classes_are_mapped(zoo, place):
    for name in ("train", "trainannot", "val", "valannot"):
        (place / "CamVid" / name).mkdir(parents=True)
        pixels = np.zeros((8, 8) if name.endswith("annot") else (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(place / "CamVid" / name / "0016E5_08159.png")
    code, out, _ = zoo("data import camvid CamVid out --link")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith(
        "classes: sky → sky; building → building; pole → pole; road → road; pavement → sidewalk;"
    )
    assert lines[1].startswith("source: http")
    assert lines[-1] == "wrote 1 train, 1 val frames in the Cityscapes layout: out"
    code, out, error = zoo("data import voc CamVid other")
    assert (code, out) == (2, "")
    assert error.startswith(
        "zoo: CamVid is no copy of Pascal VOC 2012 that is known here: CamVid holds train/ (1 .png),"
    )
    code, _, error = zoo("data import nothing CamVid other")
    assert code == 2
    for kind in KINDS:
        assert kind in error


def test_predictions_are_read_as_what_they_are(zoo, place):
    zoo("data synth streets --size 64x128 --train 1 --val 1")
    (label,) = place.glob("streets/gtFine/val/*/*_labelIds.png")
    table = np.full(256, 19, np.uint8)
    for value, train_id in CITYSCAPES.label_to_train_id.items():
        table[value] = 19 if train_id == 255 else train_id
    (place / "out").mkdir()
    Image.fromarray(table[np.array(Image.open(label))]).save(place / "out" / label.name)
    for flags in ("", " --void 19", " --void 19,20 --encoding trainIds"):
        code, out, _ = zoo(f"eval --predictions out --data streets --format md{flags}")
        assert code == 0
        assert "- mIoU 100.0 %" in out
        assert "- values read as trainIds, 19" in out
    code, out, error = zoo("eval --predictions out --data streets --encoding trainIds")
    assert (code, out) == (2, "")
    assert "holds 19, no value of trainIds; if it means none of the classes, give --void 19" in error


def test_a_terminal_without_the_characters_shows_others(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["list", "core"]) == 0
    assert b"????" in written.getvalue()
    assert b"unet" in written.getvalue()


def test_streets_never_replace_what_zoo_did_not_write(zoo, place):
    (place / "mine").mkdir()
    (place / "mine" / "thesis.txt").write_text("years of work")
    code, _, error = zoo("data synth mine --size 64x128 --train 1 --val 1")
    assert code == 2
    assert error == "zoo: mine holds files zoo did not write; give a new or empty folder\n"
    assert (place / "mine" / "thesis.txt").read_text() == "years of work"


TUNED = """
name = "tuned"
ignored = [{ignored}]

[[classes]]
name = "sky"
color = [70, 130, 180]
values = [23]

[[classes]]
name = "way"
color = [128, 64, 128]
values = [7, 8]
"""


@pytest.mark.slow
def test_fine_tuning_on_other_classes_in_two_commands(zoo, place):
    zoo("data synth streets --size 64x128 --train 2 --val 1")
    shutil.copytree(place / "streets", place / "tuned", ignore=shutil.ignore_patterns("zoo-dataset.json"))
    ignored = ", ".join(str(value) for value in CITYSCAPES.label_to_train_id if value not in (-1, 7, 8, 23))
    (place / "tuned" / "classes.toml").write_text(TUNED.format(ignored=ignored))
    recipe = "--device cpu --set crop_size=[64,128] --set batch_size=2 --set workers=0 --set precision=fp32"
    code, first, _ = zoo(f"train encoder_decoder --data streets --steps 1 {recipe}")
    assert code == 0
    file = first.splitlines()[-1]
    tune = f"train encoder_decoder --data tuned --steps 2 {recipe} --init {file}"
    code, second, _ = zoo(tune)
    assert code == 0
    assert second.splitlines()[-1] != file
    code, again, error = zoo(tune)
    assert (code, error) == (0, "")
    assert again.splitlines()[0] == "this run was finished before, nothing was trained; --fresh begins it anew"
    assert again.splitlines()[-1] == second.splitlines()[-1]
    code, _, error = zoo(f"train encoder_decoder --data tuned --steps 2 {recipe} --init auto")
    assert (code, error.count("\n")) == (2, 1)
    assert "--init auto names no weights to begin from" in error
    code, out, _ = zoo(f"train --repeat {Path(second.splitlines()[-1]).parent} --device cpu")
    assert code == 0
    assert "its last weights are the same, bit for bit" in out
