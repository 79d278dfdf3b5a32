"""`zoo weights list`."""

import csv
import json

import pytest

from zoo.errors import UserError
from zoo.published.kept import file_of
from zoo.published.table import PUBLISHED, find_published, select_published
from zoo.spec import IMAGENET_MEAN, IMAGENET_STD, Feeding
from zoo.weights.listing import HEADER, fed, show_published


@pytest.mark.parametrize(
    ("patterns", "ids"),
    [
        (["dabnet"], ["dabnet:reagan1311"]),
        (["dabnet:reagan1311", "dab*", "edanet"], ["dabnet:reagan1311", "edanet:zh320"]),
        (["pidnet_*:mmseg"], ["pidnet_s:mmseg", "pidnet_m:mmseg", "pidnet_l:mmseg"]),
        (["edanet,fddwnet"], ["edanet:zh320", "fddwnet:zh320"]),
        (["smp-hub"], [f"segformer_b{size}:smp-hub" for size in range(6)]),
    ],
)
def test_patterns(patterns, ids):
    assert [one.id for one in select_published(patterns)] == ids


def test_tags_of_models_are_patterns_too():
    assert select_published(["all"]) == list(PUBLISHED)
    realtime = {one.model for one in select_published(["realtime"])}
    assert {"pidnet_s", "bisenetv2"} <= realtime
    assert "unet_resnet18" not in realtime


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pidnet_s", "pidnet_s has 2 published checkpoints; give one: pidnet_s:mmseg, pidnet_s:official"),
        ("pidnet_s:nobody", "no published checkpoint 'pidnet_s:nobody'; of pidnet_s there is pidnet_s:mmseg, pidnet_s"),
        ("swiftnet_resnet18", "no published checkpoint of swiftnet_resnet18 is known; `zoo weights list` shows all"),
        ("dabnett", "Did you mean 'dabnet'"),
    ],
)
def test_an_id_that_is_none(name, words):
    with pytest.raises(UserError) as caught:
        find_published(name)
    assert words in str(caught.value)
    if ":" not in name and "has 2" not in words:
        with pytest.raises(UserError) as caught:
            select_published(["all", name])
        assert words in str(caught.value)


def test_how_a_network_is_fed_in_short():
    turned = Feeding(mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1], channel_order="bgr", input_size=(512, 1024))
    assert fed(turned) == "BGR ImageNet 512x1024"
    assert fed(find_published("enet").feeding) == "RGB 0..1 512x1024"
    assert fed(find_published("dabnet").feeding) == "RGB 0..255 1024x2048"
    assert fed(find_published("bisenetv2").feeding) == "RGB own 1024x2048"


def test_all_formats_say_the_same(tmp_path):
    here, absent = find_published("espnetv2_s05"), find_published("dabnet")
    rows = [here, absent]
    file_of(here, tmp_path).parent.mkdir()
    file_of(here, tmp_path).write_bytes(bytes(2**20))
    table = show_published(rows, "table", tmp_path)
    assert "1 of 2 are in" in table
    assert all(len(line) <= 160 for line in show_published(PUBLISHED, "table", tmp_path).splitlines()[:-1])
    values = json.loads(show_published(rows, "json", tmp_path))
    assert [one["id"] for one in values] == [one.id for one in rows]
    assert (values[0]["bytes"], values[0]["file"]) == (2**20, str(file_of(here, tmp_path)))
    assert (values[1]["bytes"], values[1]["file"], values[1]["claim"]) == (None, None, None)
    for licence in ("code_licence", "weights_licence", "data_terms"):
        assert values[0][licence]["source"].startswith("https://")
    assert values[0]["claim"]["protocol"] == "labels too at 512x1024"
    header, first, second = csv.reader(show_published(rows, "csv", tmp_path).splitlines())
    assert header == HEADER
    assert dict(zip(header, first, strict=True)) == {
        "id": "espnetv2_s05:edgenets", "here": "yes", "fed": "RGB ImageNet 512x1024",
        "trained on": "Cityscapes fine train", "code": "MIT", "weights": "MIT", "data": "Cityscapes: non-commercial",
        "claimed on": "labels too at 512x1024", "mIoU %": "53.9", "MiB": "1.0",
    }  # fmt: skip
    assert second[1] == second[-1] == second[-2] == ""
    lines = show_published(rows, "md", tmp_path).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == first
