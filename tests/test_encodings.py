"""What the values of another program's label maps are taken for, by folders as people have them."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from PIL import Image

from zoo.counting import accuracy_record
from zoo.data.layout import open_dataset
from zoo.data.reading import read_label
from zoo.data.synthetic import write_dataset
from zoo.errors import UserError
from zoo.label_maps import evaluate_predictions
from zoo.labels import CITYSCAPES
from zoo.report.accuracy import show_accuracy
from zoo.score.accuracy import miou, pixel_accuracy

K = CITYSCAPES.num_classes
VOID = 255


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    root = tmp_path_factory.mktemp("streets")
    return open_dataset(write_dataset(root / "data", image_size=(64, 128), train_count=1, val_count=3, seed=3))


@pytest.fixture(scope="module")
def truths(streets):
    """Train ids `(H, W)` of every frame of val, 255 among them."""
    return [read_label(frame, streets.spec) for frame in streets.frames("val")]


@pytest.fixture
def score(streets, tmp_path):
    """`score(maps, encoding, void=…)`: the result for maps `(H, W)`, `(H, W, 3)` or Pillow images in val's order."""

    def score(maps, encoding="auto", *, dataset=streets, **options):
        (tmp_path / "out").mkdir(exist_ok=True)
        for frame, values in zip(dataset.frames("val"), maps, strict=True):
            image = values if isinstance(values, Image.Image) else Image.fromarray(values)
            image.save(tmp_path / "out" / f"{frame.name}.png")
        return evaluate_predictions(tmp_path / "out", dataset, "val", encoding, **options)

    return score


def named(values, table, void):
    """Train ids as other numbers: class k as `table[k]`, 255 as `void`."""
    look_up = np.full(256, void, np.uint8)
    look_up[: len(table)] = table
    return [look_up[value] for value in values]


def paletted(values, colors):
    image = Image.fromarray(values).convert("P")
    image.putdata(values.ravel())
    image.putpalette(np.array(colors, np.uint8).ravel().tolist())
    return image


IDS = range(K)
BY_LABEL_ID = [label for label, train_id in CITYSCAPES.label_to_train_id.items() if train_id != VOID]
SHUFFLED = [(7 * k + 3) % K for k in IDS]
COLORS = [*CITYSCAPES.class_colors, (0, 0, 0)]

