"""Records travel whole or not at all: nothing is overwritten, nothing private leaves, nothing edited arrives."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.score.test_audit import edit
from zoo import exchange, store
from zoo.errors import UserError
from zoo.exchange import merge, share
from zoo.record import Failure
from zoo.score.audit import audit
from zoo.score.reading import read_rows


@pytest.fixture
def other(records, tmp_path):
    """The results folder of another machine: two models, with samples, and a cell that failed."""
    folder = tmp_path / "other"
    for draws, model in enumerate(("unet", "fcn")):
        record, samples = records.sampled(model, device="nvidia-h200", kind="cuda", machine_id="h" * 64, draws=draws)
        store.save(record, samples, folder)
    store.save(records.failed("pspnet", device="nvidia-h200", kind="cuda"), {}, folder)
    return folder


def held(folder):
    """Every file of a folder's records with its bytes."""
    paths = (path for path in folder.rglob("*") if path.is_file() and ".local" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def packed(folder, target):
    """The folder as an archive, below a folder of its own, as people make them."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path in files:
                archive.write(path, f"results/{path.relative_to(folder)}")
    else:
        with tarfile.open(target, "w:gz" if target.suffix == ".tgz" else "w") as archive:
            for path in files:
                archive.add(path, f"results/{path.relative_to(folder)}")
    return target


@pytest.mark.parametrize("form", ["folder", ".zip", ".tar", ".tgz"])
def test_records_arrive_byte_for_byte_and_once(records, other, tmp_path, form):
    mine = tmp_path / "mine"
    own = store.save(*records.sampled("unet"), mine)
    source = other if form == "folder" else packed(other, tmp_path / f"other{form}")
    seen = []
    merged = merge([source], mine, lambda done, total: seen.append((done, total)))
    assert (len(merged.added), merged.known_count, merged.left_out) == (3, 0, ())
    assert seen == [(1, 3), (2, 3), (3, 3)]
    after = held(mine)
    assert after == held(other) | {name: held(mine)[name] for name in held(mine) if own.stem in name}
    assert {row.device for row in read_rows(mine).rows} == {"intel-xeon-2c", "nvidia-h200"}
    again = merge([source, other], mine)
    assert (again.added, again.known_count, again.left_out) == ((), 6, ())
    assert held(mine) == after


def test_one_folder_may_stand_alone_and_what_is_none_is_refused(other, tmp_path):
    assert len(merge(str(other), tmp_path / "one").added) == len(merge([other], tmp_path / "two").added) > 0
    for given in (3, [3], ["a", 3]):
        with pytest.raises(UserError, match="merge takes folders of records, or archives of them; got "):
            merge(given, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_record_goes_where_its_content_says_whatever_its_file_is_called(other, tmp_path):
    expected = held(other)
    for path in sorted(other.rglob("*.json")):
        for one in (path, path.with_suffix(".npz")):
            if one.exists():
                one.rename(other / f"{path.parent.name}-copy{one.suffix}")
    merge([other], tmp_path / "mine")
    assert held(tmp_path / "mine") == expected


def test_a_later_run_stands_beside_the_older_one_and_tables_take_it(records, tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    store.save(*records.sampled(p50_s=0.05), mine)
    store.save(*records.sampled(p50_s=0.02, minutes=9), theirs)
    assert len(merge([theirs], mine).added) == 1
    assert len(read_rows(mine, history=True).rows) == 2
    (row,) = read_rows(mine).rows
    assert row.value("latency_p50_s") == pytest.approx(0.02, rel=0.01)


def test_what_differs_under_one_name_is_named_and_what_is_there_stays(records, other, tmp_path):
    mine = tmp_path / "mine"
    merge([other], mine)
    before = held(mine)
    theirs = tmp_path / "theirs"
    record, samples = records.sampled("unet", device="nvidia-h200", kind="cuda", machine_id="h" * 64, draws=7)
    path = store.save(record, samples, theirs)
    merged = merge([theirs], mine)
    assert (merged.added, merged.known_count) == ((), 0)
    (line,) = merged.left_out
    assert line.startswith(f"{path} differs from {mine / store.result_path(record)}, which is the same run and stays")
    assert held(mine) == before


def test_one_record_written_down_in_two_ways_is_one(other, tmp_path):
    mine = tmp_path / "mine"
    merge([other], mine)
    for path in other.rglob("*.json"):
        path.write_text(path.read_text().replace("\n", "\n  "))
    assert merge([other], mine).known_count == 3


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def _slow_to_fast(path):
    path.write_text(path.read_text().replace('"mean_s": 0.0', '"mean_s": 0.00'))


def _newer(path):
    path.write_text(path.read_text().replace('"schema_version": ', '"schema_version": 9'))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_truncated, "damaged JSON"),
        (_slow_to_fast, "mean_s: "),
        (_newer, "written by a newer zoo"),
        (lambda path: path.with_suffix(".npz").unlink(), "has no samples beside it"),
        (lambda path: _truncated(path.with_suffix(".npz")), "damaged"),
        (lambda path: path.write_text("{}"), "not a record of zoo"),
    ],
)
@pytest.mark.parametrize("form", ["folder", ".zip", ".tar"])
def test_what_is_damaged_or_edited_is_named_and_left_out(other, tmp_path, damage, words, form):
    (bad,) = other.rglob("fcn/*.json")
    damage(bad)
    source = other if form == "folder" else packed(other, tmp_path / f"other{form}")
    merged = merge([source], tmp_path / "mine")
    assert len(merged.added) == 2
    (line,) = merged.left_out
    assert line.startswith(f"{source}{os.sep}")
    assert bad.stem in line
    assert words in line
    assert "\n" not in line
    assert audit(tmp_path / "mine").faults == ()


def test_a_damaged_record_that_is_there_is_not_taken_for_the_one_that_comes(other, tmp_path):
    mine = tmp_path / "mine"
    merge([other], mine)
    (there,) = mine.rglob("fcn/*.json")
    _truncated(there)
    (line,) = merge([other], mine).left_out
    assert f"{there} should be the same, but {there}: damaged JSON" in line


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("none", "none does not exist; give a folder of records, or a .zip or .tar"),
        ("empty", "empty holds no records"),
        ("text.zip", "text.zip is neither, or damaged"),
        ("cut.tgz", "cut.tgz is damaged: Compressed file ended"),
        ("cut.tar", "cut.tar is damaged: unexpected end of data; fetch it again"),
        ("bent.tgz", "bent.tgz is damaged: "),
        ("cut.zip", "cut.zip (is neither|holds no records), or (is )?damaged"),
    ],
)
def test_a_source_that_is_none_is_one_line_and_nothing_is_touched(other, tmp_path, source, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("hello")
    for form in (".tgz", ".tar", ".zip"):
        whole = packed(other, tmp_path / f"whole{form}").read_bytes()
        (tmp_path / f"cut{form}").write_bytes(whole[: len(whole) // 2])
        (tmp_path / f"bent{form}").write_bytes(whole[: len(whole) // 2] + b"!" + whole[len(whole) // 2 + 1 :])
    with pytest.raises(UserError, match=words) as caught:
        merge([other, tmp_path / source], tmp_path / "mine")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("target", ["results", "deep/er/results"])
def test_a_merge_that_takes_nothing_in_leaves_no_folder_behind(other, tmp_path, target):
    for path in other.rglob("*.json"):
        _truncated(path)
    before = {*tmp_path.rglob("*")}
    assert len(merge([other], tmp_path / target).left_out) == 3
    with store.locked(tmp_path / "idle"):
        pass
    assert merge([tmp_path / "idle"], tmp_path / target).left_out == ()
    assert {*tmp_path.rglob("*")} - before == {tmp_path / "idle", *(tmp_path / "idle").rglob("*")}


def test_a_record_that_another_merge_put_into_a_new_folder_meanwhile_stays(other, tmp_path, monkeypatch):
    mine, real = tmp_path / "mine", store.locked

    def late(target):
        with monkeypatch.context() as patch:
            patch.setattr(store, "locked", real)
            merge([other], target)
        before.update(held(target))
        return real(target)

    before = {}
    monkeypatch.setattr(store, "locked", late)
    assert merge([other], mine).known_count == 3
    assert held(mine) == before


@pytest.mark.parametrize("into", ["there.txt", "there.txt/results", "n" * 300])
def test_a_folder_that_cannot_be_is_one_line_with_no_flag_of_another_verb(other, tmp_path, into):
    (tmp_path / "there.txt").write_text("mine")
    with pytest.raises(UserError, match=r"cannot write to .*(another results folder|shorten its path)") as caught:
        merge([other], tmp_path / into)
    assert "--" not in str(caught.value)
    damaged = next(other.rglob("*.npz"))
    _truncated(damaged)
    (line,) = merge([other], tmp_path / "mine").left_out
    assert "--" not in line


def test_a_folder_of_an_empty_share_has_nothing_to_give_and_is_no_mistake(other, tmp_path):
    with store.locked(tmp_path / "idle"):
        pass
    merged = merge([tmp_path / "idle", other], tmp_path / "mine")
    assert merged.left_out == ()
    assert held(tmp_path / "mine") == held(other)


def test_an_archive_of_hostile_names_and_sizes_is_survived(records, tmp_path):
    record, samples = records.sampled()
    path = store.save(record, samples, tmp_path / "one")
    bomb = io.BytesIO()
    np.savez_compressed(bomb, **samples, zeros=np.zeros(20 * 2**20))
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escaped.json", path.read_bytes())
        archive.writestr("../../escaped.npz", path.with_suffix(".npz").read_bytes())
        archive.writestr("bomb.json", store.to_json(record.model_copy(update={"key": "b" * 32})))
        archive.writestr("bomb.npz", bomb.getvalue())
        archive.writestr("large.json", b" " * (65 * 2**20))
        archive.writestr("._hidden.json", "{}")
    mine = tmp_path / "deep" / "er" / "mine"
    merged = merge([tmp_path / "hostile.zip"], mine)
    assert merged.added == (mine / store.result_path(record),)
    assert not list(tmp_path.rglob("escaped*"))
    one, other = sorted(merged.left_out)
    assert "bomb.npz has 160." in one
    assert "large.json has 65.0 MiB, 64 are the most: no record is as large" in other


def test_a_tar_that_would_fill_the_memory_is_refused(other, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "TAR_BYTES", 1000)
    with pytest.raises(UserError, match=r"other.tgz has .* are the most: unpack it, and give the folder"):
        merge([packed(other, tmp_path / "other.tgz")], tmp_path / "mine")


def test_what_came_with_zoo_is_a_source(other, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.store._shipped", lambda: other)
    assert merge(["shipped"], tmp_path / "results").added


def test_one_at_a_time(other, tmp_path):
    with (
        store.locked(tmp_path / "mine"),
        pytest.raises(UserError, match=r"another merge writes to .*; wait for it"),
    ):
        merge([other], tmp_path / "mine")
    assert len(merge([other], tmp_path / "mine").added) == 3


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_what_was_taken_in_is_whole(other, tmp_path, monkeypatch, call):
    mine, real, calls = tmp_path / "mine", {"fsync": os.fsync, "replace": Path.replace}[call], []
    with store.locked(mine):
        pass

    def full(*arguments):
        calls.append(1)
        if len(calls) > {"fsync": 5, "replace": 3}[call]:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os if call == "fsync" else Path, call, full)
        with pytest.raises(UserError, match=r"cannot write a record to .*No space left on device; free some space"):
            merge([other], mine)
    assert 0 < len(list(mine.rglob("*.json"))) < 3
    merge([other], mine)
    assert held(mine) == held(other)


KILLED = """
import os, signal, sys
from pathlib import Path
from zoo.exchange import merge

left, real = int(sys.argv[3]), Path.replace

def replace(*paths):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*paths)

