"""Tables and sentences at a terminal: what there is no room for is left out and said, and commands stay whole."""

import pytest

from zoo.bench.forecast import HEADER as OF_A_DRY_RUN
from zoo.catalog import select
from zoo.published.table import PUBLISHED
from zoo.report.models import HEADER, show_models
from zoo.report.terminal import fitted_table, say_hidden, wrapped
from zoo.weights.listing import HEADER as OF_WEIGHTS
from zoo.weights.listing import show_published


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_lists_fit_a_terminal_and_say_which_columns_do_not(columns, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", str(columns))
    for text, header in (
        (show_models(select(["all"])), HEADER),
        (show_published(PUBLISHED, cache=tmp_path).rpartition(" are in ")[0], OF_WEIGHTS),
    ):
        said, _, table = text.rpartition("all)\n")
        assert max(map(len, text.splitlines())) <= columns
        titles = next(line for line in table.splitlines() if line.strip())
        missing = [title for title in header if f" {title} " not in f" {titles} "]
        assert all(title in " ".join(said.split()) for title in missing)
        assert bool(said) == bool(missing)


def test_columns_go_in_the_order_that_is_given():
    rows = [["deeplabv3plus_resnet101", "run camvid_cpu", "onnxruntime int8", "256x512", "9 s", "to train first"]]
    table, hidden = fitted_table(OF_A_DRY_RUN, rows, left=6, drop=("input", "weights"), width=80)
    assert (table.plain[0].split(), hidden) == (["model", "weights", "runtime", "about", "state"], ["input"])
    table, hidden = fitted_table(OF_A_DRY_RUN, rows, left=6, drop=("input", "weights"), width=20)
    assert hidden == ["input", "weights"], "no others, however narrow"
    assert fitted_table(OF_A_DRY_RUN, rows, left=6, drop=("input",), width=100)[1] == []
    assert say_hidden([]) == []
    assert say_hidden(["grade", "pixel acc. %"], 40)[0] == "hidden in this width: grade,", "no title is broken"


def test_a_command_that_fits_into_a_line_is_not_broken():
    sentence = "no mIoU: to fill it `zoo bench --data DIR` after `zoo train MODEL --data DIR --config RECIPE`, or so"
    for width in range(49, 110):
        lines = wrapped(sentence, width)
        assert max(map(len, lines)) <= width
        assert any("`zoo train MODEL --data DIR --config RECIPE`" in line for line in lines)
    assert " ".join(" ".join(wrapped(sentence, 30)).split()) == sentence, "longer ones are broken as all else"