FOLDERS = {
    "19 for none": (lambda maps: named(maps, IDS, 19), "trainIds", [19]),
    "20 for none": (lambda maps: named(maps, IDS, 20), "trainIds", [20]),
    "254 for none": (lambda maps: named(maps, IDS, 254), "trainIds", None),
    "255 for none": (lambda maps: maps, "trainIds", []),
    "none left out": (lambda maps: named(maps, IDS, 0), "trainIds", []),
    "counted from 1": (lambda maps: named(maps, range(1, 20), 0), "trainIds+1", []),
    "counted from 1, 255 for none": (lambda maps: named(maps, range(1, 20), 255), "trainIds+1", []),
    "label ids": (lambda maps: named(maps, BY_LABEL_ID, 0), "labelIds", []),
    "label ids, 255 for none": (lambda maps: named(maps, BY_LABEL_ID, 255), "labelIds", [255]),
    "palette of train ids": (lambda maps: [paletted(m, COLORS) for m in named(maps, IDS, 19)], "trainIds", [19]),
    "palette in another order": (
        lambda maps: [
            paletted(m, [COLORS[SHUFFLED.index(k)] for k in IDS] + [(0, 0, 0)]) for m in named(maps, SHUFFLED, 19)
        ],
        "colors",
        [],
    ),
    "colours": (lambda maps: [np.array(COLORS, np.uint8)[m] for m in named(maps, IDS, 19)], "colors", []),
    "opaque colours": (
        lambda maps: [np.array([(*color, 255) for color in COLORS], np.uint8)[m] for m in named(maps, IDS, 19)],
        "colors",
        [],
    ),
    "16 bits": (lambda maps: [m.astype(np.uint16) for m in named(maps, IDS, 19)], "trainIds", [19]),
    "three equal channels": (lambda maps: [np.stack([m] * 3, axis=2) for m in named(maps, IDS, 19)], "trainIds", [19]),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_the_truth_as_other_programs_write_it_is_right(score, truths, case):
    write, encoding, void = FOLDERS[case]
    if void is None:
        with pytest.raises(
            UserError, match=r"holds 254, no value of .*; if it means none of the classes, give --void 254"
        ):
            score(write(truths))
        result = score(write(truths), void=[254])
        void = [254]
    else:
        result = score(write(truths))
    assert miou(result.confusion) == 1
    assert result.reading.encoding == encoding
    assert (result.reading.asked, result.reading.void, result.reading.doubts) == (False, tuple(void), ())
    assert result.instances is not None, "as iIoU is counted"


def test_none_of_the_classes_is_a_miss_by_the_protocol(score, truths):
    holes = [truth.copy() for truth in truths]
    for hole in holes:
        hole[20:40, 30:90] = VOID
    plain = score(holes, "trainIds")
    assert pixel_accuracy(plain.confusion) < 1
    for none in (19, 20, 200):
        guessed = score(named(holes, IDS, none), **({} if none < 200 else {"void": [200]}))
        said = score(named(holes, IDS, none), "trainIds", void=[none])
        for result in (guessed, said):
            np.testing.assert_array_equal(result.confusion, plain.confusion)
            np.testing.assert_array_equal(result.instances, plain.instances)
            assert result.reading.void == (none,)
    assert said.reading.asked


def test_several_values_may_mean_none(score, truths):
    maps = named(truths, IDS, 19)
    for value, some in zip((20, 77, 255), maps, strict=True):
        some[:4] = value
    result = score(maps, void=[255, 77, 20, 19, 19])
    expected = [truth.copy() for truth in truths]
    for some in expected:
        some[:4] = VOID
    np.testing.assert_array_equal(result.confusion, score(expected, "trainIds").confusion)
    assert (result.reading.encoding, result.reading.void) == ("trainIds", (19, 20, 77, 255))


def test_what_is_asked_for_is_done_and_doubted(score, truths):
    result = score(named(truths, IDS, 19), "labelIds")
    assert pixel_accuracy(result.confusion) < 0.1
    assert (result.reading.encoding, result.reading.asked) == ("labelIds", True)
    assert result.reading.right_as["trainIds"] == 1
    (first, *_) = result.reading.doubts
    assert first == "100.0 % would be right as trainIds; if that is meant, give --encoding trainIds --void 19"
    with pytest.raises(
        UserError, match=r"holds 19, no value of trainIds; if it means none of the classes, give --void 19"
    ):
        score(named(truths, IDS, 19), "trainIds")


def test_classes_in_another_order_are_seen(score, truths):
    result = score(named(truths, SHUFFLED, 255))
    (doubt,) = result.reading.doubts
    assert doubt.startswith("100.0 % would be right if values meant")
    for train_id in np.unique(np.concatenate([truth.ravel() for truth in truths]))[:-1]:
        assert f"{SHUFFLED[train_id]} → {CITYSCAPES.class_names[train_id]}" in doubt


def test_another_order_is_told_where_no_reading_can_be_taken(score, truths):
    with pytest.raises(
        UserError, match=r"does not tell: .*100.0 % would be right if values meant .*another order"
    ) as caught:
        score(named(truths, [(k + 5) % K for k in IDS], 0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["table", "md", "json"])
def test_every_output_names_what_was_taken(score, streets, truths, form):
    result = score(named(truths, IDS, 19))
    text = show_accuracy(accuracy_record(result, streets, "val"), form, reading=result.reading)
    if form == "json":
        reading = json.loads(text)["reading"]
        assert (reading["encoding"], reading["void"], reading["asked"]) == ("trainIds", [19], False)
        assert reading["right_as"]["labelIds"] < 0.1
        return
    assert "values read as trainIds, 19 as none of the classes: 100.0 % of the counted pixels are right; " in text
    assert "they fit others too: " in text
    assert " % as labelIds" in text
    asked = score(named(truths, IDS, 19), "labelIds")
    text = show_accuracy(accuracy_record(asked, streets, "val"), form, reading=asked.reading)
    assert "values read as labelIds, as asked: " in text
    assert "caution: 100.0 % would be right as trainIds" in text
    only = score(named(truths, BY_LABEL_ID, 0))
    text = show_accuracy(accuracy_record(only, streets, "val"), form, reading=only.reading)
    assert "values read as labelIds, the only encoding they fit\n" in text


def test_markdown_has_the_classes_and_their_mean(score, streets, truths):
    result = score(truths)
    lines = show_accuracy(accuracy_record(result, streets, "val"), "md", reading=result.reading).splitlines()
    assert lines[0] == "| class | IoU % | recall % | iIoU % | pixels % |"
    assert any(line.startswith("| mean | 100.0 |") for line in lines)


@pytest.mark.parametrize(
    ("encoding", "void", "message"),
    [
        (
            "labelIds",
            [19],
            "void 19 cannot mean none of the classes: 19 is traffic light in labelIds; give other values",
        ),
        ("trainIds", [5], "void 5 cannot mean none of the classes: 5 is pole in trainIds"),
        ("auto", [8], "8 is sidewalk in labelIds, 8 is vegetation in trainIds, 8 is traffic sign in trainIds\\+1"),
        ("auto", [256], "values that mean none of the classes are 0 to 255, as label maps hold; got 256"),
        ("colors", [19], "colours have no values, and void is 19"),
    ],
)
def test_void_that_cannot_be(score, truths, encoding, void, message):
    with pytest.raises(UserError, match=message):
        score(truths, encoding, void=void)


def test_void_leaves_the_encodings_in_which_it_is_a_class(score, truths):
    noise = np.random.default_rng(0).integers(0, 19, (3, 64, 128)).astype(np.uint8)
    result = score(noise, void=[19])
    assert (result.reading.encoding, result.reading.right_as) == ("trainIds", {})


COLOURFUL = {
    "a colour of no class": (
        np.full((64, 128, 3), (1, 2, 3), np.uint8),
        r"holds colour \[1, 2, 3\], which is no class's",
    ),
    "a photograph": (
        np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8),
        "colours of no class: a label map has one colour for each class; this is a photograph",
    ),
}


@pytest.mark.parametrize("case", COLOURFUL)
def test_colours_that_are_no_classes(score, truths, case):
    picture, message = COLOURFUL[case]
    maps = [np.array(COLORS, np.uint8)[m] for m in named(truths, IDS, 19)]
    for encoding in ("auto", "colors"):
        with pytest.raises(UserError, match=message) as caught:
            score([*maps[:2], picture], encoding)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="holds numbers, which is no class's colour in cityscapes"):
        score(truths, "colors")


