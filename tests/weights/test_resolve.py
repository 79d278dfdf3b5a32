"""Which weights: one grammar, one answer, matched to the dataset's classes by name."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.checkpoints import facts, leave, spec
from zoo.catalog import find
from zoo.checkpoint import FACTS_KEY
from zoo.cli.main import make_parser
from zoo.config import TrainConfig, load_config
from zoo.errors import UserError
from zoo.labels import CITYSCAPES
from zoo.published.kept import file_of
from zoo.published.table import PUBLISHED, published_of
from zoo.spec import DatasetSpec, Feeding, ModelSpec
from zoo.weights.asked import AUTO, RANDOM, Asked, knows_itself, parse_all_asked, parse_asked
from zoo.weights.resolve import resolve
from zoo.weights.source import Brought, Source, require_weights

RECIPE = TrainConfig(name="tiny", steps=6)
CAMVID_CPU = load_config(TrainConfig, "camvid_cpu").recipe_hash


def classes(*names, **facts):
    colors = tuple((index, index, index) for index in range(len(names)))
    return DatasetSpec(name="set", class_names=names, class_colors=colors, label_to_train_id={}, **facts)


@pytest.fixture
def own(tmp_path):
    """A model of one's own."""
    (tmp_path / "net.py").write_text("")
    return ModelSpec(name="net:build", builder=f"{tmp_path / 'net.py'}:build", family="own", own=True)


class Streets:
    """All that weights ask of a dataset."""

    synthetic = False

    def __init__(self, dataset_spec=CITYSCAPES, name="streets", fingerprint="f" * 16):
        self.spec, self.name, self._fingerprint = dataset_spec, name, fingerprint

    def fingerprint(self):
        return self._fingerprint


def found(asked, tmp_path, *, model=None, dataset=None, brings=None):
    dataset = dataset or Streets()
    return resolve(asked, model or spec("net"), dataset, runs=tmp_path / "runs", cache=tmp_path, brings=brings)


def checkpoint(path, **changes):
    text = facts(RECIPE, **changes).model_dump_json()
    save_file({"w": np.zeros(3, np.float32)}, path, metadata={FACTS_KEY: text})
    return path


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("auto", AUTO),
        ("random", RANDOM),
        ("own", Asked("own")),
        ("run", Asked("run")),
        ("run:camvid", Asked("run", "camvid")),
        ("run:camvid@11872d:3", Asked("run", "camvid@11872d", 3)),
        ("published", Asked("published")),
        ("published:zh320", Asked("published", "zh320")),
    ],
)
def test_the_grammar(text, asked):
    assert parse_asked(text) == asked


def test_what_is_no_word_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("w.pth", "run.pth", "random.bin", "a:b"):
        Path(name).touch()
        assert parse_asked(name) == Asked("file", file=Path(name))
    Path("random").touch()
    assert parse_asked("random") == RANDOM
    assert parse_asked("./random") == Asked("file", file=Path("random"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none.pth", "there is no file 'none.pth'"),
        ("randm", "Did you mean 'random'"),
        ("random:1", "there is no file 'random:1'"),
        ("run:", r"run\[:RECIPE\[:SEED\]\]"),
        ("run:x:y", r"run\[:RECIPE\[:SEED\]\]"),
        ("published:", "there is no file"),
    ],
)
def test_what_is_neither_gets_one_line(text, message):
    with pytest.raises(UserError, match=message) as caught:
        parse_asked(text)
    assert "\n" not in str(caught.value)


def test_several_models_have_an_answer_each(tmp_path):
    file = tmp_path / "w.pth"
    file.touch()
    asked = parse_all_asked(["random", f"unet={file}"], ["unet", "fcn_resnet50"])
    assert asked == {"unet": Asked("file", file=file), "fcn_resnet50": RANDOM}
    assert parse_all_asked([], ["unet"]) == {"unet": AUTO}
    assert parse_all_asked([str(file)], ["unet"]) == {"unet": Asked("file", file=file)}
    for texts, message in (
        (["fpn_resnet18=random"], r"names 'fpn_resnet18', which is not measured\..* Add it to --models"),
        (["unet=random", "unet=auto"], "--weights unet is given as random and as auto; give it once"),
        (["random", "auto"], "--weights is given as random and as auto; give it once"),
        ([str(file)], "is one file and 2 models are named; say MODEL=FILE"),
    ):
        with pytest.raises(UserError, match=message):
            parse_all_asked(texts, ["unet", "fcn_resnet50"])


def test_auto_takes_the_newest_run_and_says_what_else_there_was(tmp_path):
    older = RECIPE.model_copy(update={"name": "older"})
    leave(tmp_path / "runs", Streets(), older)
    folder = leave(tmp_path / "runs", Streets(), RECIPE, classes=CITYSCAPES)
    source = found(AUTO, tmp_path)
    assert (source.kind, source.file) == ("run", folder / "best.safetensors")
    assert (source.recipe, source.step_count, source.seed, source.trained_on) == ("tiny", 6, 0, "streets")
    assert f"there is also run:older@{older.recipe_hash[:6]}:0" in source.said
    for name in ("older", f"older@{older.recipe_hash[:6]}", older.recipe_hash[:6]):
        assert found(parse_asked(f"run:{name}:0"), tmp_path).recipe == "older"
    with pytest.raises(UserError, match="no finished run by recipe older with seed 1 on streets; there is run:tiny@"):
        found(parse_asked("run:older:1"), tmp_path)


