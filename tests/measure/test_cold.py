"""Cold starts: a program in fresh processes, and what becomes of one that fails."""

import numpy as np
import pytest

from zoo.errors import ModelError
from zoo.measure import cold
from zoo.measure.cold import measure_cold
from zoo.runtimes.base import Snippet

IMAGE = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
LABELS = Snippet(
    imports="import os\n",
    load="file = open(given.decode()).read()\n",
    call="labels = image[0, :, :, 0] + len(file)\nos.write(2, b'a word of a library')\nprint('another')\n",
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model"
    path.write_text("weights")
    return path


def test_each_start_is_split_into_import_load_and_first_call(file, monkeypatch):
    forgotten = []
    monkeypatch.setattr(cold, "_forget", forgotten.append)
    starts = measure_cold(LABELS, IMAGE, [file], given=str(file).encode(), quick=False)
    assert len(starts) == cold.COUNT
    assert forgotten == [file] * cold.COUNT
    assert len(measure_cold(LABELS, IMAGE, given=str(file).encode(), quick=True)) == 1
    for start in starts:
        assert min(start.import_s, start.load_s, start.first_call_s) > 0
        assert start.total_s == start.import_s + start.load_s + start.first_call_s


def test_a_process_is_a_fresh_one(file, tmp_path):
    """It holds nothing of this one's modules, and leaves nothing behind for the next."""
    fresh = Snippet(
        imports="import sys, os\nassert not {'zoo', 'torch', 'pytest'} & set(sys.modules)\n",
        load="assert 'ZOO_SEEN' not in os.environ\nos.environ['ZOO_SEEN'] = '1'\n",
        call=f"labels = image[0, :, :, 0]\nopen({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}} ')\n",
    )
    measure_cold(fresh, IMAGE, quick=False)
    assert len(set((tmp_path / "pids").read_text().split())) == cold.COUNT


def test_none_is_begun_when_starts_take_long(file, monkeypatch):
    monkeypatch.setattr(cold, "ENOUGH_S", 0.0)
    assert len(measure_cold(LABELS, IMAGE, given=str(file).encode(), quick=False)) == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("raise ValueError('no such file')", "a fresh process came to no label map: ValueError: no such file"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL"),
        ("import os; os._exit(3)", "exit code 3"),
        ("labels = image[0]", r"AssertionError: \(4, 6, 3\)"),
    ],
)
def test_one_that_comes_to_no_label_map_says_why_in_one_line(call, said):
    with pytest.raises(ModelError, match=said) as caught:
        measure_cold(Snippet("", "", call), IMAGE, quick=False)
    assert "\n" not in str(caught.value)


def test_the_pages_of_a_file_go_and_the_file_stays(file, tmp_path):
    cold._forget(file)
    assert file.read_text() == "weights"
    cold._forget(tmp_path / "none")
