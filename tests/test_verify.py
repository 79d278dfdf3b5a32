"""`zoo verify`: networks are counted in earnest, and a number that is another for no known reason ends it with 1."""

import json

import pytest

from zoo.catalog import MODELS
from zoo.cli.main import main
from zoo.published import figures
from zoo.published.figures import FIGURES, Figure, Figures
from zoo.report.verified import show_lines
from zoo.store import save
from zoo.verify import verify

REASONED = [
    model
    for model, known in FIGURES.items()
    if any(one is not None and one.why for one in (known.params, known.macs)) and not model.startswith("hrnet")
]


@pytest.fixture
def zoo(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def zoo(line):
        code = main(line.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return zoo


def test_each_reason_that_is_given_is_needed(tmp_path):
    lines = [line for line in verify(REASONED, tmp_path).lines if line.quantity != "miou"]
    for line in lines:
        known = FIGURES[line.model]
        figure = known.params if line.quantity == "params" else known.macs
        assert line.verdict == ("explained" if figure.why else "same"), line


def test_heads_and_outputs_are_those_that_were_published(tmp_path):
    lines = verify(["fcn_resnet50", "espnetv2_s05"], tmp_path).lines
    assert [line.measured for line in lines if line.model == "fcn_resnet50"][:2] == [35_322_218, 152_716_512_000]
    assert {line.verdict for line in lines} == {"same", "not measured"}


def test_a_number_that_is_another_for_no_reason_ends_with_1(zoo, monkeypatch):
    assert zoo("verify enet")[0] == 0
    monkeypatch.setitem(figures.FIGURES, "enet", Figures(params=Figure(said="351661", source="https://a.org")))
    code, out, error = zoo("verify enet")
    assert code == 1
    assert "enet: parameters 351,660 here, 351,661 published (https://a.org), for no known reason" in error
    assert "no known reason" in out


def test_formats(zoo, tmp_path):
    out = zoo("verify enet --format json")[1]
    params, macs, miou = json.loads(out)
    assert (params["measured"], macs["of"], miou["measured"]) == (351_660, "360x640", None)
    lines = verify(["enet"], tmp_path).lines
    assert show_lines(lines, "csv").startswith("model,quantity,measured,published,said,of,source,why,verdict,")
    page = show_lines(lines, "md")
    assert "| `enet` | parameters | 0.352 M | 0.37 M | -5.0 % | a PReLU" in page
    assert "not measured | 59.5 %" in page


def test_the_page_is_checked(zoo, monkeypatch, records, tmp_path):
    monkeypatch.setattr("zoo.verify.MODELS", {"enet": MODELS["enet"]})  # the page holds all models
    assert zoo("verify --check")[0] == 1
    assert zoo("verify --output results/verify.md")[:2] == (0, "wrote results/verify.md\n")
    assert zoo("verify --check")[:2] == (0, "results/verify.md says what is counted and recorded now\n")
    scored = {"dataset": "cityscapes", "source": "published", "tag": "davidtvs", "image_count": 500}
    save(records.make("enet", right=0.74, input_size=(512, 1024), **scored), {}, tmp_path / "results")
    code, out, _ = zoo("verify --check")
    assert (code, out) == (1, "results/verify.md is out of date\n")
    assert zoo("verify enet --check")[0] == 2
