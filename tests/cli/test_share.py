"""`zoo share`, `zoo merge`, `zoo verify --records`: from one machine to another and into a table."""

from __future__ import annotations

import pytest

from zoo.store import NO_FOLDER, locked, save

NEW = "records: 1 new in theirs, 0 there already, 0 left out\n"


@pytest.fixture
def zoo(call, tmp_path, monkeypatch):
    """`zoo("pick")` in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    return lambda line: call(*line.split())


@pytest.fixture
def measured(records, tmp_path):
    """Two records of a sweep in `results`, one of them a smoke test; the file of the other one."""
    with locked(tmp_path / "results") as (folder_id,):
        pass
    for quick in (True, False):
        record, samples = records.sampled(quick=quick)
        path = save(record.model_copy(update={"folder": folder_id}), samples, tmp_path / "results")
    return path


def test_from_one_machine_into_the_table_of_another(zoo, measured):
    code, out, error = zoo("share")
    assert (code, error) == (0, "")
    first, *steps = out.splitlines()
    assert first.startswith("wrote zoo-intel-xeon-2c.zip (")
    assert first.endswith(" KiB of files); records: 1 in it, 1 of a smoke test (--quick takes them along)")
    assert [step[:2] for step in steps] == ["1.", "2.", "3."]
    assert "`zoo merge zoo-intel-xeon-2c.zip`" in steps[0]
    assert zoo("merge zoo-intel-xeon-2c.zip --into theirs")[:2] == (0, NEW)
    assert (
        zoo("merge zoo-intel-xeon-2c.zip --into theirs")[1] == "records: 0 new in theirs, 1 there already, 0 left out\n"
    )
    assert zoo("pick --results theirs")[1].startswith("unet (intel-xeon-2c")
    code, out, _ = zoo("verify --records --results theirs")
    assert (code, out) == (0, "records in theirs: 1; every summary is that of its samples\n")


def test_an_edited_record_stays_out_and_ends_with_1(zoo, measured):
    measured.write_text(measured.read_text().replace('"mean_s": 0.0', '"mean_s": 0.00'))
    code, out, _ = zoo("verify --records")
    assert code == 1
    assert out.splitlines()[0].startswith(
        f"results/{measured.relative_to(measured.parents[2])}: speed.network.mean_s: "
    )
    assert out.endswith("records in results: 2; faults: 2\n")
    code, out, error = zoo("merge results --into theirs")
    assert (code, out) == (1, NEW.replace("0 left", "1 left"))
    assert f"zoo: left out results/intel-xeon-2c/unet/{measured.name}: speed.network.mean_s: " in error
    code, out, error = zoo("share")
    assert (code, out) == (2, "")
    assert "holds nothing to share: 1 of a smoke test" in error
    assert measured.name in error


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("merge", "the following arguments are required: SRC"),
        ("merge nowhere", "nowhere does not exist; give a folder of records, or a .zip or .tar of one"),
        ("share", "results does not exist"),
        ("verify unet --records", "leave the names away"),
        ("verify --records --check", "--records writes no page; leave --check away"),
        ("verify --records --format md", "leave --format away"),
        ("verify --records --results nowhere", "nowhere holds no records to verify"),
        ("merge " + "a" * 300, "File name too long"),
        ("verify --records --results " + "a" * 300, "File name too long"),
        ("leaderboard --results " + "a" * 300, "File name too long"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(zoo, line, words):
    code, out, error = zoo(line)
    assert (code, out) == (2, "")
    assert error.startswith("zoo: ")
    assert error.count("\n") == 1
    assert words in error


def test_a_check_of_a_folder_that_lost_its_records_does_not_pass(zoo, tmp_path):
    (tmp_path / "results").mkdir()
    code, _, error = zoo("verify --records")
    assert (code, error) == (2, "zoo: results holds no records to verify; name their folder with --results\n")


@pytest.mark.parametrize("line", ["pick", "leaderboard --format csv", "compare edanet icnet_resnet18", "verify enet"])
def test_before_anything_was_measured_the_shipped_records_answer_and_a_line_says_so(zoo, line):
    code, out, error = zoo(line)
    assert code == 0
    assert out
    assert error.splitlines().count(f"zoo: {NO_FOLDER}") == 1


@pytest.mark.parametrize(("line", "ends"), [("pick", 3), ("leaderboard", 2), ("compare unet fcn_resnet50", 2)])
def test_a_folder_that_is_named_or_there_is_the_one_that_is_read(zoo, tmp_path, line, ends):
    code, out, error = zoo(f"{line} --results results")
    assert (code, out) == (ends, "")
    assert "results does not exist; make some" in error
    (tmp_path / "results").mkdir()
    code, out, error = zoo(f"{line} --results results")
    assert (code, out) == (ends, "")
    assert error.startswith("zoo: results holds no records; make some with `zoo bench")
    code, out, error = zoo(line)
    assert code == 0, "an empty one that nobody named is none"
    assert NO_FOLDER in error
    (tmp_path / "results" / "damaged.json").write_text("{")
    code, out, error = zoo(line)
    assert (code, out) == (ends, "")
    assert error.startswith("zoo: results holds no records (1 file could not be read; ")
