"""The key maps of published checkpoints against the names and shapes their files hold, one file of facts to a row.

A line is `name shape`, as in the file once it is out of its wrapper and without `module.`; batch counters are left out.
"""

import re
from pathlib import Path

import pytest

from zoo.catalog import MODELS
from zoo.models.build import tensor_shapes
from zoo.published.table import PUBLISHED

NAMES = Path(__file__).parent / "names"
LISTED = [one for one in PUBLISHED if (NAMES / f"{one.model}-{one.tag}.txt").is_file()]


def listed(one):
    lines = (NAMES / f"{one.model}-{one.tag}.txt").read_text().splitlines()
    pairs = [line.split(" ") for line in lines]
    assert len(dict(pairs)) == len(pairs)
    return {name: tuple(int(side) for side in shape.split("x")) if shape else () for name, shape in pairs}


@pytest.mark.parametrize("one", LISTED, ids=lambda one: one.id)
def test_every_tensor_of_the_file_has_one_place_in_the_network(one):
    num_classes = one.classes.num_classes if one.channels is None else len(one.channels)
    shapes = tensor_shapes(MODELS[one.model], num_classes, deployed=True)
    expected = {name: shape for name, shape in shapes.items() if "num_batches_tracked" not in name}
    given = listed(one)
    found = {}
    for name, shape in given.items():
        mapped = one.name_of(name)
        if mapped is not None:
            assert mapped not in found, f"{name} and another one both become {mapped}"
            found[mapped] = shape
    zeroed = {name for name in expected if one.is_zero(name)}
    assert not zeroed & found.keys()
    assert found == {name: shape for name, shape in expected.items() if name not in zeroed}
    for patterns, names in ((one.left_out, given), (one.zeroed, expected)):
        assert all(any(re.search(pattern, name) for name in names) for pattern in patterns), "a pattern of nothing"


def test_every_list_is_of_a_row_and_every_row_but_those_without_a_map_has_one():
    assert {path.stem for path in NAMES.glob("*.txt")} == {f"{one.model}-{one.tag}" for one in LISTED}
    assert all(one in LISTED for one in PUBLISHED if one.key_map)
