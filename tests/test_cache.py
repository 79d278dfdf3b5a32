"""`zoo.cache` and `zoo cache`: what is listed, what goes, and what is in use stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from zoo import cache, files, locks
from zoo.cache import cache_folder, choose, clear, entries, use
from zoo.cli.main import main
from zoo.data.layout import open_dataset
from zoo.data.prepared import prepare
from zoo.errors import UserError

DAY_S = 86400
USER = """
import sys, time
from pathlib import Path
from zoo import cache, locks
{lack}
cache.use(Path(sys.argv[1]))
print("there", flush=True)
time.sleep(600)
"""


@pytest.fixture
def root(tmp_path):
    """A cache of every kind: each entry twice as old and twice as large as the one before."""
    root = tmp_path / "cache"
    names = ("synthetic-v1", "prepared/town-train-0", "prepared/town-train-1", "artifacts/aaaa", "inductor")
    for index, name in enumerate(names):
        folder = root / name / "inside"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * (1000 << index))
        then = time.time() - DAY_S * (1 << index)
        for path in (folder / "file", folder, folder.parent):
            os.utime(path, (then, then))
    (root / "somebody's").mkdir()
    return root


def names(found):
    return [entry.folder.name for entry in found]


def test_every_entry_has_its_kind_size_and_last_use(root):
    found = entries(root)
    assert names(found) == ["inductor", "aaaa", "town-train-1", "town-train-0", "synthetic-v1"], "longest unused first"
    assert [entry.kind for entry in found] == ["kernels", "built", "prepared", "prepared", "streets"]
    assert [entry.bytes for entry in found] == [16000, 8000, 4000, 2000, 1000]
    for entry, days in zip(found, (16, 8, 4, 2, 1), strict=True):
        assert abs(datetime.now(UTC) - entry.used_at - timedelta(days=days)) < timedelta(minutes=5)
    assert not any(entry.in_use for entry in found)
    assert entries(root / "none") == []
    (root / "file").write_text("")
    with pytest.raises(UserError, match="file is a file; name the folder of the cache with --cache"):
        entries(root / "file")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["inductor", "aaaa", "town-train-1", "town-train-0", "synthetic-v1"]),
        ({"kinds": ["prepared", "streets"]}, ["town-train-1", "town-train-0", "synthetic-v1"]),
        ({"older_than_s": 3 * DAY_S}, ["inductor", "aaaa", "town-train-1"]),
        ({"larger_than_bytes": 8000}, ["inductor", "aaaa"]),
        ({"to_bytes": 31000}, []),
        ({"to_bytes": 30999}, ["inductor"]),
        ({"to_bytes": 8000}, ["inductor", "aaaa"]),
        ({"to_bytes": 0, "kinds": ["prepared"], "older_than_s": 3 * DAY_S}, ["town-train-1"]),
        ({"kinds": ["kernels"], "older_than_s": 30 * DAY_S}, []),
    ],
)
def test_what_goes_meets_all_that_is_asked(root, asked, expected):
    assert names(choose(entries(root), **asked)) == expected


def test_what_goes_is_gone_and_nothing_else(root):
    before = entries(root)
    gone = clear(choose(before, kinds=["prepared"], older_than_s=3 * DAY_S))
    assert names(gone) == ["town-train-1"]
    assert [entry.folder for entry in entries(root)] == [entry.folder for entry in before if entry not in gone]
    assert (root / "somebody's").is_dir()
    assert [path.name for path in (root / "prepared").iterdir()] == ["town-train-0"]
    assert clear(gone) == [], "gone already"


@pytest.mark.parametrize("lack", ["", "locks.fcntl = None"], ids=["flock", "no flock"])
def test_what_a_living_process_uses_stays(root, monkeypatch, lack):
    if lack:
        monkeypatch.setattr(locks, "fcntl", None)
    used = root / "prepared" / "town-train-1"
    command = [sys.executable, "-c", USER.format(lack=lack), str(used)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    found = {entry.folder.name: entry for entry in entries(root)}
    assert [name for name, entry in found.items() if entry.in_use] == ["town-train-1"]
    assert datetime.now(UTC) - found["town-train-1"].used_at < timedelta(minutes=5), "it was used just now"
    assert "town-train-1" not in names(choose(found.values(), to_bytes=0))
    assert clear([found["town-train-1"]]) == [], "also when it was begun to be used after it was looked at"
    assert (used / "inside" / "file").is_file()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not any(entry.in_use for entry in entries(root))
    assert names(clear(entries(root))) == names(found.values()) or len(entries(root)) == 0
    assert not list(root.rglob(".zoo-*"))


def test_a_dataset_and_its_prepared_split_are_in_use(tmp_path):
    place = tmp_path / "cache"
    prepare(open_dataset(None, cache=place), "train", cache=place)
    assert {(entry.kind, entry.in_use) for entry in entries(place)} == {("streets", True), ("prepared", True)}
    assert clear(choose(entries(place))) == []


def test_a_cache_that_cannot_be_written_can_be_used(tmp_path, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache, "take", refuse)
    use(tmp_path / "prepared" / "x")


def test_use_and_leftovers_are_no_entries(root):
    use(root / "prepared" / "other")
    with files.draft_in(root / "prepared"):
        assert len(entries(root)) == 5


def test_the_command_lists_then_clears(root, capsys):
    def ask(*flags):
        assert main(["cache", "--cache", str(root), *flags]) == 0
        return capsys.readouterr().out

    listed = ask()
    assert "4 days ago" in listed
    assert listed.endswith(f"5 entries, 0.0 MiB in {root}\n")
    would = ask("--older-than", "3d", "--kind", "prepared", "--kind", "built")
    assert "town-train-1" in would
    assert "aaaa" in would
    assert "town-train-0" not in would
    assert "--clear would remove 2 entries, 0.0 MiB of 5 entries" in would
    assert len(entries(root)) == 5, "nothing went yet"
    assert "removed 2 entries" in ask("--older-than", "3d", "--kind", "prepared", "--kind", "built", "--clear")
    assert [entry["kind"] for entry in json.loads(ask("--format", "json"))] == ["kernels", "prepared", "streets"]
    assert "removed 1 entry" in ask("--larger-than", "10kB", "--clear")
    assert "removed 1 entry" in ask("--to", "1kB", "--clear")
    assert names(entries(root)) == ["synthetic-v1"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--older-than", "soon"], "a duration is"),
        (["--larger-than", "big"], "memory is a number with its unit"),
        (["--kind", "weights"], "invalid choice"),
    ],
)
def test_a_mistake_is_one_line(root, flags, words, capsys):
    try:
        code = main(["cache", "--cache", str(root), *flags])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert words in capsys.readouterr().err


def test_the_environment_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("ZOO_CACHE")
    assert cache_folder().name == "zoo"