Path.replace = replace
merge([sys.argv[1]], sys.argv[2])
"""


@pytest.mark.parametrize("after", range(2, 7))
def test_a_kill_leaves_whole_records_and_the_same_call_goes_on(other, tmp_path, after):
    mine = tmp_path / "mine"
    done = subprocess.run([sys.executable, "-c", KILLED, other, mine, str(after)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    for path in mine.rglob("*.json"):
        assert held(other)[path.relative_to(mine).as_posix()] == path.read_bytes()
        store.samples(path)
    merge([other], mine)
    assert held(mine) == held(other), "nothing is missing, and no draft is left"


def test_a_folder_that_was_measured_into_counts_as_ones_own_and_an_archive_does_not(other, tmp_path):
    mine = tmp_path / "mine"
    with store.locked(other) as (their_id,), store.locked(mine) as (own_id,):
        pass
    merge([packed(other, tmp_path / "other.zip")], mine)
    assert store.folder_ids(mine) == (own_id,)
    merge([other, other], mine)
    merge([other], mine)
    assert store.folder_ids(mine) == (own_id, their_id)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("artifact", "model"), "a" * 5000, "not a valid record (artifact.model: "),
        (("artifact", "model"), "", "not a valid record (artifact.model: "),
        (("artifact", "model"), "a\x1b[2Jb", "a word in it holds a control character"),
        (("artifact", "model"), "a\0b", "a word in it holds a control character"),
        (("artifact", "runtime"), "r" * 5000, "not a valid record (artifact.runtime: "),
        (("artifact", "weights", "recipe"), "r" * 5000, "not a valid record (artifact.weights.recipe: "),
        (("dataset", "name"), "d" * 5000, "not a valid record (dataset.name: "),
        (("device", "slug"), "s" * 5000, "not a valid record (device.slug: "),
        (("device", "slug"), "../elsewhere", "device.slug: ../elsewhere said"),
        (("memory", "peak_bytes"), -5, "not a valid record (memory.peak_bytes: "),
        (("started_at",), "2999-01-01T00:00:00Z", "began at 2999-01-01 00:00 UTC by its own word"),
        (("started_at",), "0001-01-01T00:00:00+14:00", "not a valid record (started_at is of the years"),
    ],
)
def test_what_no_record_can_say_is_named_left_out_and_stops_nothing(records, other, tmp_path, where, value, words):
    bad = store.save(*records.sampled("enet"), other)
    edit(bad, where, value)
    merged = merge([other], tmp_path / "mine")
    assert len(merged.added) == 3
    (line,) = merged.left_out
    assert line.startswith(f"{bad}: ")
    assert words in line
    assert line.isprintable()


def test_a_name_that_a_disk_cannot_hold_stops_nothing(other, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_slug", lambda text: text + "x" * 300 * (text == "unet"))
    merged = merge([other], tmp_path / "mine")
    assert len(merged.added) == 2
    (line,) = merged.left_out
    assert "File name too long; shorten its path" in line


def test_a_file_of_a_hostile_name_is_named_in_one_line(other, tmp_path):
    (other / "a\x1b[2J\nb.json").write_text("{}")
    (line,) = merge([other], tmp_path / "mine").left_out
    assert line.startswith(f"{other}/a?[2J?b.json: not a record of zoo")


@pytest.fixture
def measured(records, tmp_path):
    """`save(model, …)` into a folder as a sweep of this machine does; records are the folder's own."""
    with store.locked(tmp_path / "results") as (folder_id,):
        pass

    def keep(model="unet", *, failure=None, mine=True, **changes):
        if failure:
            record, samples = records.failed(model), {}
            record = record.model_copy(update={"failure": Failure(step="build", reason="no", detail=failure)})
        else:
            record, samples = records.sampled(model, **changes)
        record = record.model_copy(update={"folder": folder_id if mine else "elsewhere"})
        return store.save(record, samples, tmp_path / "results")

    return keep


