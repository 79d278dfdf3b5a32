"""What a model raises is one line that names it, as is what a person may mend."""

import re
import subprocess

import pytest

import zoo
from zoo.errors import ModelError, UserError, blamed_on, counted, grouped

RAISED = [
    AssertionError("sides are multiples of 32"),
    ImportError("no module named 'extra'"),
    OSError(5, "Input/output error"),
    StopIteration(),
    RuntimeError("two\n lines"),
    subprocess.CalledProcessError(1, "nvcc"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_model_raises_is_one_line_that_names_it(error):
    with (
        pytest.raises(ModelError, match=f"^net:build failed: {type(error).__name__}: ") as caught,
        blamed_on("net:build"),
    ):
        raise error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [UserError("mend it"), BrokenPipeError(), KeyboardInterrupt()], ids=repr)
def test_what_is_no_fault_of_a_model_comes_through(error):
    with pytest.raises(type(error)) as caught, blamed_on("net:build"):
        raise error
    assert caught.value is error


def test_one_thing_is_no_plural():
    said = [counted(count, *words) for count in (0, 1, 2) for words in (("cell",), ("entry", "entries"))]
    assert said == ["0 cells", "0 entries", "1 cell", "1 entry", "2 cells", "2 entries"]


def test_what_differs_in_a_models_name_alone_is_said_once():
    def note(model):
        return model, f"not trained; `zoo train {model}`, or `zoo weights fetch {model}:tag`, not unet_b"

    assert grouped(
        [note("unet"), ("enet", "untrained"), note("fpn"), ("erfnet", "untrained"), note("pan"), note("sfnet")]
    ) == [
        "unet, fpn, pan and 1 more: not trained; `zoo train MODEL`, or `zoo weights fetch MODEL:tag`, not unet_b",
        "enet, erfnet: untrained",
    ]
    assert grouped([note("unet"), ("pan", "has unet beside it")]) == [
        ": ".join(note("unet")),
        "pan: has unet beside it",
    ]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: zoo.pick(5), "a choice is made of a results folder or of rows; got int"),
        (lambda: zoo.pick([5]), "a choice is made of a results folder or of rows; got list"),
        (lambda: zoo.pick(objective=None), "a metric is named by a word, such as 'latency' or 'miou'; got None"),
        (lambda: zoo.pick(objective=5), "a metric is named by a word, such as 'latency' or 'miou'; got 5"),
        (lambda: zoo.pick(limits=5), "a limit is text, such as 'latency<=50ms', or of zoo.Limit; got 5"),
        (lambda: zoo.pick(limits=[5]), "or of zoo.Limit; got [5]"),
        (lambda: zoo.pick(limits=[("latency", 0.05)]), "or of zoo.Limit; got [('latency', 0.05)]"),
        (lambda: zoo.pick(limits={"latency": 0.05}), "such as 'latency<=50ms'; got 'latency'"),
        (lambda: zoo.pick(limits="grade<=B"), "at most B would leave the best out; ask for grade>=B, as a flag --min "),
        (lambda: zoo.pick(limits="cost<=5"), "`zoo pick --price 2.49/h`, or zoo.pick(price=2.49)"),
        (lambda: zoo.pick(models=5), "models are names, globs or tags, such as ['unet', 'fast']; got 5"),
        (lambda: zoo.pick(models=[5]), "models are names, globs or tags, such as ['unet', 'fast']; got [5]"),
        (lambda: zoo.pick(accept=5), "accept takes published; got 5"),
        (lambda: zoo.pick(for_sale=True), "no column 'for_sale'. Did you mean 'sale'?"),
        (lambda: zoo.pick(limit="latency<=5ms"), "no column 'limit'. Did you mean 'limits'"),
        (lambda: zoo.pick(sale="no"), "sale is True or False; got 'no'"),
        (lambda: zoo.leaderboard(5), "records are read from one folder, such as 'results'; got 5: name it"),
        (lambda: zoo.leaderboard(["a", "b"]), "records are read from one folder, such as 'results'; got ['a', 'b']"),
        (lambda: zoo.leaderboard(sort=5), "a metric is named by a word"),
        (lambda: zoo.leaderboard(models=5), "models are names, globs or tags"),
        (lambda: zoo.leaderboard(sorted="miou"), "no column 'sorted'. Did you mean 'sort'"),
        (lambda: zoo.load_results(5), "records are read from one folder"),
        (lambda: zoo.info("unet", 5), "records are read from one folder"),
        (lambda: zoo.info(5), "a model is named by a word, such as 'unet': `zoo list` shows all; got 5"),
        (lambda: zoo.compare(["edanet", "unet"]), "one by one, as compare('unet', 'edanet'); got ['edanet', 'unet']"),
        (lambda: zoo.compare("edanet", 5), "one by one, as compare('unet', 'edanet'); got 5"),
        (lambda: zoo.compare("edanet", "unet", results=5), "one folder or several, such as ['before', 'now']; got 5"),
        (lambda: zoo.compare("edanet", "unet", result="R"), "no column 'result'. Did you mean 'results'"),
    ],
)
def test_what_a_script_gives_of_a_wrong_kind_is_named(call, words):
    with pytest.raises(UserError, match=re.escape(words)):
        call()


def test_no_limits_and_no_models_are_none_and_one_may_stand_alone():
    asked = {"results": "shipped", "device": "intel-xeon-2c"}
    assert zoo.pick(limits=None, models=None, accept=None, **asked).label == zoo.pick(**asked).label
    limit = zoo.Limit.parse("latency<=7ms")
    assert zoo.pick(limits=limit, **asked).label == zoo.pick(limits=["latency<=7ms"], **asked).label