OWN = """
name = "harbour"
ignored = [0]
[[classes]]
name = "water"
color = [0, 90, 180]
values = [1]
[[classes]]
name = "quay"
color = [90, 90, 90]
values = [2]
[[classes]]
name = "ship"
color = [200, 0, 0]
values = [3, 9]
"""


@pytest.fixture
def harbour(tmp_path):
    """Three frames of classes of one's own: values 1, 2, 3 and 9, 0 for none; quarters of each."""
    root = tmp_path / "harbour"
    values = np.repeat([1, 2, 3, 9, 0], 8).astype(np.uint8)[None].repeat(16, axis=0)
    for number in range(3):
        for kind, end, pixels in (
            ("leftImg8bit", "leftImg8bit", np.zeros((16, 40, 3), np.uint8)),
            ("gtFine", "gtFine_labelIds", values),
        ):
            path = root / kind / "val" / "port" / f"port_000000_00000{number}_{end}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (root / "classes.toml").write_text(OWN)
    return open_dataset(root)


OWN_FOLDERS = {
    "its own values": ([1, 2, 3], 0, "labelIds", ()),
    "its own values, 255 for none": ([1, 2, 3], 255, "labelIds", (255,)),
    "the classes' numbers": ([0, 1, 2], 255, "trainIds", ()),
    "the classes' numbers, one more for none": ([0, 1, 2], 3, "trainIds", (3,)),
    "the other value of a class": ([1, 2, 9], 0, "labelIds", ()),
}


