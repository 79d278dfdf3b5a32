"""`zoo.score.filtering`: which rows are meant, by conditions, models and versions."""

from __future__ import annotations

import pytest

from zoo.errors import UserError
from zoo.record import MEAN_LABEL_MAP, Mode
from zoo.score.filtering import newest_versions, select
from zoo.score.rows import row


def test_select(records):
    rows = [
        row(record)
        for record in (
            records.make("a"),
            records.make("b", dataset="camvid", fingerprint="abcdef0123"),
            records.make("c", device="nvidia-h200", input_size=(512, 1024)),
            records.baseline(),
        )
    ]

    def names(**filters):
        return [row.model for row in select(rows, **filters)]

    assert names() == ["a", "b", "c", MEAN_LABEL_MAP]
    assert names(dataset="camvid") == ["b"]
    assert names(dataset="abcdef01") == ["b"]
    assert names(device="nvidia-h200") == ["c", MEAN_LABEL_MAP]
    assert names(input_size=(256, 512), dataset="streets") == ["a", MEAN_LABEL_MAP]
    with pytest.raises(
        UserError, match=r"no record with dataset 'camvit'. Did you mean 'camvid'\? There is: camvid, s"
    ):
        names(dataset="camvit")
    with pytest.raises(UserError, match=r"no record with input size '9x9'\. There is: 256x512, 512x1024"):
        names(input_size=(9, 9))
    rows.append(row(records.make("a", runtime="openvino", precision="int8")))
    assert names(runtime="openvino") == [MEAN_LABEL_MAP, "a"]
    assert names(precision="fp32", models=["a", "b"]) == ["a", "b", MEAN_LABEL_MAP]
    with pytest.raises(
        UserError, match=r"no record with runtime 'openvin'. Did you mean 'openvino'\? There is: eager, o"
    ):
        names(runtime="openvin")
    with pytest.raises(UserError, match=r"no record with model 'd'. .*There is: a, b, c"):
        names(models=["a", "d"])


def test_several_values_of_a_condition_mean_any_of_them(records):
    rows = [row(records.make(name, precision=precision)) for name in ("a", "b") for precision in ("fp32", "bf16")]
    assert len(select(rows, precision=["fp32", "bf16"])) == 4
    assert [one.model for one in select(rows, precision=["bf16"], batch_size=1)] == ["a", "b"]
    assert len(select(rows, batch_size="1", input_size="256x512", quick=False, split="val")) == 4
    with pytest.raises(UserError, match=r"no record with precision 'int8'. .*There is: bf16, fp32"):
        select(rows, precision=["fp32", "int8"])
    with pytest.raises(UserError, match=r"no column 'presision'. Did you mean 'precision'\? Allowed: device, "):
        select(rows, presision="fp32")
    with pytest.raises(UserError, match="no record that is asked for is a smoke test"):
        select(rows, quick=True)


def test_models_are_named_by_globs_and_tags(records):
    rows = [row(records.make(name)) for name in ("unet", "fcn_resnet50", "fcn8s_vgg16", "of_mine")]
    rows.append(row(records.baseline()))

    def names(*models):
        return [one.model for one in select(rows, models=models) if not one.baseline]

    assert names("fcn*") == ["fcn_resnet50", "fcn8s_vgg16"]
    assert names("unet", "of_*") == ["unet", "of_mine"]
    assert names("all") == ["unet", "fcn_resnet50", "fcn8s_vgg16", "of_mine"]
    assert "unet" in names("core")
    assert "of_mine" not in names("core")
    with pytest.raises(UserError, match=r"no record with model 'vit\*'"):
        names("vit*")


def test_rows_without_a_dataset_are_called_none(records):
    rows = [row(records.make("a")), row(records.make("b", right=None, dataset=None)), row(records.baseline())]
    assert [one.model for one in select(rows, dataset="none")] == ["b"]
    assert [one.model for one in select(rows, dataset=["none", "streets"], models=["*"])] == ["a", "b", MEAN_LABEL_MAP]
    with pytest.raises(UserError, match="There is: none, streets"):
        select(rows, dataset="camvid")


@pytest.fixture
def corrected(records):
    """The dataset of two rows was corrected after the first."""
    return [
        row(records.make("a", fingerprint="0123456789abcdef")),
        row(records.make("a", fingerprint="fedcba9876543210", minutes=5)),
        row(records.make("b", fingerprint="0123456789abcdef", minutes=3)),
        row(records.baseline(fingerprint="fedcba9876543210")),
    ]


