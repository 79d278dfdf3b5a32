"""`zoo.frames`: what a name tells, and what it does not."""

from __future__ import annotations

import pytest

from zoo.frames import sequence_of, shared_sequences


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("frankfurt_000000_000294", "frankfurt_000000"),
        ("bad-honnef_000000_000000", "bad-honnef_000000"),
        ("old_town_000003_000019", "old_town_000003"),
        ("cam0016e5_000000_007965", "cam0016e5_000000"),
        ("synth01_000003_000019", "synth01_000003"),
        ("harbour_0001", None),
        ("2007_000032", None),
        ("2007_000032_000001", None),
        ("0016E5_08159", None),
        ("img_12_34", None),
        ("frame000001", None),
        ("_000000_000001", None),
        ("frankfurt_000000_000294_x", None),
        ("", None),
    ],
)
def test_only_three_parts_tell_a_sequence(name, sequence):
    assert sequence_of(name) == sequence


def test_what_two_splits_share():
    ulm, bonn = [[f"{city}_00000{seq}_00000{seq}" for seq in (1, 2)] for city in ("ulm", "bonn")]
    assert shared_sequences(ulm, bonn) == ()
    assert shared_sequences(ulm, [*bonn, ulm[1]]) == ("ulm_000002",)
    assert shared_sequences(["2007_000032"], ["2007_000033"]) is None
    assert shared_sequences(ulm, ["2007_000033"]) is None
    assert shared_sequences([*ulm, "2007_000032"], [ulm[0], "2007_000033"]) == ("ulm_000001",)
    assert shared_sequences(["2007_000032"], []) == ()
