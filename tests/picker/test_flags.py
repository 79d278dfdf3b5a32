"""What a person types to choose from one group of several."""

from __future__ import annotations

import pytest

from zoo.picker.candidates import flags_of
from zoo.score.comparing import group_of
from zoo.score.rows import row


@pytest.mark.parametrize(
    ("changes", "flags", "others_flags"),
    [
        ({"device": "other"}, [], []),
        ({"quick": True}, [], ["--where quick=yes"]),
        ({"protocol": "zoo-lat/2"}, [], ["--where protocol=zoo-lat/2"]),
        ({"mode": "slide"}, [], ["--where mode=slide"]),
        ({"dataset": "camvid"}, ["--dataset streets"], ["--dataset camvid"]),
        ({"dataset_fingerprint": "1" * 64}, ["--dataset streets@ffffffff"], ["--dataset streets@11111111"]),
        ({"batch_size": 8, "thread_count": 1}, ["--batch 1"], ["--batch 8"]),
        ({"rate_hz": 10.0, "protocol": "zoo-paced/1"}, [], ["--rate 10"]),
    ],
)
def test_a_group_is_asked_for_by_what_tells_it_from_those_beside_it(records, changes, flags, others_flags):
    group = group_of(row(records.make("a")))._replace(dataset="streets", dataset_fingerprint="f" * 64)
    other = group._replace(**changes)
    for one, wanted in ((group, flags), (other, others_flags)):
        assert flags_of(one, [group, other]) == [f"--device {one.device}", *wanted]
