"""`zoo.store`: nothing is lost, nothing is half-written, nothing foreign stops a reader."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from zoo import store
from zoo.errors import UserError
from zoo.record import SCHEMA
from zoo.score.reading import read_rows


def test_the_path_is_readable_and_a_function_of_the_record(records):
    record = records.make("unet", key="0123456789abcdef", dataset="camvid", recipe="camvid_cpu", quick=True)
    assert store.result_path(record) == PurePosixPath(
        "intel-xeon-2c/unet/eager-fp32-b1-256x512-camvid-camvid_cpu-quick-01234567-20260301T120000.000Z.json"
    )
    east = record.started_at.astimezone(timezone(timedelta(hours=5)))
    assert store.result_path(record.model_copy(update={"started_at": east})) == store.result_path(record)


def test_the_path_leaves_out_what_is_not_there(records):
    record = records.make("unet", key="0123456789abcdef", dataset=None, right=None)
    assert store.result_path(record).name == "eager-fp32-b1-256x512-01234567-20260301T120000.000Z.json"
    assert "-camvid_cpu-29.97hz-" in store.result_path(records.make(rate_hz=29.97)).name


@pytest.mark.parametrize("name", ["unet:timm/convnext_tiny", "../../net.py:build", "..", "C:\\net.py:build", "名前"])
def test_a_model_of_any_name_stays_in_its_folder(records, name, tmp_path):
    path = store.save(records.make(name), {}, tmp_path)
    assert path.parent.parent.parent == tmp_path
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert store.scan(tmp_path).records[0].artifact.model == name


def test_what_is_saved_is_what_is_read(records, tmp_path):
    record = records.make()
    samples = {"network_s": np.linspace(0.01, 0.02, 200), "tp": np.arange(12, dtype=np.int32).reshape(3, 4)}
    path = store.save(record, samples, tmp_path)
    assert store.load(path) == record
    assert store.scan(tmp_path) == store.Scan((record,), ())
    back = store.samples(path)
    assert back.keys() == samples.keys()
    for name, array in samples.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_no_samples_no_sidecar(records, tmp_path):
    path = store.save(records.make(), {}, tmp_path)
    assert not path.with_suffix(".npz").exists()
    assert store.samples(path) == {}


def test_the_json_reads_well_in_a_diff(records, tmp_path):
    record = records.make()
    text = store.save(record, {}, tmp_path).read_text()
    lines = text.splitlines()
    assert json.loads(text) == record.model_dump(mode="json")
    first_row = json.dumps(list(record.accuracy.confusion[0]))
    assert any(line.strip() == f"{first_row}," for line in lines), "a row of the confusion matrix is one line"
    keys = [line.split('"')[1] for line in lines if line.startswith(' "')]
    assert keys == sorted(keys)
    assert len(lines) < 225
    assert text.endswith("}\n")


@pytest.mark.parametrize("version", [1, 2])
def test_records_of_older_versions_read_as_they_are(records, tmp_path, version):
    record = records.make()
    path = store.save(record, {}, tmp_path)
    value = record.model_dump(mode="json") | {"schema_version": version}
    for new in ("class_categories", "class_instances", "category_instances", "miou_interval", "resampled"):
        del value["accuracy"][new]
    for dataset in (value["dataset"], value["accuracy"]["dataset"]):
        del dataset["shared_sequences"]
    value["accuracy"]["mode"] = "whole"
    path.write_text(json.dumps(value))
    assert store.load(path) == record.model_copy(update={"schema_version": version})


def test_a_newer_run_is_a_new_file_and_wins(records, tmp_path):
    old = records.make(p50_s=0.05, minutes=0)
    new = records.make(p50_s=0.02, minutes=7)
    assert old.key == new.key
    assert store.save(new, {}, tmp_path) != store.save(old, {}, tmp_path)
    assert store.scan(tmp_path).records == (new,)
    assert [record.started_at for record in store.scan(tmp_path, history=True).records] == [
        old.started_at,
        new.started_at,
    ]


def test_a_record_of_the_future_is_named_and_is_the_newest_of_nothing(records, tmp_path):
    late = datetime.now(UTC) - records.NOON + timedelta(days=3)
    old, new = records.make(minutes=0), records.make(minutes=9)
    future = records.make(p50_s=0.001, minutes=late / timedelta(minutes=1))
    path = [store.save(one, {}, tmp_path) for one in (old, new, future)][-1]
    found = store.scan(tmp_path)
    assert found.records == (new,)
    (warning,) = found.warnings
    assert str(path) in warning
    assert "began in the future, and count as older than all others" in warning
    later = future.model_copy(update={"started_at": future.started_at + timedelta(days=1)})
    assert store.newest([later, future]) == [later], "where this machine's clock is behind"


def _break(path, how, record):
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "binary":
        path.write_bytes(b"\x89PNG\r\n\xff\xfe\x00")
    elif how == "foreign object":
        path.write_text('{"speed": "fast"}')
    elif how == "foreign list":
        path.write_text("[1, 2]")
    elif how == "newer":
        path.write_text(json.dumps(record.model_dump(mode="json") | {"schema_version": 99, "novelty": 1}))
    elif how == "newer, same fields":
        path.write_text(json.dumps(record.model_dump(mode="json") | {"schema_version": 99}))
    elif how == "wrong shape":
        value = record.model_dump(mode="json")
        value["accuracy"]["confusion"][3] = [1, 2]
        path.write_text(json.dumps(value))
    elif how == "below zero":
        value = record.model_dump(mode="json")
        value["accuracy"]["confusion"][3][4] = -1
        path.write_text(json.dumps(value))
    elif how == "no time zone":
        path.write_text(json.dumps(record.model_dump(mode="json") | {"started_at": "2026-03-01T12:00:00"}))
    else:
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "); fetch it again from where it was measured, or remove it and measure the cell anew"),
        ("empty", "damaged JSON"),
        ("binary", "damaged JSON"),
        ("foreign object", "not a record of zoo; move it out of the folder of the records"),
        ("foreign list", "not a record of zoo"),
        ("newer", f"newer zoo (schema 99; this one reads up to {SCHEMA})"),
        ("newer, same fields", f"newer zoo (schema 99; this one reads up to {SCHEMA})"),
        ("wrong shape", "not a valid record (accuracy: "),
        ("below zero", "not a valid record (accuracy.confusion.3.4: "),
        ("no time zone", "not a valid record (started_at: "),
        ("a folder", "directory"),
    ],
)
def test_a_bad_file_is_named_skipped_and_kept(records, tmp_path, how, words):
    good, other = records.make("unet"), records.make("fcn")
    store.save(good, {}, tmp_path)
    path = store.save(other, {}, tmp_path)
    _break(path, how, other)
    before = path.read_bytes() if path.is_file() else None
    found = store.scan(tmp_path)
    assert found.records == (good,)
    (warning,) = found.warnings
    assert str(path) in warning
    assert words in warning
    assert "\n" not in warning
    assert path.exists()
    assert before is None or path.read_bytes() == before


def test_foreign_json_is_named_wherever_it_lies_and_left_alone(records, tmp_path):
    record = records.make()
    path = store.save(record, {}, tmp_path)
    places = (tmp_path / "x.json", tmp_path / "device" / "x.json", path.parent / "deep" / "x.json")
    for place in places:
        place.parent.mkdir(exist_ok=True, parents=True)
        place.write_text("{}")
    (path.parent / ".hidden.json").write_text("{}")
    (path.parent / "README.md").write_text("hello")
    scan = store.scan(tmp_path)
    assert scan.records == (record,)
    assert len(scan.warnings) == 3
    assert all(any(str(place) in warning for warning in scan.warnings) for place in places)
    assert all(place.read_text() == "{}" for place in places)


def test_hostile_files_in_the_folder_are_survived(records, tmp_path):
    record = records.make()
    path = store.save(record, {}, tmp_path)
    (path.parent / "deep.json").write_text("[" * 100_000)
    os.mkfifo(path.parent / "pipe.json")
    (path.parent / "ring.json").symlink_to("ring.json")
    (path.parent / "again").symlink_to(tmp_path)
    scan = store.scan(tmp_path)
    assert scan.records == (record,)
    deep, ring = scan.warnings
    assert "deep.json" in deep
    assert "ring.json" in ring


def test_an_empty_folder_id_is_made_anew(tmp_path):
    with store.locked(tmp_path) as first:
        assert first
    (tmp_path / ".local" / "id").write_text("")
    with store.locked(tmp_path) as second:
        assert second
        assert second != first


def test_a_missing_folder_matters_only_to_a_reader(tmp_path):
    assert store.scan(tmp_path / "none") == store.Scan((), ())
    with pytest.raises(UserError, match=r"none does not exist; make some with `zoo bench"):
        store.scan(tmp_path / "none", required=True)
    with pytest.raises(UserError, match="holds no records; make some"):
        store.scan(tmp_path, required=True)
    (tmp_path / "page.md").write_text("")
    with pytest.raises(UserError, match=r"page\.md is a file; name the folder of the records with --results"):
        store.scan(tmp_path / "page.md", required=True)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
@pytest.mark.parametrize("key", ["timeout_s", "train"])
def test_a_number_that_is_none_is_damage(records, tmp_path, number, key):
    path = store.save(records.make(), {}, tmp_path)
    value = number if key == "timeout_s" else f'{{"sgd_momentum": [{number}]}}'
    path.write_text(path.read_text().replace('"config": {', f'"config": {{"{key}": {value},'))
    with pytest.raises(UserError, match=r"damaged JSON \(config holds NaN or an infinite number\); fetch it again"):
        store.load(path)
    with pytest.raises(UserError, match=r"holds no records \(1 file could not be read; skipped .*NaN"):
        read_rows(tmp_path)


def test_only_damaged_files_is_said(records, tmp_path):
    path = store.save(records.make(), {}, tmp_path)
    path.write_text("{")
    with pytest.raises(UserError, match=r"1 file could not be read; skipped .*damaged"):
        store.scan(tmp_path, required=True)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_behind(records, tmp_path, monkeypatch, call):
    earlier = store.save(records.make(), {"a": np.zeros(3)}, tmp_path)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync", full), "replace": (type(tmp_path), "replace", full)}[call])
    with pytest.raises(UserError, match=r"cannot write a record to .*No space left on device; free some space"):
        store.save(records.make(minutes=5), {"a": np.zeros(3)}, tmp_path)
    assert sorted(file.name for file in earlier.parent.iterdir()) == sorted(
        [earlier.name, earlier.with_suffix(".npz").name]
    )


def test_a_folder_that_is_a_file_is_one_line(records, tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match=r"cannot write a record to .*, or name another results folder"):
        store.save(records.make(), {}, tmp_path / "results")


def test_a_damaged_sidecar_is_named(records, tmp_path):
    path = store.save(records.make(), {"a": np.zeros(1000)}, tmp_path)
    sidecar = path.with_suffix(".npz")
    sidecar.write_bytes(sidecar.read_bytes()[:60])
    with pytest.raises(UserError, match=r"\.npz is damaged"):
        store.samples(path)


def test_the_same_record_gives_the_same_bytes(records, tmp_path):
    one, two = (store.save(records.make(), {"a": np.arange(50.0)}, tmp_path / folder) for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert one.with_suffix(".npz").read_bytes() == two.with_suffix(".npz").read_bytes()


def test_started_at_carries_its_zone(records):
    assert records.make().started_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_one_merge_at_a_time(tmp_path):
    with store.locked(tmp_path / "results") as first:
        with pytest.raises(UserError, match="another merge writes to"), store.locked(tmp_path / "results"):
            pass
        with store.locked(tmp_path / "other") as other:
            assert other != first
    with store.locked(tmp_path / "results") as again:
        assert again == first
    assert (tmp_path / "results" / ".local" / ".gitignore").read_text() == "*\n"
    assert store.scan(tmp_path / "results") == store.Scan((), ())


def test_a_folder_that_cannot_be_locked_is_one_line(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match="cannot write to"), store.locked(tmp_path / "results"):
        pass


def test_the_holder_of_a_folder_removes_what_the_killed_left_there(records, tmp_path):
    path = store.save(records.make(), {}, tmp_path)
    leftover = path.parent / ".zoo-draft-x"
    leftover.mkdir()
    (leftover / "0.tmp").write_text("{")
    assert store.scan(tmp_path).warnings == ()
    with store.locked(tmp_path):
        assert not leftover.exists()
    assert path.is_file()


def test_a_folder_deleted_while_it_is_held_keeps_its_id(records, tmp_path):
    results = tmp_path / "results"
    with store.locked(results) as first:
        shutil.rmtree(results)
        store.save(records.make(), {}, results)
    with store.locked(results) as second:
        assert second == first
        shutil.rmtree(results)
    assert not results.exists(), "nothing was saved: nothing is put back"


def test_hidden_folders_are_nobodys_records(records, tmp_path):
    record = records.make()
    copy = tmp_path / ".ipynb_checkpoints" / "copy.json"
    copy.parent.mkdir()
    copy.write_bytes(store.save(record, {}, tmp_path).read_bytes())
    assert store.scan(tmp_path, history=True) == store.Scan((record,), ())


def test_a_folder_that_cannot_be_listed_is_named(records, tmp_path, monkeypatch):
    record, real = records.make(), os.scandir
    closed = store.save(record, {}, tmp_path).parent

    def scandir(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert store.scan(tmp_path) == store.Scan((), (f"skipped {closed}: Permission denied",))


def test_an_id_that_is_no_text_is_survived(tmp_path):
    with store.locked(tmp_path):
        (tmp_path / ".local" / "id").write_bytes(b"\xff\xfe12")
    with store.locked(tmp_path) as folder_id:
        assert folder_id


def test_a_reader_takes_what_was_named_then_results_then_what_is_shipped(records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert store.folder_to_read("named") == (Path("named"), ())
    assert store.folder_to_read(tmp_path) == (tmp_path, ())
    package = tmp_path / "site-packages" / "zoo"
    monkeypatch.setattr(store, "__file__", str(package / "store.py"))
    assert store.folder_to_read(None) == (Path("results"), ()), "nothing is shipped"
    for shipped in (package.parent / "results", package / "results"):  # the checkout's, the wheel's
        shipped.mkdir(parents=True)
        assert store.folder_to_read(None) == (shipped, (store.NO_FOLDER,))
        assert store.folder_to_read("shipped") == (shipped, ()), "as was asked for: nothing is to be said"
    with store.opened(tmp_path / "results"):
        (tmp_path / "results" / "README.md").write_text("")
    assert store.folder_to_read(None) == (package / "results", (store.NO_FOLDER,)), "nothing was measured into it"
    assert store.folder_to_read("results") == (Path("results"), ())
    damaged = tmp_path / "results" / "device" / "unet" / "a.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("")
    assert store.folder_to_read(None) == (Path("results"), ()), "it is for the reader to say what is wrong with it"
    assert store.folder_to_read("results") == (Path("results"), ())
    assert store.folder_to_read("shipped") == (package / "results", ()), "beside records of one's own"
    (package / "results" / "nvidia-h200" / "unet").mkdir(parents=True)
    assert "--results shipped" in store.shipped_of("nvidia-h200")
    assert store.shipped_of("nvidia-h2000") == store.shipped_of("") == store.shipped_of("../results") == ""
    (tmp_path / "shipped").mkdir()
    assert store.folder_to_read("shipped") == (Path("shipped"), ()), "a folder of that name"


def test_the_wheel_holds_records_and_presets_where_they_are_looked_for():
    root = Path(store.__file__).parents[1]
    wheel = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    for folder in ("results", "configs"):
        assert folder in wheel["only-include"]
        assert wheel["sources"][folder] == f"zoo/{folder}"
    assert "/results/.local" in wheel["exclude"], "whose folder it was is nobody's business"


def test_ids_of_merged_folders_stand_behind_the_own_one(tmp_path):
    with store.locked(tmp_path) as (own,):
        store.add_folder_ids(tmp_path, ["a", "b", "a", own])
        store.add_folder_ids(tmp_path, ["b"])
    with store.locked(tmp_path) as ids:
        assert ids == (own, "a", "b")
