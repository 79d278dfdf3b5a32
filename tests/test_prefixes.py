"""Names of a file against those of a network, without tensors."""

import pytest

from zoo.prefixes import fit

EXPECTED = {
    "encoder.conv1.weight": (8, 3, 3, 3), "encoder.bn1.weight": (8,), "encoder.bn1.num_batches_tracked": (),
    "decoder.conv1.weight": (4, 8, 3, 3), "head.weight": (2, 4, 1, 1),
}  # fmt: skip
REQUIRED = [name for name in EXPECTED if "num_batches" not in name]


def fitted(given, expected=EXPECTED, required=REQUIRED):
    return fit(given, expected, required)


def under(prefix, names=EXPECTED):
    return {prefix + name: EXPECTED[name] for name in names}


def test_names_that_fit_stay():
    found = fitted(EXPECTED)
    assert found.names == {name: name for name in EXPECTED}
    assert (found.outside, found.notes) == ((), ())


@pytest.mark.parametrize("prefix", ["module.", "a.b.c.", "encoder.", "_orig_mod.module."])
def test_a_prefix_is_stripped(prefix):
    found = fitted(under(prefix))
    assert found.names == {prefix + name: name for name in EXPECTED}
    assert found.notes


def test_a_prefix_is_added_or_replaced():
    wrapped = {"net.model." + name: shape for name, shape in EXPECTED.items()}
    required = ["net.model." + name for name in REQUIRED]
    assert fitted(EXPECTED, wrapped, required).notes == ("prefix 'net.model.' added to 5 names",)
    found = fitted(under("module."), wrapped, required)
    assert found.notes == ("prefix 'module.' replaced by 'net.model.' in 5 names",)
    assert set(found.names.values()) == set(wrapped)


def test_parts_may_have_prefixes_of_their_own():
    given = {name.removeprefix("encoder."): shape for name, shape in EXPECTED.items() if name.startswith("encoder.")}
    given |= {name: shape for name, shape in EXPECTED.items() if not name.startswith("encoder.")}
    found = fitted(given)
    assert set(found.names.values()) == set(EXPECTED)
    assert len(found.names) == len(EXPECTED)


def test_shapes_tell_the_network_from_its_likes():
    teacher = {f"teacher.{name}": (*shape, 7) for name, shape in EXPECTED.items()}
    found = fitted({**teacher, **under("pupil.the.")})
    assert found.names == {f"pupil.the.{name}": name for name in EXPECTED}
    assert found.outside == tuple(teacher)


def test_what_is_unknown_under_the_prefix_is_kept_and_what_is_outside_is_named():
    found = fitted({**under("model."), "model.extra.weight": (1,), "loss.weight": (3,), "loss.bias": (3,)})
    assert found.names["model.extra.weight"] == "extra.weight"
    assert found.outside == ("loss.weight", "loss.bias")
    assert found.notes[-1] == "tensors left out beside 'model.': loss (2)"


def test_a_part_of_the_network_called_as_a_wrapper_is_no_wrapper():
    expected = {"module.conv.weight": (1,), "module.conv.bias": (1,)}
    assert fitted(expected, expected, list(expected)).notes == ()
    assert fitted({f"module.{name}": (1,) for name in expected}, expected, list(expected)).notes == (
        "prefix 'module.' stripped from 2 names",
    )


def test_a_network_of_one_layer():
    expected = {"weight": (2,), "bias": (2,)}
    found = fitted({"module.fc.weight": (2,), "module.fc.bias": (2,)}, expected, list(expected))
    assert set(found.names.values()) == set(expected)
    wrapped = fitted(expected, {"fc.weight": (2,), "fc.bias": (2,)}, ["fc.weight", "fc.bias"])
    assert set(wrapped.names.values()) == {"fc.weight", "fc.bias"}


def test_as_much_as_can_be_is_fitted():
    found = fitted({**under("module.", list(EXPECTED)[:3]), "module.other.weight": (9,)})
    assert found.names["module.encoder.conv1.weight"] == "encoder.conv1.weight"
    assert fitted({"x.y": (1,)}).names == {"x.y": "x.y"}
