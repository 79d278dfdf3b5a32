"""Memory and disk."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from zoo.measure.checkup import space

GIB = 2**30


@pytest.mark.parametrize(
    ("spare", "swapped", "severities"),
    [(8, 0, []), (3, 0, ["warning"]), (0.5, 0, ["error"]), (8, 1, ["note"]), (3, 1, ["warning", "warning"])],
)
def test_memory(monkeypatch, spare, swapped, severities):
    monkeypatch.setattr(space, "spare_bytes", lambda: int(spare * GIB))
    monkeypatch.setattr(space.psutil, "virtual_memory", lambda: SimpleNamespace(total=16 * GIB))
    monkeypatch.setattr(space.psutil, "swap_memory", lambda: SimpleNamespace(used=swapped * GIB))
    look = space.memory()
    assert [finding.severity for finding in look.findings] == severities
    assert look.seen == f"{spare:.1f} GiB free of 16.0 GiB{', 1.0 GiB swapped out' if swapped else ''}"


def test_a_system_that_does_not_tell_of_swapping(monkeypatch):
    def refuse():
        raise OSError("no /proc/vmstat")

    monkeypatch.setattr(space, "spare_bytes", lambda: 8 * GIB)
    monkeypatch.setattr(space.psutil, "swap_memory", refuse)
    assert space.memory().findings == ()


@pytest.mark.parametrize(("free", "severities"), [(50, []), (2, ["warning"]), (0.1, ["error"])])
def test_folders_on_one_disk_are_one_disk_even_if_they_are_not_there_yet(tmp_path, monkeypatch, free, severities):
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: SimpleNamespace(free=int(free * GIB)))
    look = space.disk({"records": tmp_path / "results" / "deep", "the cache": tmp_path})
    assert look.seen == f"{free:.1f} GiB for records, the cache"
    assert [finding.severity for finding in look.findings] == severities