def test_what_is_shared_is_the_newest_of_ones_own_and_can_be_merged(measured, tmp_path):
    measured("unet", minutes=0)
    newest, other = measured("unet", minutes=5), measured("fcn")
    measured("pspnet", mine=False)
    measured("segnet", quick=True)
    measured("enet", failure="a.py:1 b")
    shared = share(tmp_path / "results", tmp_path / "out.zip")
    assert [record.artifact.model for record in shared.records] == ["fcn", "unet"]
    assert shared.unasked == {
        "measured elsewhere": 1,
        "replaced by a later run": 1,
        "of a smoke test (--quick takes them along)": 1,
        "without numbers (--failed takes them along)": 1,
    }
    assert shared.left_out == ()
    merged = merge([tmp_path / "out.zip"], tmp_path / "theirs")
    assert {path.name for path in merged.added} == {newest.name, other.name}
    assert shared.byte_count == sum(map(len, held(tmp_path / "theirs").values()))
    everything = share(tmp_path / "results", tmp_path / "folder", quick=True, failed=True)
    assert [record.artifact.model for record in everything.records] == ["enet", "fcn", "segnet", "unet"]
    assert len(merge([tmp_path / "folder"], tmp_path / "theirs").added) == 2


def test_an_archive_tells_nothing_of_where_and_when_it_was_made(measured, tmp_path):
    measured()
    share(tmp_path / "results", tmp_path / "one.zip")
    share(tmp_path / "results", tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        assert all(name.startswith("intel-xeon-2c/unet/") for name in archive.namelist())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/home/jo/net.py:12 build", "names a path ('/home/jo/net.py:12 build')"),
        ("no such file: '/data/camvid/x.png'", "names a path"),
        ("~/nets/net", "names a path"),
        ("C:\\nets\\net", "names a path"),
        ("../net.py:build", "names a path"),
        ("nets/net.py:build", "names a path"),
        ("see file:///home/jo/x", "names a path"),
        ("open s3://bucket/x", "names a path"),
        ("read ../secrets/x.pt", "names a path"),
        ("read ./x", "names a path"),
        ("no data/jo/x.onnx, or", "names a path"),
        ("no secrets/x.pt", "names a path"),
        ("in data/jo/private", "names a path"),
        ("[data\\jo\\x.pt]", "names a path"),
        ("`x=\\\\server\\jo`", "names a path"),
        ("<~jo/x>", "names a path"),
        ("a/../../b", "names a path"),
        ("hf:../../nets", "names a path"),
        ("timm/jo/x.pt", "names a path"),
        ("made by jolanda on monday", "names this machine's user or host"),
        ("seen on STATION7", "names this machine's user or host"),
    ],
)
def test_what_names_a_path_a_user_or_a_host_stays_at_home(measured, tmp_path, monkeypatch, text, words):
    monkeypatch.setattr("getpass.getuser", lambda: "jolanda")
    monkeypatch.setattr("platform.node", lambda: "station7.lab.example")
    measured("fcn")
    path = measured("unet", failure=text)
    shared = share(tmp_path / "results", tmp_path / "out.zip", failed=True)
    assert [record.artifact.model for record in shared.records] == ["fcn"]
    (line,) = shared.left_out
    assert line.startswith(f"{path}: failure.detail {words}")


