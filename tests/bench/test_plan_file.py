"""A plan as a file: the same ids everywhere, shares that are the whole, nothing in it that tells of its maker."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from dataclasses import replace

import pytest

from tests.bench.cells import OWN, RECIPE, RUN, cell
from zoo import files
from zoo.bench import plan_file
from zoo.bench.forecast import forecast
from zoo.bench.job import RANDOM
from zoo.bench.plan import Chosen, baseline_cell, cell_id, cell_key, cell_twin, cells, record_twin
from zoo.bench.plan_file import make_plan, read_plan, require_checkout, write_plan
from zoo.bench.planning import plan_bench
from zoo.bench.request import Request, read
from zoo.catalog import find
from zoo.cli.main import main
from zoo.config import BenchConfig
from zoo.data.layout import open_dataset
from zoo.errors import UserError
from zoo.units import parse_shard

TEN = ("unet", "fpn_resnet18", "encoder_decoder", "enet", "erfnet", "cgnet", "edanet", "regseg", "stdc1", "stdc2")
"""Models of the table."""


def planned(given, models, **changes):
    """A plan of models, as a sweep would see them."""
    listed = cells(given, [(find(name), [Chosen(source, recipe)]) for name, source, recipe in models])
    return make_plan(given, forecast(given, listed, set(), ()).lines, "cpu-2c").model_copy(update=changes)


@pytest.fixture
def plan(setting, streets):
    """Ten models, two of them to be trained, in two runtimes and precisions; three seconds are known."""
    kinds = {"runtimes": ("eager", "onnxruntime"), "precisions": ("fp32", "bf16")}
    given = setting(open_dataset(streets), accuracy=True, train=RECIPE, **kinds)
    sources = dict.fromkeys(TEN, (RANDOM, None)) | {
        "unet": (RANDOM, RECIPE),
        "enet": (RANDOM, RECIPE),
        "cgnet": (RUN, None),
    }
    made = planned(given, [(name, *sources[name]) for name in TEN])
    seconds = {"unet": 40.0, "enet": 30.0, "erfnet": 20.0}
    known = tuple(one.model_copy(update={"seconds": seconds.get(one.model)}) for one in made.cells)
    return made.model_copy(update={"cells": known})


def test_what_is_asked_has_the_same_id_on_every_machine(setting, streets):
    given = setting(open_dataset(streets))
    device = given.survey.device.model_copy(update={"machine_id": "n" * 64, "slug": "nvidia-t4", "core_count": 99})
    other = replace(given, survey=replace(given.survey, device=device, device_name="cuda:0"), folders=("another",))
    refused = cell(precision="bf16")
    for one in (cell(), cell(recipe=RECIPE), cell(source=RUN), baseline_cell(given)):
        assert cell_id(one, given) == cell_id(one, other)
        assert cell_key(one, given) != cell_key(one, other)
        assert cell_twin(one, given) != cell_twin(one, other), "another kind of device answers anew"
    twin = replace(
        given, survey=replace(given.survey, device=device.model_copy(update={"slug": given.survey.device.slug}))
    )
    assert cell_twin(cell(), given) == cell_twin(cell(), twin), "one machine of a kind answers for the others"
    assert cell_id(refused, given) == cell_id(replace(refused, refused="no bf16 here"), given)
    trained = replace(cell(recipe=RECIPE), source=RUN)
    assert cell_id(cell(recipe=RECIPE), given) == cell_id(trained, given), "before its training and after"


def test_another_question_has_another_id(setting):
    given = setting()
    changed = [
        *(cell("encoder_decoder"), cell(precision="bf16"), cell(runtime="onnxruntime"), cell(input_size=(32, 64))),
        *(cell(resize="stretch"), cell(source=OWN), cell(source=RUN), cell(recipe=RECIPE)),
        cell(recipe=RECIPE.model_copy(update={"seed": 1})),
    ]
    ids = [cell_id(one, given) for one in (cell(), *changed)]
    assert len(set(ids)) == len(ids)
    assert cell_id(cell(), setting(batch_size=2)) != ids[0]
    assert cell_id(cell(), setting(threads=1)) != ids[0]


def test_a_record_knows_its_twin_and_an_older_one_does_not(setting, records):
    given = setting()
    made = records.make("unet", dataset=None, right=None)
    survey = replace(given.survey, device=made.device, software={"eager": made.software})
    given = replace(given, survey=survey)
    assert record_twin(made.model_copy(update={"cell": cell_id(cell(), given)})) == cell_twin(cell(), given)
    assert record_twin(made) == ""


def test_a_plan_reads_as_it_was_written(plan, tmp_path):
    file = tmp_path / "plan.json"
    write_plan(plan, file)
    assert read_plan(file) == plan
    file = tmp_path / "empty.json"
    write_plan(plan.only(()), file)
    assert read_plan(file).cells == ()
    assert read_plan(file).config == plan.config


def test_a_plan_tells_nothing_of_its_maker(tmp_path, streets):
    """Its text holds no folder of this machine, though its model, its preset and its data are of such."""
    (tmp_path / "net.py").write_text("import torch\n\ndef build(n):\n    return torch.nn.Conv2d(3, n, 1)\n")
    (tmp_path / "mine.toml").write_text('quick = true\ndevice = "cpu"\n')
    file = tmp_path / "plan.json"
    line = ["--models", f"{tmp_path / 'net.py'}:build,encoder_decoder", "--data", str(streets)]
    line += [
        "--results",
        str(tmp_path / "r"),
        "--runs",
        str(tmp_path / "runs"),
        "--preset",
        str(tmp_path / "mine.toml"),
    ]
    assert main(["bench", "--dry-run", "--plan", str(file), *line]) == 0
    text = file.read_text()
    assert str(tmp_path) not in text
    assert not re.search(r'"[^"]*/[^"]*"', text.replace("N/A", "")), "no path of any kind"
    made = read_plan(file)
    assert [one.model for one in made.cells] == ["mean_label_map", "encoder_decoder", "net:build"]
    assert made.config.models == ("encoder_decoder", "net:build")
    assert not (tmp_path / "r").exists()
    with pytest.raises(
        UserError, match="the plan measures net:build, which is not here: say where it lies with --models"
    ):
        read(Request(made.config, plan=made, data=streets))
    here = read(Request(made.config, plan=made, data=streets, models=[f"{tmp_path / 'net.py'}:build"]))
    assert [spec.name for spec in here.specs] == ["encoder_decoder", "net:build"]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_shares_are_the_plan_and_no_training_is_split(plan, count):
    shares = [plan.share(index, count) for index in range(1, count + 1)]
    assert Counter(one.id for share in shares for one in share.cells) == Counter(one.id for one in plan.cells)
    for group in plan.groups():
        assert len({index for index, share in enumerate(shares) if set(group) & set(share.cells)}) == 1
    for share in shares:
        assert [one.id for one in share.cells] == [one.id for one in plan.cells if one in share.cells], "in plan order"
        assert share.config == plan.config
    assert shares == [plan.share(index, count) for index in range(1, count + 1)]


def test_shares_are_of_about_the_same_time(plan):
    """What is not known counts as the mean of what is."""
    known = [one.seconds for one in plan.cells if one.seconds is not None]
    usual = sum(known) / len(known)
    loads = [sum(one.seconds or usual for one in plan.share(index, 2).cells) for index in (1, 2)]
    longest = max(sum(one.seconds or usual for one in group) for group in plan.groups())
    assert max(loads) - min(loads) <= longest
    assert max(loads) < 0.6 * sum(loads)


@pytest.mark.parametrize("text", ["3/2", "0/2", "1/0", "2", "-1/2", "1/2/3", "a/b", "1.0/2", "", "1/9999999"])
def test_a_shard_is_i_of_n(text):
    with pytest.raises(UserError, match=r"a shard is i/n with i from 1 to n, such as 2/4 .*; got"):
        parse_shard(text)


def test_a_shard_is_read(plan):
    assert parse_shard(" 2/4 ") == (2, 4)
    with pytest.raises(UserError, match="--shard is a share of a plan; name its file with --plan"):
        read(Request(BenchConfig(), shard=(1, 2)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: No such file or directory; put it there"),
        ("", r"is no plan; `zoo bench --dry-run --plan FILE` writes one"),
        ("[1]", "is no plan"),
        ("{" * 100_000, "is no plan"),
        ('{"name": "quick"}', "is no plan"),
        ('{"zoo_plan": 2}', "is a plan of version 2 and this zoo reads version 1: plan anew with this one"),
        ('{"zoo_plan": "x"}', "is a plan of version x"),
        ('{"zoo_plan": 1}', r"is a damaged plan \(zoo: Field required\); plan anew"),
    ],
)
def test_what_is_no_plan_is_one_line(tmp_path, text, says):
    file = tmp_path / "plan.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        read_plan(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_plan_is_not_overwritten(plan, tmp_path):
    file = tmp_path / "notes.json"
    file.write_text('{"mine": 1}')
    with pytest.raises(UserError, match=r"notes.json is no plan"):
        write_plan(plan, file)
    assert file.read_text() == '{"mine": 1}'
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        write_plan(plan, tmp_path / "folder")
    for missing in (file, tmp_path / "missing"):
        with pytest.raises(UserError, match=r"there is no folder .* to write the plan into; make it"):
            write_plan(plan, missing / "below.json")


def test_a_plan_that_is_there_is_gone_on_with(plan, tmp_path):
    """Whoever planned first has cut the shares: another's estimates do not move them."""
    file = tmp_path / "plan.json"
    assert write_plan(plan, file) == plan
    slower = tuple(one.model_copy(update={"seconds": 3.0 * (one.seconds or 7.0)}) for one in reversed(plan.cells))
    again = plan.model_copy(update={"cells": slower, "estimated_on": "cpu-99c"})
    assert write_plan(again, file) == plan
    assert read_plan(file) == plan


