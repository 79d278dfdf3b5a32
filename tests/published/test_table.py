"""The table of published checkpoints as a whole: facts that can be held against each other without a file."""

import re
from urllib.parse import urlsplit

import pytest

from zoo.catalog import MODELS
from zoo.published.facts import Published
from zoo.published.table import PUBLISHED
from zoo.spec import IGNORE_INDEX

FILE = re.compile(r"\.(pth|pt|pkl|safetensors)$|/raw/|/releases/download/[^/]+/[^/]+$")
"""How the path of a file's address ends, or what it holds."""
ON_REQUEST = re.compile(r"(^|&)(dl=1$|id=[\w-]{25,}$)")
"""What asks a share for its file."""
EVERY = pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.id)


def test_rows_are_told_apart():
    for of in (lambda one: one.id, lambda one: one.file_name.lower(), lambda one: (one.url, one.in_folder * one.id)):
        assert len({of(one) for one in PUBLISHED}) == len(PUBLISHED)
    known = [one.sha256 for one in PUBLISHED if one.sha256]
    assert len(set(known)) == len(known) >= 8


@EVERY
def test_the_address_is_a_files_or_says_that_it_is_a_folders(one):
    parts = urlsplit(one.url)
    assert parts.scheme == "https"
    is_file = bool(FILE.search(parts.path) or ON_REQUEST.search(parts.query))
    assert is_file is not one.in_folder
    assert one.in_folder is ("/folders/" in parts.path)
    assert re.fullmatch(r"[\w.+-]+\.(pth|pt|pkl|safetensors)", one.file_name), "a plain name, kept in one folder"


@EVERY
def test_nothing_is_scored_on_what_it_has_seen(one):
    assert not re.search(r"trainval|train_val|[-_]test\b|[-_]test[-_.]", f"{one.url} {one.file_name} {one.tag}")
    assert one.trained_on.startswith("Cityscapes fine train")
    assert "val" not in one.trained_on


@EVERY
def test_what_is_stated_has_a_source_and_what_is_not_is_unknown(one):
    for stated in (one.code_licence, one.weights_licence, one.data_terms):
        assert stated.value
        assert bool(stated.source.startswith("https://")) is (stated.value != "unknown")
    assert one.code_licence.value != "unknown"
    if one.claim is not None:
        assert 0.5 < one.claim.miou < 0.9
        assert one.claim.protocol
        assert one.claim.source.startswith("https://")


@EVERY
def test_facts_fit_the_row(one):
    assert one.model in MODELS
    assert re.fullmatch(r"[a-z0-9.x-]+", one.tag)
    for pattern, replacement in one.key_map:
        groups = re.compile(pattern).groups
        assert all(int(group) <= groups for group in re.findall(r"\\g?<?(\d+)", replacement))
    for pattern in (*one.left_out, *one.zeroed):
        re.compile(pattern)
    count = one.classes.num_classes
    assert one.channels is None or sorted({*one.channels} - {IGNORE_INDEX}) == list(range(count))
    assert one.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", one.sha256)
    assert one.byte_count is None or one.byte_count > 1000
    assert one.feeding.input_size is not None
    assert None not in (one.feeding.mean, one.feeding.std)


def test_the_tests_above_can_fail():
    bad = "https://github.com/RolandGao/RegSeg/releases/download/v1.0-alpha/cityscapes_exp48_decoder26_trainval_run1"
    one = PUBLISHED[0].model_copy(update={"url": bad})
    assert isinstance(one, Published)
    with pytest.raises(AssertionError):
        test_nothing_is_scored_on_what_it_has_seen(one)
    with pytest.raises(AssertionError):
        test_the_address_is_a_files_or_says_that_it_is_a_folders(PUBLISHED[0].model_copy(update={"in_folder": True}))
