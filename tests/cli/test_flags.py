"""The flags by which all verbs choose rows: made of one table, and alike everywhere."""

from __future__ import annotations

import json

import pytest

from zoo.cli.main import VERBS
from zoo.score.fields import FIELDS
from zoo.store import save


@pytest.fixture
def zoo(call, records, tmp_path, monkeypatch):
    """`zoo("leaderboard", …)` over records of four kinds of weights: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for changes in (
        *({"right": 0.4}, {"right": 0.5, "recipe": "long", "recipe_hash": "0" * 12}),
        *({"right": 0.6, "source": "published", "tag": "zh320"}, {"right": 0.3, "source": "own"}),
    ):
        save(records.make("unet", **changes), {}, tmp_path / "results")
    return call


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("verb", [(), *((verb,) for verb in VERBS)])
def test_help_is_as_wide_as_the_terminal(call, monkeypatch, verb, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, _ = call(*verb, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= columns


def test_examples_in_a_help_keep_their_columns(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = call("--help")[1].splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("  zoo bench --models all "))
    column = lines[at].index("measure every model")
    assert lines[at + 1].startswith(" " * column + "machine")
    assert lines[at - 3].startswith("  zoo list")


@pytest.mark.parametrize("verb", ["leaderboard", "pick", "compare"])
def test_every_field_has_its_flag_in_every_verb(zoo, verb):
    code, out, _ = zoo(verb, "--help")
    assert code == 0
    for field in FIELDS.values():
        assert not field.flag or f"{field.flag} " in out


@pytest.mark.parametrize(
    ("flags", "labels"),
    [
        (("--weights", "published"), ["published zh320"]),
        (("--weights", "run long"), ["run long"]),
        (("--weights", "run"), ["run camvid_cpu", "run long"]),
        (("--weights", "own, published"), ["own", "published zh320"]),
        (("--recipe", "long"), ["run long"]),
        (("--where", "recipe_hash=000000"), ["run long"]),
        (("--where", "mode=whole", "--input-size", "256X512", "--weights", "own"), ["own"]),
    ],
)
def test_the_leaderboard_by_weights(zoo, flags, labels):
    code, out, _ = zoo("leaderboard", "--format", "json", *flags)
    assert (code, sorted(row["weights"] for row in json.loads(out))) == (0, labels)


def test_pick_and_compare_by_weights(zoo):
    assert zoo("pick")[1].startswith("unet published zh320 (intel-xeon-2c · streets · input 256x512)\n")
    assert zoo("pick", "--weights", "run")[1].startswith("unet run long (")
    assert zoo("pick", "--recipe", "camvid_cpu")[1].startswith(
        "unet (intel-xeon-2c · streets · weights run camvid_cpu · input 256x512)\n"
    )
    code, out, _ = zoo("compare", "unet,weights=run long", "unet,weights=published")
    assert code == 0
    assert "unet run long" in out
    assert "the weights differ (run long, published zh320): a row speaks of its weights" in out
    assert zoo("compare", "unet,weights=own", "unet", "--weights", "own,run long")[0] == 0
    code, _, error = zoo("compare", "unet", "unet,recipe=long", "--weights", "published")
    assert (code, error) == (2, "zoo: no record of unet with recipe=long; there is: none\n")
    code, _, error = zoo("pick", "--weights", "file")
    assert code == 2
    assert error.startswith("zoo: no record with weights 'file'. There is: own, published zh320, run")