def test_a_version_of_a_dataset_is_named_by_digits_of_its_fingerprint(corrected):
    for asked in ("streets@0123", "streets@0123456789abcdef", "012345", ["streets@0123"]):
        assert [one.model for one in select(corrected, dataset=asked)] == ["a", "b"]
    assert len(select(corrected, dataset="streets")) == 4
    assert [one.model for one in select(corrected, dataset="streets@fe")] == ["a", MEAN_LABEL_MAP]
    with pytest.raises(UserError, match=r"There is: streets@01234567, streets@fedcba98$"):
        select(corrected, dataset="streets@77")
    with pytest.raises(UserError, match="no record with dataset '0123'"):
        select(corrected, dataset="0123")


def test_the_version_measured_last_is_kept(corrected, records):
    kept, (note,) = newest_versions(corrected[:3])
    assert [(one.model, one.dataset_fingerprint[:2]) for one in kept] == [("a", "fe")]
    assert note == (
        "dataset streets is here in several versions: the one measured last is taken, streets@fedcba98; "
        "name another with --dataset (streets@01234567)"
    )
    recipes = [row(records.make("a", recipe_hash=digits * 12, minutes=int(digits))) for digits in "231"]
    kept, (note,) = newest_versions(recipes)
    assert [one.recipe_hash[0] for one in kept] == ["3"]
    assert "name another with --recipe (camvid_cpu@22222222, camvid_cpu@11111111)" in note
    elsewhere = [corrected[0], row(records.make("a", device="nvidia-h200", fingerprint="fedcba9876543210"))]
    assert newest_versions(elsewhere) == (elsewhere, ()), "another device's rows give way to none"


def test_weights_are_named_by_label_or_kind(records):
    rows = [
        row(records.make("a")),
        row(records.make("b", recipe="long", recipe_hash="0" * 12)),
        row(records.make("c", source="published", tag="zh320")),
        row(records.make("d", source="own")),
        row(records.make("e", right=None)),
        row(records.baseline()),
    ]

    def names(**filters):
        return [one.model for one in select(rows, **filters) if not one.baseline]

    assert names(weights="run") == ["a", "b"]
    assert names(weights="run long") == names(recipe="long") == names(recipe_hash="0" * 12) == ["b"]
    assert names(weights=["published", "own"]) == ["c", "d"]
    assert names(weights="published zh320") == ["c"]
    assert names(weights="random") == ["e"]
    assert [one.model for one in select(rows, weights="own")][-1] == MEAN_LABEL_MAP, "the baseline follows its images"
    with pytest.raises(
        UserError, match=r"weights 'publishd'. Did you mean .* There is: own, published zh320, random, run c"
    ):
        names(weights="publishd")
    with pytest.raises(UserError, match="no record with weights 'ru'"):
        names(weights="ru")


def test_a_mode_is_asked_for_by_its_name(records):
    mode = Mode(window=(64, 64), stride=(42, 42), flip=True)
    rows = [row(records.make("a")), row(records.make("b", mode=mode))]
    assert [one.model for one in select(rows, mode="whole")] == ["a"]
    assert [one.model for one in select(rows, mode="window 64x64 stride 42x42 + flip")] == ["b"]


def test_versions_of_a_recipe_give_way_but_neither_other_recipes_nor_other_weights(records):
    rows = [
        row(records.make("a", recipe_hash="1" * 12)),
        row(records.make("b", recipe_hash="2" * 12, minutes=5)),
        row(records.make("a", recipe="long", recipe_hash="3" * 12)),
        row(records.make("a", source="published", tag="zh320")),
        row(records.make("a", source="file", tag="net.pth", minutes=9)),
        row(records.make("a", right=None)),
    ]
    kept, (note,) = newest_versions(rows)
    assert sorted(one.weights for one in kept) == [
        *("file net.pth", "published zh320", "random", "run camvid_cpu", "run long"),
    ]
    assert [one.model for one in kept if one.recipe == "camvid_cpu"] == ["b"]
    assert note.startswith("recipe camvid_cpu is here in several versions: ")
    assert note.endswith("taken, camvid_cpu@22222222; name another with --recipe (camvid_cpu@11111111)")
