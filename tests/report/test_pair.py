"""The verdict on a pair, in words."""

import pytest

from zoo.record import Witness
from zoo.report.pair import Pair, show_pair


@pytest.fixture
def pair(record):
    """`pair(ratio, low, high, **changes)` of the same model in eager fp32 and in OpenVINO bf16."""
    one = record("unet")
    other = one.artifact.model_copy(update={"runtime": "openvino", "precision": "bf16"})

    def make(ratio, low, high, **changes):
        return Pair(
            **{
                "artifacts": (one.artifact, other),
                "device": one.device,
                "software": (one.software, one.software),
                "quick": False,
                "thread_count": 2,
                "turn_count": 100,
                "p50_s": (0.1, 0.1 * ratio),
                "ratio": ratio,
                "ratio_interval": (low, high),
                "warmup_settled": (True, True),
                "witness": Witness(foreign_load=0.0),
                **changes,
            }
        )

    return make


@pytest.mark.parametrize(
    ("ratio", "low", "high", "verdict", "sentence"),
    [
        (
            0.25,
            0.2,
            0.4,
            "faster",
            "unet openvino bf16 is 4.000x faster than unet eager fp32 (95 %: 2.500 to 5.000, 100",
        ),
        (
            1.05,
            1.04,
            1.06,
            "slower",
            "unet openvino bf16 is 1.050x slower than unet eager fp32 (95 %: 1.040 to 1.060, ",
        ),
        (1.0, 0.99, 1.01, "tie", "tie: unet openvino bf16 takes 1.000x the time of unet eager fp32 (95 %: 0.990 to "),
        (1.01, 1.0, 1.02, "tie", "tie: "),
    ],
)
def test_the_verdict_is_on_the_second_and_a_tie_holds_one(pair, ratio, low, high, verdict, sentence):
    found = pair(ratio, low, high)
    assert found.verdict == verdict
    assert show_pair(found).startswith(sentence)


def test_both_medians_and_the_condition_stand_below(pair):
    _, medians, condition = show_pair(pair(0.5, 0.49, 0.51)).splitlines()
    assert medians == "pipeline p50: unet eager fp32 100 ms, unet openvino bf16 50.0 ms"
    assert "batch 1 · 2 threads · weights: " in condition


def test_labels_name_what_differs(pair, record):
    artifact = record("unet").artifact
    assert pair(1.0, 0.9, 1.1, artifacts=(artifact, artifact)).labels == ("unet eager fp32 (A)", "unet eager fp32 (B)")
    small = artifact.model_copy(update={"input_size": (32, 64)})
    assert pair(1.0, 0.9, 1.1, artifacts=(artifact, small)).labels[1] == "unet eager fp32 32x64"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quick": True}, "QUICK"),
        ({"missing_weights": ("unet",)}, "a pair trains none"),
        ({"warmup_settled": (True, False)}, "warm-up of unet openvino bf16 did not settle"),
        (
            {"witness": Witness(foreign_load=0.7)},
            "other load 0.7 cores, which can weigh on one side more: close it (`zoo doctor --machine`",
        ),
        ({"witness": Witness(foreign_process_count=2)}, "2 other processes"),
        ({"witness": Witness(throttle_reasons=("heat",))}, "throttled (heat)"),
    ],
)
def test_what_speaks_against_the_verdict_is_said(pair, changes, words):
    assert words in show_pair(pair(0.5, 0.4, 0.6, **changes)).splitlines()[-1]
    assert words not in show_pair(pair(0.5, 0.4, 0.6))
