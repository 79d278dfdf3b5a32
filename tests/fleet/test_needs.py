"""What a node has to have before anything is measured, and what is said of one that lacks it."""

from __future__ import annotations

import pickle
import textwrap

import pytest

from zoo.catalog import find
from zoo.data.layout import DATASET_VARIABLE, open_dataset
from zoo.errors import UserError
from zoo.fleet import probe
from zoo.fleet.needs import Needs, find_data, needs_of, why_unfit
from zoo.identity import package_sha256

NET = """
    import torch

    def build(num_classes):
        return torch.nn.Conv2d(3, num_classes, {size}, padding={size} // 2)
"""
NOTHING = pickle.dumps(Needs())


def test_a_node_like_the_driver_is_fit():
    assert probe.look(probe.versions(), package_sha256(), NOTHING) == ""


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("torch", "1.0", "torch is {here} there and 1.0 here"),
        ("zoo", "9.9", "zoo is {here} there and 9.9 here"),
        ("timm", "", "timm is {here} there and not installed here"),
        ("Python", "3.9", "Python is {here} there and 3.9 here"),
    ],
)
def test_versions_that_differ_are_named(name, version, said):
    here = probe.versions()
    assert probe.look(here | {name: version}, package_sha256(), NOTHING) == said.format(here=here[name])


def test_what_a_version_was_built_for_may_differ(monkeypatch):
    here, known = probe.versions(), probe.importlib.metadata.version
    monkeypatch.setattr(probe.importlib.metadata, "version", lambda name: f"{known(name)}+cu130")
    assert probe.look(here, package_sha256(), NOTHING) == ""


def test_other_sources_under_the_same_version_are_named():
    assert probe.look(probe.versions(), "other", NOTHING).startswith("the sources of zoo ")


def test_a_node_without_zoo_says_so(monkeypatch):
    expected = probe.versions()

    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(probe.importlib, "import_module", missing)
    assert probe.look(expected, "code", b"") == f"zoo is not installed there and {expected['zoo']} here"


def test_data_is_found_where_the_driver_has_it_or_where_the_node_says(streets, tmp_path, monkeypatch):
    needs = needs_of(open_dataset(streets), [], None)
    assert find_data(needs) == streets
    assert find_data(Needs()) is None
    moved = streets.rename(tmp_path / "elsewhere")
    monkeypatch.delenv(DATASET_VARIABLE, raising=False)
    with pytest.raises(UserError, match=rf"the data with fingerprint {needs.fingerprint} is not there \(") as raised:
        find_data(needs)
    assert "\n" not in str(raised.value)
    assert why_unfit(pickle.dumps(needs)) == str(raised.value)
    monkeypatch.setenv(DATASET_VARIABLE, str(moved))
    assert find_data(needs) == moved


def test_other_data_at_the_same_place_is_not_taken(streets):
    needs = needs_of(open_dataset(streets), [], None)
    label = next(streets.rglob("*_labelIds.png"))
    label.write_bytes(label.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"holds other files \(fingerprint "):
        find_data(needs)


def test_drawn_data_is_drawn_there(tmp_path):
    drawn = needs_of(open_dataset(None), [], None)
    gone = Needs(tmp_path / "gone", drawn.fingerprint, drawn.synthetic, (), tmp_path / "there")
    assert find_data(gone).is_relative_to(tmp_path / "there")


def test_a_model_of_ones_own_is_the_same_file_there(tmp_path):
    net = tmp_path / "net.py"
    net.write_text(textwrap.dedent(NET.format(size=1)))
    needs = needs_of(None, [find(f"{net}:build"), find("unet")], None)
    assert [source for source, _ in needs.models] == [f"{net}:build"]
    assert why_unfit(pickle.dumps(needs)) == ""
    net.write_text(textwrap.dedent(NET.format(size=3)))
    assert why_unfit(pickle.dumps(needs)) == f"{net}:build is another file there: copy yours to the same path"
    net.unlink()
    assert "no file" in why_unfit(pickle.dumps(needs))
