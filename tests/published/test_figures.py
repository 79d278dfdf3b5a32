"""Published figures: how far they were rounded, and which one is quoted."""

import pytest

from zoo.catalog import MODELS
from zoo.published.claims import OTHER_WEIGHTS, Claim
from zoo.published.figures import FIGURES, Figure, quote
from zoo.published.table import PUBLISHED, published_of


@pytest.mark.parametrize(
    ("said", "value", "rounding"),
    [("7625715", 7_625_715, 0), ("7.6M", 7.6e6, 5e4), ("0.80M", 8e5, 5e3), ("25G", 25e9, 5e8), ("40M", 40e6, 5e5)],
)
def test_a_figure_knows_its_last_digit(said, value, rounding):
    figure = Figure(said=said, source="https://example.org")
    assert (figure.value, figure.rounding, figure.is_exact) == (value, rounding, rounding == 0)


def test_every_figure_is_of_a_row_and_has_a_source():
    assert set(FIGURES) <= set(MODELS)
    for known in FIGURES.values():
        stated = [one for one in (known.params, known.macs, known.claim) if one is not None]
        assert stated
        assert all(one.source.startswith("https://") for one in stated)


def test_no_claim_is_written_twice():
    claimed = {one.model for one in PUBLISHED if one.claim}
    assert not claimed & {model for model, known in FIGURES.items() if known.claim}


def test_of_a_checkpoint_its_own_claim_is_quoted():
    first, second = published_of("pidnet_s")
    assert quote("pidnet_s") == (first.claim, f"published {first.tag}", first.feeding.input_size)
    assert quote("pidnet_s", second.tag).claim == second.claim
    assert quote("unet").weights == OTHER_WEIGHTS
    assert quote("encoder_decoder") is quote("net.py:build") is None


@pytest.mark.parametrize(
    ("protocol", "word", "size"),
    [
        ("whole", "whole", ""), ("whole, logits upsampled bicubically", "whole", ""),
        ("slide 1024x1024, stride 768", "slide", "1024x1024"),
        ("image at 512x1024, labels whole", "512x1024", "512x1024"),
        ("labels too at 512x1024", "labels@512x1024", "512x1024"),
    ],
)  # fmt: skip
def test_a_protocol_in_one_word(protocol, word, size):
    claim = Claim(miou=0.5, protocol=protocol, source="https://example.org")
    assert (claim.word, claim.size) == (word, size)


def test_every_claim_has_a_word():
    assert {one.claim.word for one in PUBLISHED if one.claim} <= {
        "whole", "slide", "512x1024", "768x1536", "labels@512x1024",
    }  # fmt: skip
