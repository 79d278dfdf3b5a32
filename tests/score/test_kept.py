"""`zoo.score.kept`: what was kept never says anything but what the records say."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from zoo.errors import UserError
from zoo.record import SCHEMA, Mode
from zoo.score import kept
from zoo.score.reading import read_rows, rows_of
from zoo.store import NO_FOLDER, load, save, scan

COMMITTED = Path(__file__).parents[2] / "results"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own, in which a single record is worth being kept."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "LEAST", 1)
    return tmp_path / "cache" / "rows"


@pytest.fixture
def decoded(monkeypatch):
    """Models of the records that were decoded, not taken from the cache."""
    models, real = [], kept.row

    def row(record, file_hash):
        models.append(record.artifact.model)
        return real(record, file_hash)

    monkeypatch.setattr(kept, "row", row)
    return models


@pytest.fixture
def results(records, tmp_path):
    """Records of every kind."""
    changes = (
        {},
        {"precision": "int8", "runtime": "openvino", "right": 0.45, "file_bytes": 10**7, "equal_share": 0.99},
        {"right": None, "dataset": None, "staged": True, "rates": (10.0, 18.0), "energy_j": 0.5},
        {"one_graph": True, "miou_interval": (0.4, 0.6), "seed": 1, "mode": Mode(flip=True)},
        {"status": "oom", "minutes": 3},
        {"source": "published", "tag": "mmseg", "model": "pidnet_s", "shared_sequences": None},
        {"runtime": "compile", "uncounted_ops": ("aten::fft",), "growth_bytes": 5, "settled": False},
    )
    for change in changes:
        save(records.make(**change), {}, tmp_path / "results")
    save(records.baseline(), {}, tmp_path / "results")
    return tmp_path / "results"


def truth(results):
    """What the records say, each file read anew."""
    hashes = {}
    for path in results.rglob("*.json"):
        with suppress(UserError):
            one = load(path)
            hashes[one.key, one.started_at] = sha256(path.read_bytes()).digest()
    return tuple(one._replace(file_hash=hashes[one.key, one.started_at]) for one in rows_of(scan(results).records))


def test_what_was_kept_is_what_would_be_read(results, decoded):
    first = read_rows(results)
    assert len(decoded) == 8
    later = read_rows(results)
    assert len(decoded) == 8, "each record is decoded once"
    assert first.rows == later.rows == truth(results)
    assert [row.as_dict() for row in later.rows] == [row.as_dict() for row in truth(results)]
    assert {place: source.record.key for place, source in later.sources.items()} == {
        row.identity: row.key for row in later.rows
    }


def test_the_committed_records_survive(decoded):
    first, later = read_rows(COMMITTED, history=True), read_rows(COMMITTED, history=True)
    assert len(decoded) == len(first.rows)
    assert first == later


def test_the_shipped_records_are_left_as_they_are(cache, tmp_path, monkeypatch):
    """They may lie in a folder that nobody may write to."""
    monkeypatch.chdir(tmp_path)
    before = sorted(COMMITTED.rglob("*"))
    first, later = read_rows(), read_rows()
    assert first == later
    assert NO_FOLDER in later.warnings
    assert len(list(cache.iterdir())) == 1
    assert sorted(COMMITTED.rglob("*")) == before


def test_a_file_that_changed_is_read_anew_though_its_name_size_and_time_are_the_same(records, results):
    path = save(records.make("fcn", p50_s=0.020), {}, results)
    before, when = path.read_bytes(), path.stat()
    read_rows(results)
    path.write_bytes(before.replace(b'"fcn"', b'"xyz"'))
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert path.stat().st_size == when.st_size
    assert {row.model for row in read_rows(results).rows} == {"unet", "xyz", "pidnet_s", "mean_label_map"}


@pytest.mark.skipif(os.name == "nt", reason="no time of the last change: every file is read")
def test_a_file_that_nobody_wrote_to_is_not_opened_again(results, monkeypatch):
    monkeypatch.setattr(kept, "SETTLED_S", float("-inf"))
    before = read_rows(results)
    monkeypatch.setattr(kept.store, "content", lambda path: pytest.fail(f"opened {path}"))
    assert read_rows(results) == before


@pytest.mark.skipif(os.name == "nt", reason="no time of the last change: every file is read")
def test_a_file_that_was_written_a_moment_ago_is_opened_again(results, monkeypatch):
    opened, real = [], kept.store.content
    monkeypatch.setattr(kept.store, "content", lambda path: opened.append(path) or real(path))
    read_rows(results)
    read_rows(results)
    assert len(opened) == 16, "a second write in the same tick would show in no time"


@pytest.mark.skipif(os.name == "nt", reason="no time of the last change: every file is read")
def test_the_time_of_the_last_change_tells_what_the_time_of_the_last_write_does_not(records, results, monkeypatch):
    monkeypatch.setattr(kept, "SETTLED_S", float("-inf"))
    path = save(records.make("fcn", p50_s=0.020), {}, results)
    before, when = path.read_bytes(), path.stat()
    read_rows(results)
    while path.stat().st_ctime_ns == when.st_ctime_ns:  # until the file system's clock went on
        path.write_bytes(before.replace(b'"fcn"', b'"xyz"'))
        os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (when.st_size, when.st_mtime_ns)
    assert "xyz" in {row.model for row in read_rows(results).rows}


def test_news_of_files_that_have_settled_are_kept(results, cache, decoded, monkeypatch):
    read_rows(results)
    (file,) = cache.iterdir()
    before = file.read_bytes()
    monkeypatch.setattr(kept, "SETTLED_S", float("-inf"))
    read_rows(results)
    assert file.read_bytes() != before
    assert len(decoded) == 8, "no record is decoded again for it"


def test_a_file_that_is_gone_or_damaged_is_no_row_any_more(records, results):
    gone, damaged = (save(records.make(name), {}, results) for name in ("gone", "damaged"))
    read_rows(results)
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-20])
    found = read_rows(results)
    assert found.rows == truth(results)
    assert len(found.warnings) == 1
    assert "damaged" in found.warnings[0]


def test_a_renamed_record_keeps_its_samples(records, results):
    path = save(records.make("fcn"), {}, results)
    read_rows(results)
    moved = path.rename(path.with_name("mine.json"))
    (row,) = (row for row in read_rows(results).rows if row.model == "fcn")
    assert read_rows(results).sources[row.identity].file == moved


def damage(file, how):
    content = file.read_bytes()
    if how == "empty":
        file.write_bytes(b"")
    elif how == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif how == "longer":
        file.write_bytes(content + b"x")
    elif how == "zeros":
        file.write_bytes(bytes(len(content)))
    elif how == "folder":
        file.unlink()
        file.mkdir()
    elif how == "code":  # whole, and says what it says with right hashes, but would run something
        body = pickle.dumps(os.getcwd)
        file.write_bytes(content[:32] + sha256(body).digest() + body)
    else:
        place = round(float(how) * (len(content) - 1))
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


@pytest.mark.parametrize(
    "how", ["empty", "cut", "longer", "zeros", "folder", "code", *("0", "0.02", "0.3", "0.5", "0.77", "1")]
)
def test_what_is_damaged_is_as_good_as_none(results, cache, how):
    read_rows(results)
    (file,) = cache.iterdir()
    damage(file, how)
    found = read_rows(results)
    assert (found.rows, found.warnings) == (truth(results), ())
    assert read_rows(results) == found


def test_another_zoo_takes_nothing_of_it(results, decoded, monkeypatch):
    read_rows(results)
    monkeypatch.setattr(kept, "_code", lambda: b"o" * 32)
    assert read_rows(results).rows == truth(results)
    assert len(decoded) == 16


def test_every_source_that_may_decide_a_row_is_part_of_the_code(tmp_path, monkeypatch):
    for name in ("record.py", "score/metrics.py", "published/figures.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.setattr(kept, "_PACKAGE", tmp_path)
    seen = {kept._code()}
    for file in sorted(tmp_path.rglob("*.py")):
        file.write_text("1")
        seen.add(kept._code())
    assert len(seen) == 4


def test_a_record_of_a_newer_zoo_stays_out(records, results):
    path = save(records.make("fcn"), {}, results)
    path.write_bytes(path.read_bytes().replace(f'"schema_version": {SCHEMA}'.encode(), b'"schema_version": 99'))
    for _ in range(2):
        found = read_rows(results)
        assert "fcn" not in {row.model for row in found.rows}
        assert "newer zoo" in found.warnings[0]


@pytest.mark.parametrize("where", ["a file", "closed"])
def test_a_cache_that_cannot_be_written_is_done_without(results, cache, decoded, monkeypatch, where):
    if where == "a file":
        cache.parent.write_text("")
    else:

        def closed(_contents):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(kept, "write_all", closed)
    assert read_rows(results) == read_rows(results)
    assert len(decoded) == 16


def test_nothing_is_written_for_the_few_records_of_a_cell(records, results, cache, monkeypatch):
    monkeypatch.setattr(kept, "LEAST", 50)
    read_rows(results)
    assert not cache.exists()
    monkeypatch.setattr(kept, "LEAST", 2)
    read_rows(results)
    (file,) = cache.iterdir()
    before = file.read_bytes()
    save(records.make("fcn"), {}, results)
    assert read_rows(results).rows == truth(results)
    assert file.read_bytes() == before
    save(records.make("enet"), {}, results)
    assert read_rows(results).rows == truth(results)
    assert file.read_bytes() != before


def test_folders_do_not_mix(records, results, tmp_path, cache):
    save(records.make("fcn"), {}, tmp_path / "other")
    for _ in range(2):
        assert read_rows(results).rows == truth(results)
        assert [row.model for row in read_rows(tmp_path / "other").rows] == ["fcn"]
    assert len(list(cache.iterdir())) == 2


@pytest.fixture
def forks(monkeypatch):
    """Three processes that share what is to be decoded, whatever threads there are here."""
    monkeypatch.setattr(kept, "MANY", 1)
    monkeypatch.setattr(kept, "PART", 2)
    monkeypatch.setattr(kept.forked, "process_count", lambda: 3)


FORKS = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
THREADS = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def mixed(records, results):
    """Beside the good ones what is damaged, foreign, too new, and not to be read."""
    for name, content in {"a": b"{", "b": b"[1]", "m": b'{"schema_version": 99}', "z": b""}.items():
        save(records.make(name), {}, results).write_bytes(content)
    save(records.make("folder"), {}, results).unlink()
    (results / "there.json").symlink_to(results / "gone")


@FORKS
@THREADS
def test_several_processes_read_what_one_would(records, results, decoded, cache, forks, monkeypatch):
    mixed(records, results)
    found = read_rows(results, history=True)
    assert decoded == [], "of the good ones none is left for this process"
    (file,) = cache.iterdir()
    later = read_rows(results, history=True)
    assert decoded == []
    file.unlink()
    monkeypatch.setattr(kept, "MANY", 1000)
    alone = read_rows(results, history=True)
    assert len(decoded) == len(alone.rows)
    assert len(alone.warnings) == 5
    assert found == later == alone
    assert [list(row.numbers) for row in found.rows] == [list(row.numbers) for row in alone.rows]


@FORKS
@THREADS
def test_what_a_process_that_dies_leaves_is_read_here(records, results, forks, monkeypatch):
    mixed(records, results)
    here, real = os.getpid(), kept._values

    def values(content, name, known_by):
        if os.getpid() != here and "pidnet" in name:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(content, name, known_by)

    monkeypatch.setattr(kept, "_values", values)
    found = read_rows(results)
    assert found.rows == truth(results)
    assert len(found.warnings) == 5


@FORKS
def test_where_no_process_can_be_started_this_one_reads_all(results, forks, monkeypatch):
    def none(*_):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(kept.forked.os, "fork", none)
    assert read_rows(results).rows == truth(results)


def test_no_readable_record_is_an_error_as_ever(tmp_path, cache):
    with pytest.raises(UserError, match="holds no records"):
        read_rows(tmp_path)
    assert not cache.exists()


READ = """
import os, signal, sys
from pathlib import Path
from zoo import files
from zoo.score import kept
from zoo.score.reading import read_rows
kept.LEAST = 1
if "--die" in sys.argv:
    files._to_disk = lambda path: os.kill(os.getpid(), signal.SIGKILL)
print(len(read_rows(Path(sys.argv[1])).rows))
"""


def read_in_a_process(results, *flags):
    return subprocess.run(
        [sys.executable, "-c", READ, results, *flags], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_while_it_is_written(results, cache):
    done = read_in_a_process(results, "--die")
    assert done.returncode == -signal.SIGKILL
    assert not [file for file in cache.iterdir() if not file.name.startswith(".")]
    assert read_rows(results).rows == read_rows(results).rows == truth(results)
    assert [file.name.startswith(".") for file in cache.iterdir()] == [False], "what was left there is gone"


def test_many_processes_at_once(results):
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: read_in_a_process(results), range(4)))
    assert [(one.returncode, one.stdout, one.stderr) for one in done] == [(0, f"{len(truth(results))}\n", "")] * 4
    assert read_rows(results).rows == truth(results)
