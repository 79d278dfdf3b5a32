"""The reading rooms answer at once, and on a machine without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKED = """
import sys
for name in ("torch", "torchvision", "timm", "segmentation_models_pytorch"):
    sys.modules[name] = None
from zoo.cli import main
sys.exit(main(sys.argv[1:]))
"""


def without_torch(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *arguments], capture_output=True, text=True, check=False, timeout=60, **options
    )


@pytest.fixture
def results(record, tmp_path):
    from zoo import store

    for name in ("unet", "fcn"):
        store.save(record(name), {}, tmp_path / "results")
    return str(tmp_path / "results")


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("--help", "usage: zoo [-h]"),
        ("bench --help", "usage: zoo bench [-h]"),
        ("list", "deeplabv3_resnet50"),
        ("list --format json", '"name": "fcn_resnet50"'),
    ],
)
def test_list_and_help(verb, words):
    done = without_torch(*verb.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert words in done.stdout


def test_leaderboard_pick_and_compare(results):
    for verb in ("leaderboard", "leaderboard --format json", "pick", "pick --objective latency", "compare unet fcn"):
        done = without_torch(*verb.split(), "--results", results)
        assert (done.returncode, done.stderr) == (0, "")
        assert "unet" in done.stdout


def test_importing_zoo_imports_nothing_heavy():
    code = "import sys, zoo; zoo.list_models(); print(sorted({'torch', 'pandas', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    import zoo

    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = zoo.nothing