def test_auto_then_takes_published_weights_then_own_ones_then_none(tmp_path, own):
    row = spec(PUBLISHED[0].model)
    source = found(AUTO, tmp_path, model=row)
    assert (source.kind, source.recipe, source.sha256) == ("random", "none", None)
    assert "no finished run on streets" in source.missing
    assert f"`zoo weights fetch {PUBLISHED[0].id}`" in source.missing
    assert "fetch" not in found(AUTO, tmp_path).missing, "of a model without published ones"
    file = file_of(PUBLISHED[0], tmp_path)
    file.parent.mkdir()
    file.write_bytes(b"weights")
    source = found(AUTO, tmp_path, model=row)
    assert (source.kind, source.tag, source.input_size) == ("published", PUBLISHED[0].tag, (1024, 2048))
    assert source.licence == PUBLISHED[0].weights_licence.value
    assert found(AUTO, tmp_path, model=row, dataset=Streets(classes("moose", "road"))).kind == "random"
    brought = found(AUTO, tmp_path, model=own, brings=lambda: Brought("a" * 64))
    assert (brought.kind, brought.sha256) == ("own", "a" * 64)
    assert found(AUTO, tmp_path, model=own, brings=lambda: Brought(None, "head.weight")).kind == "random"
    assert found(AUTO, tmp_path, brings=lambda: pytest.fail("a row of the zoo brings nothing")).kind == "random"


