"""`zoo.score.licences`: who may sell what, by what is stated."""

from __future__ import annotations

import pytest

from zoo.catalog import MODELS
from zoo.published.table import PUBLISHED
from zoo.record import Weights
from zoo.score.licences import TERMS, licences_of, terms_of
from zoo.score.rows import row


@pytest.mark.parametrize(
    ("licence", "kind"),
    [
        ("MIT", "permissive"),
        ("Apache-2.0", "permissive"),
        ("apache-2.0", "permissive"),
        ("BSD-3-Clause (torchvision)", "permissive"),
        ("Apache-2.0, BSD-3-Clause (torchvision)", "permissive"),
        ("Apache License, Version 2.0", "permissive"),
        ("The MIT License", "permissive"),
        ("BSD 3-Clause", "permissive"),
        ("New BSD", "permissive"),
        ("3-Clause BSD License", "permissive"),
        ("MIT-0", "permissive"),
        ("CC-BY-4.0 International", "permissive"),
        ("cc-by-4.0", "permissive"),
        ("cc0-1.0", "permissive"),
        ("Apache-2.0 with Commons Clause", "unknown"),
        ("custom (not MIT)", "unknown"),
        ("MIT (academic)", "unknown"),
        ("Apache-2.0 (evaluation)", "unknown"),
        ("CC BY 4.0 License (personal)", "unknown"),
        ("MIT for academic use", "unknown"),
        ("Permissive for academic use; MIT-style", "unknown"),
        ("MIT License (internal evaluation only)", "unknown"),
        ("BSD-3-Clause-Clear", "unknown"),
        ("trained by ACME for tests", "unknown"),
        ("drawn by a studio", "unknown"),
        ("ISC", "permissive"),
        ("GPL-3.0", "copyleft"),
        ("AGPL-3.0", "copyleft"),
        ("MIT (smp), encoder: see timm", "unknown"),
        ("other", "unknown"),
        ("openrail", "unknown"),
        ("unknown", "unknown"),
        ("", "unknown"),
        ("CC BY-NC 4.0", "non-commercial"),
        ("cc-by-nc-sa-4.0", "non-commercial"),
        ("NVIDIA Source Code License, non-commercial (encoder), MIT (smp)", "non-commercial"),
        ("other: NVIDIA Source Code License (non-commercial)", "non-commercial"),
        ("Apache-2.0, for commercial use contact the authors", "non-commercial"),
        ("Cityscapes: non-commercial", "non-commercial"),
    ],
)
def test_of_several_licences_the_worst_counts(licence, kind):
    assert terms_of(licence).kind == kind


def test_every_licence_of_the_catalog_and_of_a_published_file_is_known_or_says_unknown():
    said = {spec.licence for spec in MODELS.values()}
    said |= {one.value for each in PUBLISHED for one in (each.code_licence, each.weights_licence, each.data_terms)}
    unknown = {licence for licence in said if terms_of(licence).kind == "unknown"}
    assert unknown == {"unknown"}
    assert all(terms.source.startswith("https://") for _, terms in TERMS if terms.kind == "copyleft")


def weights(source, **facts):
    return Weights(source=source, sha256=None, recipe="none", **facts)


@pytest.mark.parametrize(
    ("model", "of", "against"),
    [
        ("unet", weights("random"), ()),
        ("segformer_b0", weights("random"), ("code",)),
        ("net.py:build", weights("random"), ("code",)),
        ("unet", weights("run", trained_on="synthetic"), ()),
        ("unet", weights("run", trained_on="cityscapes"), ("training data",)),
        ("unet", weights("run", trained_on="harbour"), ("training data",)),
        ("unet", weights("run", trained_on="synthetic", init="published mmseg"), ("weights", "training data")),
        ("pidnet_s", weights("run", trained_on="synthetic", init="published mmseg"), ("training data",)),
        ("unet", weights("run", trained_on="synthetic", init="run long"), ("weights", "training data")),
        (
            *("unet_resnet18", weights("run", trained_on="synthetic", pretrained="smp-hub/resnet18.imagenet")),
            ("weights", "training data"),
        ),
        ("erfnet", weights("published", tag="eromera"), ("weights", "training data")),
        ("pidnet_s", weights("published", tag="mmseg"), ("training data",)),
        ("hf:nvidia/segformer-b0", weights("published", licence="other"), ("weights", "training data")),
        ("unet", weights("file"), ("weights", "training data")),
        ("unet", weights("own", licence="mit", trained_on="synthetic"), ("training data",)),  # not what zoo draws
        ("unet", weights("file", licence="mit", trained_on="Synthetic"), ("training data",)),
    ],
)
def test_three_facts_and_what_training_began_from(model, of, against):
    said = licences_of(model, of).why_not_for_sale()
    assert tuple(dict.fromkeys(line.partition(":")[0] for line in said)) == against
    assert all("not for commercial use" in line or "not known" in line for line in said)


def test_a_row_has_them_as_columns(records):
    flat = row(records.make("pidnet_s", source="published", tag="mmseg", recipe_hash=None)).as_dict()
    assert flat["weights_licence"] == "Apache-2.0"
    assert flat["data_terms"] == "Cityscapes: non-commercial"
    assert flat["data_terms_source"] == "https://www.cityscapes-dataset.com/license/"
    assert flat["for_sale"] is False
