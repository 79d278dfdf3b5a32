"""`zoo.score.fields`: one table of conditions, from which flags, filters and markers are made."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zoo.report.markdown import FILTERS
from zoo.score.comparing import Group
from zoo.score.fields import FIELDS, flag_for
from zoo.score.rows import Row
from zoo.score.sides import CONDITIONS, RARE


def test_every_condition_is_a_field_of_a_row_and_every_border_a_condition():
    assert FIELDS.keys() <= set(Row._fields)
    assert set(Group._fields) <= FIELDS.keys(), "what keeps rows apart can be asked for"
    for field in FIELDS.values():
        assert not field.version or FIELDS[field.version].is_hash
    assert sorted((*CONDITIONS, *RARE)) == sorted(FIELDS)
    assert set(FIELDS) <= set(FILTERS), "and by a page's marker"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("device", "cpu", "--device cpu"),
        ("weights", "run camvid_cpu", "--weights 'run camvid_cpu'"),
        ("output_size", "64x64", "--where output_size=64x64"),
        ("mode", "scales 0.5 1 + flip", "--where 'mode=scales 0.5 1 + flip'"),
    ],
)
def test_what_a_person_types_to_ask_for_a_value(name, value, said):
    assert flag_for(name, value) == said


def test_the_command_line_reads_it_before_any_record():
    asks = "import sys, zoo.score.fields; sys.exit(bool({'pydantic', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", asks], check=False, timeout=60).returncode == 0