def test_what_is_asked_for_and_not_there_gets_one_line(tmp_path, own):
    row = spec(PUBLISHED[0].model)
    for asked, model, brings, message in (
        (
            "run",
            spec("net"),
            None,
            "net: no finished run on streets in .*; train one with `zoo train net --data DIR`, or",
        ),
        ("published", spec("net"), None, "net: no published weights are known"),
        ("published:nobody", row, None, f"called nobody are known; there is {PUBLISHED[0].tag}"),
        ("published", row, None, f"not on this machine; `zoo weights fetch {PUBLISHED[0].id}` fetches"),
        ("own", spec("net"), None, "net is a row of the zoo, which begins with random weights"),
        ("own", own, lambda: Brought(None, "head.bias"), r"others from call to call \(head.bias first\)"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            found(parse_asked(asked), tmp_path, model=model, brings=brings)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="a run is one on a dataset and none is open"):
        resolve(Asked("run"), spec("net"), None, runs=tmp_path)
    with pytest.raises(UserError, match="net: no finished run on streets"):
        require_weights(found(AUTO, tmp_path), "net")


@pytest.mark.parametrize(
    ("asked", "command"),
    [
        ("run", "`zoo train pidnet_s --data DIR`"),
        ("run:camvid_cpu", "`zoo train pidnet_s --data DIR --config camvid_cpu`"),
        ("run:camvid_cpu:2", "`zoo train pidnet_s --data DIR --config camvid_cpu --seed 2`"),
        (f"run:camvid_cpu@{CAMVID_CPU}:0", "`zoo train pidnet_s --data DIR --config camvid_cpu`"),
        (f"run:camvid_cpu@{CAMVID_CPU[:7]}:1", "`zoo train pidnet_s --data DIR --config camvid_cpu --seed 1`"),
        (f"run:{CAMVID_CPU[:6]}", "`zoo train pidnet_s --data DIR --config camvid_cpu`"),
        (
            "run:camvid_cpu@0123456:2",
            (
                "`zoo train pidnet_s --data DIR --config FILE --seed 2` "
                "(FILE is the recipe camvid_cpu@0123456, which is not here: zoo's own camvid_cpu is another)"
            ),
        ),
        ("run:0123456", "`zoo train pidnet_s --data DIR --config FILE` (FILE is the recipe 0123456)"),
        ("run:cityscapes_80k", "`zoo train pidnet_s --data DIR --config cityscapes_80k`"),
        ("run:mine:1", "`zoo train pidnet_s --data DIR --config FILE --seed 1` (FILE is the recipe mine)"),
    ],
)
def test_a_run_that_is_not_here_names_the_command_that_makes_it(tmp_path, asked, command):
    """Where there is no run at all, and where there is another."""
    wanted = parse_asked(asked)
    with pytest.raises(UserError) as none:
        found(wanted, tmp_path, model=spec("pidnet_s"))
    assert f"train one with {command}, or name weights" in str(none.value)
    leave(tmp_path / "runs", Streets(), RECIPE, network=spec("pidnet_s"), model="pidnet_s")
    if wanted.name is not None:
        with pytest.raises(UserError) as other:
            found(wanted, tmp_path, model=spec("pidnet_s"))
        assert str(other.value).endswith(f"; {command} makes it")
    make_parser().parse_args(shlex.split(command.split("`")[1])[1:])


def test_a_model_of_ones_own_is_named_as_a_command_takes_it_here(tmp_path, own, monkeypatch):
    def advised():
        command = found(AUTO, tmp_path, model=own, brings=lambda: Brought(None)).missing.split("`")[1]
        model = make_parser().parse_args(shlex.split(command)[1:]).model
        assert find(model).builder == own.builder
        return model

    (tmp_path / "else where").mkdir()
    monkeypatch.chdir(tmp_path)
    assert advised() == "net.py:build"
    monkeypatch.chdir(tmp_path / "else where")
    assert advised() == own.builder
    monkeypatch.chdir(tmp_path.parent)
    assert advised() == f"{tmp_path.name}/net.py:build"


def test_the_nearest_runs_are_named_where_none_will_do(tmp_path):
    elsewhere = Streets(name="elsewhere", fingerprint="e" * 16)
    other = leave(tmp_path / "runs", elsewhere, RECIPE)
    assert f"(trained on elsewhere: {other}/best.safetensors)" in found(AUTO, tmp_path).missing
    renumbered = found(AUTO, tmp_path, dataset=Streets(name="elsewhere", fingerprint="d" * 16))
    assert f"(trained on another version of it: {other}/best.safetensors)" in renumbered.missing


def test_classes_are_matched_by_name(tmp_path):
    swapped = classes("road", "car", "person")
    path = checkpoint(tmp_path / "w", classes=classes("road", "person", "car"), num_classes=3)
    assert (
        found(Asked("file", file=path), tmp_path, dataset=Streets(classes("road", "person", "car"))).train_ids is None
    )
    source = found(Asked("file", file=path), tmp_path, dataset=Streets(swapped))
    assert source.train_ids == (0, 2, 1)
    assert "matched to those of streets by name, whose order is another" in source.said
    subset = found(Asked("file", file=path), tmp_path, dataset=Streets(classes("Car", "road")))
    assert (subset.train_ids, subset.num_classes) == ((1, 255, 0), 3)
    with pytest.raises(UserError, match=r"has others too \(bus\).*`zoo train net --init "):
        found(Asked("file", file=path), tmp_path, dataset=Streets(classes("road", "person", "bus")))


def test_how_a_network_is_fed_is_the_weights_to_say_then_the_datasets(tmp_path):
    mean, other = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    model, data = spec("net", std=(9.0, 9.0, 9.0)), classes("road", "car", mean=other)
    plain = Source(kind="random").fed(model, data)
    assert (plain.mean, plain.std, plain.channel_order) == (other, (9.0, 9.0, 9.0), "rgb")
    fed = Source(kind="file", feeding=Feeding(mean=mean, channel_order="bgr")).fed(model, data)
    assert (fed.mean, fed.std, fed.channel_order) == (mean, (9.0, 9.0, 9.0), "bgr")
    mapped = Source(kind="file", train_ids=(1, 255, 0))
    assert mapped.fed(model, data).train_ids == (1, 255, 0)
    own = model.model_copy(update={"train_ids": (2, 0, 255, 1)})  # channels of the network → classes of the weights
    assert mapped.fed(own, data).train_ids == (0, 1, 255, 255)


def test_a_checkpoint_of_an_older_zoo_is_taken_at_its_count(tmp_path):
    path = checkpoint(tmp_path / "w", schema_version=1, num_classes=19, fingerprint="a" * 16)
    source = found(Asked("file", file=path), tmp_path)
    assert "does not tell its classes (an older zoo wrote it)" in source.said
    assert not knows_itself(Asked("file", file=path), spec("net"))
    with pytest.raises(UserError, match=r"trained for 19 classes, the dataset has 2; give the dataset .* with --data"):
        found(Asked("file", file=path), tmp_path, dataset=Streets(classes("a", "b")))
    assert "older zoo" not in found(Asked("file", file=path), tmp_path, dataset=Streets(fingerprint="a" * 16)).said
    with pytest.raises(UserError, match="is a checkpoint of net, not of unet; name net with it"):
        found(Asked("file", file=path), tmp_path, model=spec("unet"))


def test_weights_of_another_program_are_known_by_their_bytes(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"one")
    one = found(Asked("file", file=path), tmp_path)
    assert (one.kind, one.tag, one.recipe, one.classes) == ("file", "w.pth", "external", None)
    path.write_bytes(b"two")
    assert found(Asked("file", file=path), tmp_path).sha256 != one.sha256
    assert not knows_itself(Asked("file", file=path), spec("net"))
    assert one.facts("ab", ["stripped"]).label == "file w.pth"


def test_published_rows_are_of_the_zoo_and_told_apart():
    from zoo.catalog import MODELS

    assert {one.model for one in PUBLISHED} <= set(MODELS)
    assert (
        len({(one.model, one.tag) for one in PUBLISHED}) == len({one.file_name for one in PUBLISHED}) == len(PUBLISHED)
    )
    assert [one.tag for one in published_of("unet_resnet18", "zh320")] == ["zh320"]
    assert published_of("unet_resnet18", "x") == published_of("x") == []
