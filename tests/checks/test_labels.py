"""What label maps are said to hold: only what their values show."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.doctor import examine
from zoo.labels import CITYSCAPES

OWN = """
name = "yard"
ignored = [0, 255]
[[classes]]
name = "path"
color = [1, 2, 3]
values = [1]
[[classes]]
name = "fence"
color = [4, 5, 6]
values = [2, 3]
"""


def labels(root: Path, split: str) -> list[Path]:
    return sorted((root / "gtFine" / split).glob("*/*_labelIds.png"))


def fill(root: Path, values: list[int], shares: list[float]) -> None:
    """Write label maps of these values, each over its share of the columns."""
    ends = np.cumsum([round(share * 128) for share in shares])
    row = np.array(values, np.uint8)[np.searchsorted(ends, np.arange(128), side="right").clip(max=len(values) - 1)]
    for split in ("train", "val"):
        for path in labels(root, split):
            Image.fromarray(np.tile(row, (64, 1))).save(path)


def errors(root: Path) -> list[str]:
    return [f"{finding.what} → {finding.advice}" for finding in examine(root).findings if finding.severity == "error"]


@pytest.mark.parametrize(
    ("values", "shares"),
    [
        ([0, 7], [0.9, 0.1]),
        ([0, 7, 8, 11], [0.7, 0.1, 0.1, 0.1]),
        ([4, 7, 8, 11, 12, 13], [0.8, 0.04, 0.04, 0.04, 0.04, 0.04]),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 11], [0.6, *[0.04] * 9]),
        ([0, 1, 3, 4, 7, 9, 11, 17], [0.6, *[0.05] * 7]),
        ([0, 26], [0.99, 0.01]),
    ],
)
def test_right_masks_most_of_which_is_void_are_healthy(streets, values, shares):
    fill(streets, values, shares)
    assert errors(streets) == []


@pytest.mark.parametrize("values", [[0, 1], [0, 1, 2], [255, 1, 2], [0, 1, 255], [255, 0, 3]])
def test_right_masks_of_ones_own_classes_are_healthy(streets, values):
    (streets / "classes.toml").write_text(OWN)
    fill(streets, values, [0.8, *[0.2 / (len(values) - 1)] * (len(values) - 1)])
    assert errors(streets) == []


def test_void_of_another_value_is_named_and_the_files_are_not_to_be_renamed(streets):
    fill(streets, [255, 7, 8, 11], [0.7, 0.1, 0.1, 0.1])
    found = errors(streets)
    assert len(found) == 2
    for said in found:
        assert "with values that mean nothing: 255" in said
        assert "ignored = [255]" in said
        assert "rename" not in said
    (streets / "classes.toml").write_text('classes = "cityscapes"\nignored = [255]')
    assert errors(streets) == []


@pytest.mark.parametrize("values", [[0, 1, 255], [0, 2, 13, 255]])
def test_what_may_be_train_ids_is_not_only_to_be_ignored(streets, values):
    """Which would leave most classes uncounted, and the others wrong."""
    fill(streets, values, [0.2, *[0.8 / (len(values) - 1)] * (len(values) - 1)])
    assert all("if they hold train ids, rename them to _labelTrainIds.png" in said for said in errors(streets))
    assert errors(streets)


@pytest.mark.parametrize("void", [255, 0])
def test_train_ids_are_still_found_by_what_they_show(streets, void):
    table = np.full(256, void, np.uint8)
    for label_id, train_id in CITYSCAPES.label_to_train_id.items():
        if train_id != 255:
            table[label_id] = train_id
    for path in labels(streets, "val"):
        Image.fromarray(table[np.asarray(Image.open(path))]).save(path)
    (said,) = errors(streets)
    assert "labelIds files of val hold train ids: 2 of 2 read → rename them to _labelTrainIds.png" in said


def test_train_ids_of_ones_own_classes(streets):
    text = OWN.replace("values = [1]", "values = [10]").replace("values = [2, 3]", "values = [20]")
    (streets / "classes.toml").write_text(text)
    fill(streets, [0, 1, 255], [0.4, 0.4, 0.2])
    assert all("hold train ids" in said for said in errors(streets))
    assert errors(streets)
    fill(streets, [0, 10, 20, 255], [0.7, 0.1, 0.1, 0.1])
    assert errors(streets) == []
