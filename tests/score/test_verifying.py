"""What is the same as published, what differs for a reason, and what for none."""

import pytest

from zoo.published import figures
from zoo.published.figures import Figure, Figures, quote
from zoo.record import Mode
from zoo.score.reading import rows_of
from zoo.score.rows import row
from zoo.score.verifying import Condition, conditions, verify_costs, verify_mious

REAL = {"dataset": "cityscapes", "output_size": (1024, 2048), "image_count": 500}
FULL = (1024, 2048)


@pytest.fixture
def published(records):
    """A record of PIDNet-S with mmseg's weights that reaches the published mIoU, or `by` more."""

    def published(by=0.0, model="pidnet_s", tag="mmseg", **changes):
        miou = quote(model, tag).claim.miou + by
        right = 2 * miou / (1 + miou)  # as many pixels a class, wrong ones spread evenly: IoU right / (2 - right)
        changes = {"source": "published", "tag": tag, "input_size": FULL, **REAL, **changes}
        return records.make(model, matrix=records.confusion(right, per_class=10**7), **changes)

    return published


@pytest.mark.parametrize(
    ("said", "counted", "why", "verdict"),
    [
        ("1000000", 1_000_000, "", "same"),
        ("1000000", 1_000_001, "", "unexplained"),
        ("1.00M", 1_009_000, "", "same"),
        ("1.00M", 1_011_000, "", "unexplained"),
        ("1.00M", 1_011_000, "other biases", "explained"),
        ("1.00M", 1_000_000, "other biases", "same"),
        ("1M", 1_400_000, "", "same"),
    ],
)
def test_parameters(monkeypatch, said, counted, why, verdict):
    monkeypatch.setitem(figures.FIGURES, "unet", Figures(params=Figure(said=said, source="https://a.org", why=why)))
    (condition,) = conditions(["unet"])
    assert condition == Condition("unet", 19, aux_heads=False, input_size=None)
    (line,) = verify_costs(["unet"], {condition: counted})
    assert (line.verdict, line.why) == (verdict, why if verdict == "explained" else "")
    assert line.difference == pytest.approx(counted / float(line.published) - 1)


@pytest.mark.parametrize(("counted", "verdict"), [(103e9, "same"), (104e9, "unexplained"), (None, "unexplained")])
def test_macs_at_their_input_size(monkeypatch, counted, verdict):
    macs = Figure(said="100G", source="https://a.org", input_size=(512, 1024), outputs=20, aux_heads=True)
    monkeypatch.setitem(figures.FIGURES, "unet", Figures(macs=macs))
    (line,) = verify_costs(["unet"], dict.fromkeys(conditions(["unet"]), counted))
    assert (line.verdict, line.of) == (verdict, "512x1024, 20 outputs, with auxiliary heads")


@pytest.mark.parametrize(
    ("by", "changes", "verdict", "why"),
    [
        (0.002, {}, "same", ""),
        (-0.01, {}, "unexplained", ""),
        (0.01, {}, "unexplained", ""),
        (-0.01, {"precision": "int8"}, "explained", "in int8"),
        (-0.2, {"precision": "int8"}, "unexplained", "in int8"),
        (-0.2, {"input_size": (512, 1024)}, "explained", "input 512x1024 here, 1024x2048 there"),
        (-0.01, {"image_count": 100}, "explained", "100 of 500 images"),
        (-0.01, {"mode": Mode(flip=True)}, "explained", "read flip here, whole there"),
    ],
)
def test_miou_of_published_weights(published, by, changes, verdict, why):
    line = verify_mious(["pidnet_s"], rows_of([published(by, **changes)]))[0]
    assert (line.verdict, line.why) == (verdict, why)
    assert line.difference == pytest.approx(by, abs=1e-5)


def test_windows_as_they_were_published_are_the_same_protocol(published):
    window = {"mode": Mode(window=(1024, 1024), stride=(768, 768))}
    assert row(published(model="segformer_b0", tag="smp-hub", **window)).published_why == ()
    whole = row(published(model="segformer_b0", tag="smp-hub"))
    assert whole.published_why == ("read whole here, slide 1024x1024, stride 768 there",)
    labels = row(published(model="erfnet", tag="eromera", input_size=(512, 1024)))
    assert labels.published_why == ("published: labels too at 512x1024",)


def test_a_run_is_another_training(records):
    trained = records.make("pidnet_s", right=0.5, step_count=200, input_size=FULL, **REAL)
    lines = verify_mious(["pidnet_s"], rows_of([trained]))
    assert [line.verdict for line in lines] == ["not measured", "not measured", "explained"]
    assert (lines[2].why, lines[2].of) == ("trained here for 200 steps", "run camvid_cpu, whole")


def test_the_row_that_is_nearest_in_protocol_counts(published):
    rows = rows_of([published(-0.001), published(-0.1, precision="int8", minutes=5)])
    assert verify_mious(["pidnet_s"], rows)[0].verdict == "same"


@pytest.mark.parametrize("changes", [{"dataset": "camvid"}, {"synthetic": True}, {"quick": True}])
def test_other_images_and_smoke_tests_verify_nothing(published, changes):
    assert {line.verdict for line in verify_mious(["pidnet_s"], rows_of([published(**changes)]))} == {"not measured"}