def test_what_was_edited_or_is_too_large_is_not_shared(measured, tmp_path, monkeypatch):
    measured("fcn")
    edited, large = measured("unet"), measured("enet", samples=1500)
    _slow_to_fast(edited)
    monkeypatch.setattr(exchange, "SHARED_BYTES", large.with_suffix(".npz").stat().st_size - 1)
    one, other = share(tmp_path / "results", tmp_path / "out.zip").left_out
    assert one.startswith(str(large.with_suffix(".npz")))
    assert "a repository keeps it for good" in one
    assert other.startswith(f"{edited}: speed.")


def test_a_record_whose_name_is_not_what_it_holds_is_named_by_its_file(measured, tmp_path):
    edited, moved = measured("unet"), measured("fcn")
    edit(edited, ("artifact", "precision"), "int8")
    edit(edited, ("config", "precisions"), ["fp32"])
    for file in (moved, moved.with_suffix(".npz")):
        file.rename(tmp_path / "results" / f"copy{file.suffix}")
    shared = share(tmp_path / "results", tmp_path / "out.zip")
    assert shared.left_out == (f"{edited}: artifact.precision: int8 said, fp32 by config.precisions",)
    assert {path.name for path in merge([tmp_path / "out.zip"], tmp_path / "theirs").added} == {moved.name}


