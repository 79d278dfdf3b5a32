"""What tells of a person or a machine is found, and usual words are none of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zoo import store
from zoo.private import private_texts
from zoo.record import Failure


@pytest.mark.parametrize(
    "text",
    [
        "https://a.org/x/y.png", "images/s", "zoo-lat/3", "ViT-B/16", "1/2", "and/or", "unet:timm/vit_b.mae",
        "timm/convnext_tiny.in12k_ft_in1k", "smp-hub/resnet18.imagenet", "hf:nvidia/segformer.v1",
        "openvino 2026.4.1-22982-e213a147257-releases/2026/4",
    ],
)  # fmt: skip
def test_what_is_public_is_no_path(records, text):
    record, samples = records.sampled(build={"options": {"said": text}})
    assert list(private_texts(record, samples)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "jolanda_net"}, {"dataset": "jolanda-streets"}, {"recipe": "long-jolanda"},
        {"source": "file", "tag": "jolanda_finetuned.pth"}, {"source": "file", "tag": "jo@STATION7_best.pth"},
    ],
)  # fmt: skip
def test_a_name_that_is_joined_to_others_stays_at_home(records, monkeypatch, changes):
    monkeypatch.setattr("getpass.getuser", lambda: "jolanda")
    monkeypatch.setattr("platform.node", lambda: "station7")
    record, samples = records.sampled(**changes)
    assert "names this machine's user or host" in next(private_texts(record, samples))
    samples["image_names"] = np.array(["jolanda_0001", *samples["image_names"][1:]])
    assert any(said.startswith("image_names of its samples names this") for said in private_texts(record, samples))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://jo:secret@example.org/net.pth", "the user of an address"),
        ("see https://token@hub.example.org", "the user of an address"),
        ("ask jo.doe@lab.example.org", "an e-mail address"),
        ("<mailto:jo@example.org>", "an e-mail address"),
        ("no answer from 10.1.2.3:8000", "an address of a private network"),
        ("http://192.168.0.7/net.pth", "an address of a private network"),
        ("172.31.255.1", "an address of a private network"),
        ("at fe80::1ff:fe23:4567:890a", "an address of a private network"),
        ("at fd12:3456:789a::1", "an address of a private network"),
        ("https://vm/net.pth", "this machine's user or host"),
        ("lost on vm", "this machine's user or host"),
    ],
)
def test_an_address_of_a_person_or_a_network_stays_at_home(records, monkeypatch, text, words):
    monkeypatch.setattr("platform.node", lambda: "vm")
    record, samples = records.sampled()
    weights = record.artifact.weights.model_copy(update={"url": text})
    artifact = record.artifact.model_copy(update={"weights": weights})
    (said,) = private_texts(record.model_copy(update={"artifact": artifact}), samples)
    assert said.startswith(f"artifact.weights.url names {words}")
    failure = Failure(step="build", reason="no", detail=text)
    assert words in next(private_texts(record.model_copy(update={"failure": failure}), samples))


def test_the_name_of_an_image_may_hold_an_address_too(records):
    record, samples = records.sampled()
    samples["image_names"] = np.array(["192.168.0.7_0001", *samples["image_names"][1:]])
    said = "image_names of its samples names an address of a private network ('192.168.0.7_0001')"
    assert list(private_texts(record, samples)) == [said]


@pytest.mark.parametrize(
    "text",
    [
        "unet@epoch3.pth", "camvid_cpu@11872d3374cf", "127.0.0.1", "8.8.8.8", "172.32.0.1", "1.10.0.0.1", "v10.0.0.1",
        "https://example.org/@jo/net", "https://a.org/x?q=a@b", "int8::vm_x", "llvm", "vm-1",
        "Plan was made by TensorRT 10.13.3.9", "version 10.1.2.3 of the exporter", "tensorrt==10.3.0.26",
    ],
)  # fmt: skip
def test_what_looks_like_an_address_is_none(records, monkeypatch, text):
    monkeypatch.setattr("platform.node", lambda: "vm")
    record, samples = records.sampled()
    weights = record.artifact.weights.model_copy(update={"tag": text})
    record = record.model_copy(update={"artifact": record.artifact.model_copy(update={"weights": weights})})
    assert list(private_texts(record, samples)) == []


def test_a_version_of_four_numbers_is_no_network(records):
    record, samples = records.sampled()
    software = record.software.model_copy(update={"runtime": "tensorrt 10.3.0.26"})
    assert list(private_texts(record.model_copy(update={"software": software}), samples)) == []


@pytest.mark.parametrize("user", ["root", "max", "linux", "fp32-user", "camvid_cpu2"])
def test_usual_words_are_no_names(records, monkeypatch, user):
    monkeypatch.setattr("getpass.getuser", lambda: user)
    record, samples = records.sampled(build={"options": {"mode": "max-autotune", "url": "https://a.org/x/y"}})
    assert list(private_texts(record, samples)) == []


def test_a_path_among_the_samples_stays_at_home_too(records):
    record, samples = records.sampled()
    samples["image_names"] = np.array(["/data/one", *samples["image_names"][1:]])
    assert next(private_texts(record, samples)) == "image_names of its samples names a path ('/data/one')"


def test_nothing_private_stands_in_the_committed_records():
    results = Path(__file__).parents[1] / "results"
    for path in store.visible_files(results, ".json", pytest.fail):
        assert list(private_texts(store.load(path), store.samples(path))) == [], path