@pytest.mark.parametrize("case", OWN_FOLDERS)
def test_own_classes_have_their_own_values(score, harbour, case):
    table, none, encoding, void = OWN_FOLDERS[case]
    maps = named([read_label(frame, harbour.spec) for frame in harbour.frames("val")], table, none)
    result = score(maps, dataset=harbour)
    assert miou(result.confusion) == 1
    assert (result.reading.encoding, result.reading.void) == (encoding, void)


def test_encodings_that_mean_the_same_are_no_question(score, harbour):
    (harbour.root / "classes.toml").write_text(
        OWN.replace("ignored = [0]", "ignored = [255]")
        .replace("[1]", "[0]")
        .replace("[2]", "[1]")
        .replace("[3, 9]", "[2]")
    )
    for frame in harbour.frames("val"):
        Image.fromarray(np.repeat([0, 1, 2, 255], 10).astype(np.uint8)[None].repeat(16, axis=0)).save(frame.label)
    same = open_dataset(harbour.root)
    noise = np.random.default_rng(0).integers(0, 3, (3, 16, 40)).astype(np.uint8)
    result = score(noise, dataset=same)
    assert result.reading.encoding == "labelIds"
    assert result.reading.right_as["trainIds"] == pixel_accuracy(result.confusion)


def test_a_mask_of_0_and_255_where_255_is_a_class(score, harbour):
    (harbour.root / "classes.toml").write_text(
        'name = "mask"\n[[classes]]\nname = "back"\ncolor = [0, 0, 0]\nvalues = [0]\n'
        '[[classes]]\nname = "front"\ncolor = [9, 9, 9]\nvalues = [255]\n'
    )
    for frame in harbour.frames("val"):
        Image.fromarray(np.repeat([0, 0, 255, 0], 10).astype(np.uint8)[None].repeat(16, axis=0)).save(frame.label)
    masks = open_dataset(harbour.root)
    for front, encoding in ((255, "labelIds"), (1, "trainIds")):
        maps = np.repeat([0, front, front, 0], 10).astype(np.uint8)[None].repeat(16, axis=0)
        result = score([maps] * 3, dataset=masks)
        assert (result.reading.encoding, pixel_accuracy(result.confusion)) == (encoding, 0.75)


def test_colours_of_own_classes(score, harbour):
    colors = np.array([*harbour.spec.class_colors, (0, 0, 0)], np.uint8)
    maps = named([read_label(frame, harbour.spec) for frame in harbour.frames("val")], range(3), 3)
    result = score([colors[values] for values in maps], dataset=harbour)
    assert (miou(result.confusion), result.reading.encoding) == (1, "colors")


def test_a_subset_of_the_classes(score, streets, truths):
    """As a network of CamVid's eleven classes answers in Cityscapes' train ids."""
    eleven = (0, 1, 2, 4, 5, 7, 8, 10, 11, 12, 13)
    maps = named([np.where(np.isin(truth, eleven), truth, VOID) for truth in truths], IDS, 0)
    result = score(maps)
    assert result.reading.encoding == "trainIds"
    assert result.reading.right_as["labelIds"] < pixel_accuracy(result.confusion) / 3


@pytest.mark.parametrize("bits", [1, 4])
def test_grey_of_few_bits_holds_its_values_unscaled(score, streets, truths, tmp_path, bits):
    """Pillow reads such a file scaled to 255."""
    top = (1 << bits) - 1
    shown = [np.where(values > top, 0, values).astype(np.uint8) for values in truths]
    expected = score(shown, "trainIds").confusion
    for path, values in zip(sorted((tmp_path / "out").iterdir()), shown, strict=True):
        if bits == 1:
            Image.fromarray(values * 255).convert("1", dither=Image.Dither.NONE).save(path)
            continue
        Image.fromarray(values).convert("P").save(path, bits=bits)  # Pillow writes few bits for a palette alone:
        png = bytearray(path.read_bytes())
        png[25] = 0  # its header is made to say grey
        png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
        path.write_bytes(png)
    found = evaluate_predictions(tmp_path / "out", streets, "val", "trainIds")
    np.testing.assert_array_equal(found.confusion, expected)
