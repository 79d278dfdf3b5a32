"""What a model raises is one line that names it."""

import subprocess

import pytest

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
