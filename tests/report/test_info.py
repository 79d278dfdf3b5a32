"""`zoo info`: what is known of one model, where it stands, and commands that parse."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from zoo.catalog import MODELS
from zoo.cli.main import make_parser
from zoo.errors import UserError
from zoo.report.board import make_board
from zoo.report.info import SHOWN_PARTS, info, show_info, show_parts, standings
from zoo.score.reading import rows_of
from zoo.store import save

PARTS = [("encoder", 11_000_000, 4 * 10**9), ("decoder", 3_000_000, 6 * 10**9)]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No records but a test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.report.info.read_rows", _rows)


def _rows(results):
    from zoo.score.reading import read_rows

    if results is None:
        raise UserError("no record")
    return read_rows(results)


def told(name, results=None, width=200):
    return " ".join(show_info(info(name, results), width=width).split())


@pytest.mark.parametrize("name", MODELS)
def test_every_row_of_the_table_is_told_and_its_commands_parse(name):
    one = info(name)
    spec = MODELS[name]
    for width in (80, 200):
        text = show_info(one, width=width)
        lines = text.splitlines()
        assert [line for line in lines if len(line) > width and "http" not in line] == []
        assert lines[0].startswith(f"{name}: {spec.family}")
        for fact in (spec.encoder, spec.url, spec.pretrained, *(checkpoint.id for checkpoint in one.checkpoints)):
            assert fact in " ".join(text.split())
    assert len(one.commands) >= 7
    for command in one.commands.values():
        words = shlex.split(command)
        assert words[0] == "zoo"
        assert make_parser().parse_args(words[1:]).verb
    values = json.loads(show_info(one, "json"))
    assert (values["name"], values["family"], values["parts"]) == (name, spec.family, None)


@pytest.mark.parametrize("name", {(spec.divisor, spec.min_side): name for name, spec in MODELS.items()}.values())
def test_the_rules_of_a_size_are_told_whole(name):
    """A reader of the line can say what becomes of any frame, as `ModelSpec.padded` has it."""
    (line,) = (line for line in show_info(info(name), width=400).splitlines() if line.startswith("  fed: "))
    divisor, least = (re.search(words, line) for words in (r"to multiples of (\d+)", r"to (\d+) at least"))
    step, shortest = int(divisor[1]) if divisor else 1, int(least[1]) if least else 1
    assert ("right and below with the mean colour" in line) == bool(divisor or least) == ("of any length" not in line)
    for size in ((1, 1), (100, 200), (129, 31), (360, 480)):
        said = tuple(-(-max(side, shortest) // step) * step for side in size)
        assert MODELS[name].padded(size) == said


def test_licences_stand_with_their_sources():
    text = told("segformer_b0")
    assert "NVIDIA Source Code License, non-commercial (encoder) (https://github.com/NVlabs/SegFormer" in text
    text = told("fcn_resnet50")
    assert "with --pretrained also encoder: unknown, as its data's terms (https://github.com/pytorch/vision" in text
    assert "ImageNet: non-commercial (https://www.image-net.org/download.php)" in text
    assert "with --pretrained" not in told("unet")


def test_published_figures_stand_with_their_sources():
    text = told("pidnet_s")
    assert "published: parameters 7625715 (https://github.com/XuJiacong/PIDNet); MACs 47.3G at 1024x2048 (https" in text
    assert "mIoU 78.7 % on Cityscapes val (whole, https://github.com/open-mmlab" in text
    assert "of other weights mIoU 75.4 % on Cityscapes val" in told("swiftnet_resnet18")


def test_where_it_stands_on_each_device(records, tmp_path):
    for model, right, p50_s in (("unet", 0.6, 0.03), ("enet", 0.5, 0.01), ("erfnet", 0.7, 0.02)):
        save(records.make(model, right=right, p50_s=p50_s), {}, tmp_path / "results")
        save(records.make(model, right=right, p50_s=p50_s / 2, runtime="openvino"), {}, tmp_path / "results")
    save(records.make("unet", device="nvidia-h200", kind="cuda", right=None, dataset=None), {}, tmp_path / "results")
    save(records.make("unet", quick=True), {}, tmp_path / "results")
    save(records.baseline(), {}, tmp_path / "results")
    text = told("unet", tmp_path / "results")
    assert (
        "intel-xeon-2c · streets val · weights run camvid_cpu (300 steps) · input 256x512 → 512x1024 · batch 1 · fp32 "
        "unet openvino: mIoU 42.9 %, rank 2 of 3 models; pipeline p50 18.8 ms, rank 3 of 3 models; peak memory 300 MiB"
        "; ● fastest artifact of its model nvidia-h200 ·"
    ) in text, "of two rows that are as accurate the faster one"
    assert "· eager · fp32 unet: pipeline p50 25.0 ms, rank 1 of 1 model; peak" in text
    assert "QUICK" not in text
    assert "on the Pareto front" in told("erfnet", tmp_path / "results")
    assert "where it stands: it is in no record yet" in told("cgnet", tmp_path / "results")
    (_, where) = json.loads(show_info(info("unet", tmp_path / "results"), "json"))["standings"]
    (row,) = where["rows"]
    assert (row["device"], row["ranks"]) == ("nvidia-h200", {"pipeline_p50_s": {"rank": 1, "model_count": 1}})


def test_a_rank_stands_beside_the_number_that_has_it(records, tmp_path):
    """The fastest row of a model may be far from its most accurate one: each has its own number, rank and name."""
    other = {"recipe": "camvid_fast", "recipe_hash": "9" * 12}
    for record in (
        records.make("unet", right=0.4, p50_s=0.002, input_size=(128, 256)),
        records.make("unet", right=0.8, p50_s=0.1, input_size=(512, 1024), **other),
        records.make("unet", right=0.7, p50_s=0.0045, input_size=(64, 128), precision="int8"),
        records.make("unet", right=0.45, p50_s=0.2),
        records.make("enet", right=0.6, p50_s=0.01),
        records.make("erfnet", right=0.5, p50_s=0.003),
        records.baseline(),
    ):
        save(record, {}, tmp_path / "results")
    text = told("unet", tmp_path / "results", width=400)
    assert "unet fp32 512x1024, weights run camvid_fast: mIoU 66.7 %, rank 1 of 3 models; pipeline p50 125 ms; " in text
    assert "unet fp32 128x256, weights run camvid_cpu: mIoU 25.0 %; pipeline p50 2.50 ms, rank 1 of 3 models; " in text
    assert "unet int8 64x128, weights run camvid_cpu: mIoU 53.9 %; pipeline p50 5.62 ms; peak" in text, "on the front"
    assert "256x512" not in text.partition("how to go on")[0]
    assert "The weights differ: a row speaks of its weights, not of the architecture." in text
    (where,) = json.loads(show_info(info("unet", tmp_path / "results"), "json"))["standings"]
    scored, timed, front = [row["ranks"] for row in where["rows"]]
    assert (scored, timed, front) == (
        {"miou": {"rank": 1, "model_count": 3}},
        {"pipeline_p50_s": {"rank": 1, "model_count": 3}},
        {},
    )


@pytest.mark.parametrize("quick", [True, False])
def test_marks_and_tables_are_the_leaderboards(quick, records):
    """No front in a smoke test, nothing under the baseline on one; a title that tells the table from the others."""
    found = [
        records.make("unet", right=0.2, p50_s=0.001, quick=quick, synthetic=quick),
        records.make("unet", right=0.2, p50_s=0.001, quick=quick, synthetic=quick, batch_size=8),
        records.make("enet", right=0.6, p50_s=0.003, quick=quick, synthetic=quick),
        records.baseline(quick=quick, synthetic=quick),
    ]
    tables = make_board(rows_of(found)).tables
    for model in ("unet", "enet"):
        for one in standings(model, rows_of(found)):
            (table,) = (table for table in tables if table.title == one.table.title)
            assert {line.name: line.marks for line in table.lines if line in one.lines} == {
                line.name: line.marks for line in one.lines
            }
            assert one.table.caution == table.caution
            (line,) = one.lines
            assert line.marks == ("▼" if model == "unet" else "" if quick else "◆")
            assert (one.rank(line, "miou") is None) == (model == "unet"), "what is under the baseline has no rank"
            assert one.rank(line, "pipeline_p50_s")
    assert len(standings("unet", rows_of(found))) == len(tables) == len({table.title for table in tables}) == 2


def test_smoke_tests_and_failures_stand_where_nothing_else_does(records):
    (one,) = standings("unet", rows_of([records.make("unet", quick=True), records.failed("unet", minutes=3)]))
    assert one.table.group.quick
    assert standings("unet", rows_of([records.failed("unet")])) == []
    (untimed,) = standings("unet", rows_of([records.make("unet", timed=False)]))
    assert (untimed.fastest, untimed.most_accurate.rank) == (None, 1)


def test_models_that_are_not_of_the_table(tmp_path):
    (tmp_path / "net.py").write_text("def build(num_classes): ...")
    text = told("net.py:build")
    assert text.startswith("net.py:build: own ")
    assert "code: unknown here, since the model is in no catalog" in text
    assert "zoo bench --models net.py:build" in text
    assert "unet:timm/resnet18: U-Net" in told("unet:timm/resnet18")


def test_a_hubs_card_is_read_and_no_weight(tmp_path, monkeypatch):
    folder = tmp_path / "net"
    folder.mkdir()
    config = {"_model_class": "Unet", "encoder_name": "resnet18", "classes": 19}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text("---\nlicense: mit\ndatasets:\n- ade20k\n---\n")
    one = info("smp:net")
    text = " ".join(show_info(one, width=200).split())
    assert "its weights: mit; training data: ADE20K: non-commercial (https://groups.csail.mit.edu" in text
    assert "zoo train smp:net --data DIR --init own" in text
    assert json.loads(show_info(one, "json"))["hub_licences"]["for_sale"] is False


@pytest.mark.parametrize(
    ("name", "results", "words"),
    [
        ("unett", None, "Did you mean 'unet'"),
        ("unet", "nowhere", "nowhere does not exist"),
        ("net.py:build", None, "no file 'net.py'"),
    ],
)
def test_mistakes_are_one_line(name, results, words):
    with pytest.raises(UserError, match=words):
        info(name, results)


def test_parts_as_a_table_and_as_json():
    lines = show_parts(PARTS, (512, 1024)).splitlines()
    assert "input 512x1024" in lines[0]
    assert [line.split() for line in lines[-3:]] == [
        ["encoder", "11.0", "78.6", "4.00", "40.0"],
        ["decoder", "3.00", "21.4", "6.00", "60.0"],
        ["all", "14.0", "100.0", "10.0", "100.0"],
    ]
    values = json.loads(show_info(info("unet"), "json", parts=PARTS, input_size=(512, 1024)))["parts"]
    assert values["input_size"] == [512, 1024]
    assert values["modules"][1] == {"name": "decoder", "param_count": 3_000_000, "mac_count": 6 * 10**9}


def test_many_parts_are_summed_and_unknown_macs_are_said():
    many = [(f"part{place}", 1000 * (place + 1), None) for place in range(SHOWN_PARTS + 3)]
    lines = show_parts(many, (64, 64)).splitlines()
    assert [line.split()[0] for line in lines if line.startswith("part")] == [
        "part",
        *(f"part{place}" for place in range(3, SHOWN_PARTS + 3)),
    ]
    assert lines[-2].startswith("3 smaller ones   0.006")
    assert lines[-1].split() == ["all", "0.120", "100.0", "n/a"]
