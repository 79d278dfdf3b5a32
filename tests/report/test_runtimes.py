"""Models by runtime: a cell for each artifact, the newest record of it, and a reason for each that is not ok."""

import pytest

from tests.records import baseline, failed, make
from zoo.catalog import MODELS
from zoo.cli.main import main
from zoo.report.runtimes import runtimes_page
from zoo.runtimes.table import RUNTIMES
from zoo.store import save


def rows(page):
    """Cells of each model by column, of a page with one device."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    header, _, *found = [[cell.strip(" |`") for cell in line] for line in lines]
    return {cells[0]: dict(zip(header[1:], [*cells[1:], *[""] * len(header)], strict=False)) for cells in found}


def test_each_model_of_the_table_has_a_row_and_each_measured_pair_a_column():
    page = runtimes_page([make("unet"), make("enet", runtime="onnxruntime", precision="int8"), make("net:build")])
    found = rows(page)
    assert list(found) == [*MODELS, "net:build"]
    assert list(found["unet"]) == ["eager fp32", "onnxruntime int8"]
    assert found["unet"]["eager fp32"] == found["net:build"]["eager fp32"] == found["enet"]["onnxruntime int8"] == "ok"
    assert found["enet"]["eager fp32"] == ""
    assert f"Of {2 * (len(MODELS) + 1)} cells 3 are measured: 3 ok (100% ok)." in page


def test_columns_stand_in_the_order_of_runtimes_and_precisions():
    pairs = [(runtime, precision) for runtime in reversed(RUNTIMES) for precision in ("int8", "fp32")]
    page = runtimes_page([make(runtime=runtime, precision=precision) for runtime, precision in pairs])
    expected = [f"{runtime} {precision}" for runtime in RUNTIMES for precision in ("fp32", "int8")]
    assert list(rows(page)["unet"]) == expected


def test_each_reason_stands_once_under_its_number():
    page = runtimes_page(
        [
            failed("enet", status="failed", reason="no unpooling"),
            failed("unet", status="failed", reason="no unpooling"),
            failed("cgnet", reason="no answer within 60 s"),
            make("stdc1"),
        ]
    )
    found = rows(page)
    assert found["enet"] == found["unet"] != found["cgnet"]
    assert page.count("no unpooling") == 1
    number = found["enet"]["eager fp32"]
    assert f"\n{number}. failed: measure: no unpooling\n" in page
    assert "4 are measured: 2 failed, 1 timeout, 1 ok (25% ok)." in page


def test_the_newest_record_of_an_artifact_counts():
    old, new = failed("enet", minutes=0), make("enet", minutes=9)
    assert rows(runtimes_page([new, old]))["enet"]["eager fp32"] == "ok"
    assert rows(runtimes_page([failed("enet", minutes=9), make("enet")]))["enet"]["eager fp32"] == "1"


@pytest.mark.parametrize(("precision", "cell"), [("fp32", "1"), ("int8", "ok")])
def test_other_labels_than_eagers_are_not_ok_in_fp32(precision, cell):
    page = runtimes_page([make("enet", runtime="openvino", precision=precision, equal_share=0.98)])
    assert rows(page)["enet"][f"openvino {precision}"] == cell
    assert ("differs: 98.00% of the labels are eager's" in page) == (cell != "ok")


def test_devices_stand_apart_and_say_what_they_measured_with():
    page = runtimes_page([make(), make(device="nvidia-h200", torch="2.12.0", input_size=(512, 1024)), baseline()])
    assert page.index("## intel-xeon-2c") < page.index("## nvidia-h200")
    assert "INTEL-XEON-2C, 2 cores · torch 2.11.0 · input 256x512 · weights run camvid_cpu · measured 2026" in page
    assert "torch 2.12.0 · input 512x1024" in page
    assert "mean_label_map" not in page


@pytest.fixture
def zoo(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for record in (make("enet"), make("unet", device="nvidia-h200")):
        save(record, {}, tmp_path / "results")

    def zoo(line):
        code = main(line.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return zoo


def test_the_verb_prints_writes_and_checks_it(zoo, tmp_path):
    code, printed, _ = zoo("leaderboard --by-runtime")
    assert (code, "## nvidia-h200" in printed) == (0, True)
    assert zoo("leaderboard --by-runtime --output page.md")[0] == 0
    assert (tmp_path / "page.md").read_text() == printed
    assert zoo("leaderboard --by-runtime --output page.md --check")[0] == 0
    (tmp_path / "page.md").write_text(printed + "by hand")
    assert zoo("leaderboard --by-runtime --output page.md --check")[:2] == (1, "page.md is out of date\n")


def test_the_verb_takes_conditions(zoo):
    code, printed, _ = zoo("leaderboard --by-runtime --device nvidia-h200")
    assert (code, "## intel-xeon-2c" in printed, "## nvidia-h200" in printed) == (0, False, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--results nowhere", "nowhere does not exist"),
        ("--format csv", "leave --format and --sort away"),
        ("--sort latency", "leave --format and --sort away"),
        ("--models nothing", "no record"),
        ("--output results", "cannot write results"),
    ],
)
def test_a_mistake_is_one_line(zoo, line, said):
    code, out, err = zoo(f"leaderboard --by-runtime {line}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