@pytest.mark.parametrize("lacking", ["first", "second"])
def test_a_machine_that_lacks_a_runtime_asks_the_same(plan, tmp_path, lacking):
    """A version that is not known is any, as where the plan is measured; two that are known must be one."""

    def of(version):
        cells = (one.model_copy(update={"runtime_version": version}) for one in plan.cells)
        return plan.model_copy(update={"cells": tuple(cells)})

    first, second = (of(None), of("7.0")) if lacking == "first" else (of("7.0"), of(None))
    write_plan(first, tmp_path / "plan.json")
    assert write_plan(second, tmp_path / "plan.json") == first
    write_plan(of("7.0"), tmp_path / "known.json")
    with pytest.raises(UserError, match="is another plan already"):
        write_plan(of("7.1"), tmp_path / "known.json")


@pytest.mark.parametrize("is_same", [True, False])
def test_a_plan_that_comes_while_one_is_written_stays(plan, tmp_path, monkeypatch, is_same):
    """Two planners at once: whoever is second finds the first one's plan, or is refused."""
    file, draft_in = tmp_path / "plan.json", files.draft_in
    first = plan.model_copy(update={"estimated_on": "cpu-99c"} if is_same else {"cells": plan.cells[1:]})

    def draft(folder):
        monkeypatch.setattr(files, "draft_in", draft_in)
        write_plan(first, file)
        return draft_in(folder)

    monkeypatch.setattr(files, "draft_in", draft)
    if is_same:
        assert write_plan(plan, file) == first
    else:
        with pytest.raises(UserError, match="is another plan already"):
            write_plan(plan, file)
    assert read_plan(file) == first


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"torch": "1.0.0"},
            r"plan.json is another plan already \(the same cells by another checkout or preset\)",
        ),
        (
            {"cells": ()},
            r"another plan already \(0 cells, 0 of them among the \d+ of this one\): remove it",
        ),
        ("version", r"is a plan of version 2 .*: plan anew with this one into another file with --plan, or remove it"),
        ("damage", r"is a damaged plan .*; plan anew into another file with --plan, or remove it"),
    ],
)
def test_another_plan_is_not_overwritten(plan, tmp_path, changes, says):
    file = tmp_path / "plan.json"
    if isinstance(changes, dict):
        write_plan(plan.model_copy(update=changes), file)
    else:
        file.write_text('{"zoo_plan": 2}' if changes == "version" else '{"zoo_plan": 1}')
    before = file.read_bytes()
    with pytest.raises(UserError, match=says) as caught:
        write_plan(plan, file)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"code": "0" * 16}, r"made by another checkout of zoo \(.*, code 00000000\) than this one"),
        ({"zoo": "9.9"}, r"made by another checkout of zoo \(9.9, "),
        ({"torch": "1.0.0"}, "made with torch 1.0.0, here is .*: install that, or plan anew"),
    ],
)
def test_a_plan_of_another_checkout_is_refused(plan, changes, says):
    require_checkout(plan)
    with pytest.raises(UserError, match=says):
        require_checkout(plan.model_copy(update=changes))