def test_a_copy_of_a_folder_has_nothing_to_share_and_a_next_step(measured, tmp_path):
    measured("unet")
    shutil.copytree(tmp_path / "results", tmp_path / "copy", ignore=shutil.ignore_patterns(".local"))
    with pytest.raises(
        UserError, match=r"nothing to share: 1 measured elsewhere; share them from the folder .*`zoo merge`"
    ):
        share(tmp_path / "copy", tmp_path / "out.zip")
    merge([tmp_path / "results"], tmp_path / "copy")
    assert len(share(tmp_path / "copy", tmp_path / "out.zip").records) == 1


def test_nothing_to_share_says_why(records, measured, tmp_path):
    measured("unet", quick=True)
    measured("fcn", mine=False)
    with pytest.raises(UserError, match="nothing to share: 1 measured elsewhere; 1 of a smoke test"):
        share(tmp_path / "results", tmp_path / "out.zip")
    with pytest.raises(UserError, match="none does not exist"):
        share(tmp_path / "none")
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("there.zip", "there.zip is there already, and nothing is overwritten"),
        ("out.tar.gz", "as a .zip or a folder; got"),
        ("there.zip/out.zip", "cannot write .*a file stands where a folder belongs"),
    ],
)
def test_an_output_that_cannot_be_is_one_line(measured, tmp_path, output, words):
    measured()
    (tmp_path / "there.zip").write_text("mine")
    with pytest.raises(UserError, match=words):
        share(tmp_path / "results", tmp_path / output)
    assert (tmp_path / "there.zip").read_text() == "mine"


def test_a_full_disk_leaves_no_half_of_what_is_shared(measured, tmp_path, monkeypatch):
    measured()

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for output in ("out.zip", "out"):
        with pytest.raises(UserError, match="No space left on device; free some space, or name another --output"):
            share(tmp_path / "results", tmp_path / output)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_without_a_name_the_archive_is_called_after_the_device(measured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measured()
    assert share().output == Path("zoo-intel-xeon-2c.zip")
    shutil.rmtree("results")
    assert len(merge(["zoo-intel-xeon-2c.zip"]).added) == 1