def test_other_data_is_refused(plan, streets):
    assert read(Request(plan.config, plan=plan, data=streets)).dataset.root == streets
    label = next((streets / "gtFine").rglob("*_labelIds.png"))
    label.write_bytes(label.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"the plan measures on streets \(\w{16}\) and .* holds other files \(\w{16}\)"):
        read(Request(plan.config, plan=plan, data=streets))


def test_a_device_is_chosen_where_it_is_measured(plan):
    assert plan.config_for(None) == plan.config
    assert plan.config_for("cuda:1") == plan.config.model_copy(update={"device": "cuda:1"})
    assert plan.config_for("cuda:all").device == "cuda:all"
    with pytest.raises(UserError, match="device is auto, cpu, mps, cuda, cuda:N or cuda:all; got 'tpu'"):
        plan.config_for("tpu")


def test_an_empty_share_has_nothing_to_do_and_is_no_mistake(plan, streets, tmp_path, capsys):
    """What the last tasks of a job array have where there are more of them than sets of weights."""
    file, results = tmp_path / "plan.json", tmp_path / "results"
    write_plan(plan, file)
    command = ["bench", "--plan", str(file), "--shard", "12/12", "--data", str(streets), "--device", "cpu"]
    assert main([*command, "--results", str(results), "--runs", str(tmp_path / "runs")]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "share 12/12 is empty: the plan has 11 sets of weights, and none is split\n" in told.out
    assert f"cells measured: 0, finished before: 0; 0.0 min; records: {results}\n" in re.sub(
        r"\d+\.\d min", "0.0 min", told.out
    )


def test_all_shares_may_be_given_the_same_weights(plan, streets):
    given = {"plan": plan, "data": streets, "weights": ["cgnet=random", "unet=run"]}
    found = [read(Request(plan.config, shard=(index, 4), **given)).asked for index in range(1, 5)]
    asked = {model: one.kind for share in found for model, one in share.items()}
    assert asked == dict.fromkeys(TEN, "auto") | {"cgnet": "random", "unet": "run"}
    assert sum(map(len, found)) == len(TEN)
    with pytest.raises(UserError, match="--weights names 'pidnet_s', which is not measured"):
        read(Request(plan.config, shard=(1, 4), **given | {"weights": ["pidnet_s=random"]}))


def test_flags_that_a_plan_decides_are_refused(plan, tmp_path, capsys):
    file = tmp_path / "plan.json"
    write_plan(plan, file)
    for flags in (["--preset", "quick"], ["--set", "batch_size=2"], ["--seeds", "2"], ["--runtimes", "eager"]):
        assert main(["bench", "--plan", str(file), *flags]) == 2
        assert capsys.readouterr().err == f"zoo: --plan says what is measured; leave {flags[0]} away\n"
    assert main(["bench", "--shard", "1/2"]) == 2
    assert "--shard is a share of a plan" in capsys.readouterr().err


def test_a_plan_for_a_device_that_is_not_here(tmp_path, streets):
    """What this machine lacks or refuses is another's to say: all cells are planned, with the times of this CPU."""
    told = []
    config = BenchConfig(models=("encoder_decoder",), precisions=("fp32", "fp16", "tf32"), device="cuda", quick=True)
    where = {"data": streets, "results": tmp_path / "results", "runs": tmp_path / "runs"}
    outlook = plan_bench(Request(config, **where), lambda _model, note: told.append(note), elsewhere=True)
    assert [line.state for line in outlook.forecast.lines] == ["to measure"] * 4
    assert "no device cuda here: planned for where there is one, with times of this machine's CPU" in told
    assert outlook.plan.config.device == "cuda"
    assert outlook.plan.estimated_on.endswith("c")
    with pytest.raises(UserError, match="cuda was asked for"):
        plan_bench(Request(config, **where))


def test_plans_are_version_1():
    """A change of what stands in a plan is another version, which older zoos refuse by name."""
    assert plan_file.VERSION == 1
    fields = plan_file.Plan.model_fields.keys() | plan_file.PlannedCell.model_fields.keys()
    assert fields == set(
        textwrap.dedent("""
        zoo_plan zoo code torch estimated_on config image_size dataset file cells
        id model weights runtime runtime_version precision input_size resize seconds
        """).split()
    )


def test_the_file_reads_well(plan, tmp_path):
    write_plan(plan, tmp_path / "plan.json")
    lines = (tmp_path / "plan.json").read_text().splitlines()
    assert sum(line.startswith('  {"id"') for line in lines) == len(plan.cells), "a line for each cell"
    assert json.loads("\n".join(lines))["zoo_plan"] == 1
