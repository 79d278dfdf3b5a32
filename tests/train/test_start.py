"""Runs that begin from whole weights: what is taken, what is said, and what it makes of the run."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from zoo.artifact import brought
from zoo.catalog import find
from zoo.checkpoint import FACTS_KEY, read_facts
from zoo.config import TrainConfig
from zoo.data.layout import open_dataset
from zoo.errors import UserError
from zoo.evaluate import evaluate_model
from zoo.labels import CITYSCAPES
from zoo.models.build import build_model
from zoo.models.contract import tensors_of
from zoo.published.claims import Stated
from zoo.published.facts import Published
from zoo.published.kept import published_folder
from zoo.score.accuracy import miou
from zoo.spec import DatasetSpec, Feeding
from zoo.state_dict import read_weights, weights_sha256
from zoo.train.loop import train, train_model
from zoo.train.repeat import repeat_run
from zoo.train.run import read_run
from zoo.train.start import find_start

CPU = torch.device("cpu")
VALUES = {"building": 11, "road": 7, "sky": 23}


@pytest.fixture
def classed(dataset, tmp_path):
    """`classed("sky", "road", …)`: the streets as a dataset of these classes, whatever they are called."""

    def classed(*names, values=None):
        root = shutil.copytree(dataset.root, tmp_path / "-".join(names))
        values = values or [VALUES[name] for name in names]
        tables = [
            f'[[classes]]\nname = "{name}"\ncolor = [{value}, 0, 0]\nvalues = [{value}]\n'
            for name, value in zip(names, values, strict=True)
        ]
        ignored = [value for value in (0, *VALUES.values()) if value not in values]
        (root / "classes.toml").write_text(f'name = "{root.name}"\nignored = {ignored}\n\n' + "\n".join(tables))
        return open_dataset(root)

    return classed


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def trained(tiny, config, dataset, runs):
    """A run on the 19 classes, of a network with an auxiliary head."""
    return train_model(tiny("Aux").name, config, data=dataset.root, runs=runs, device="cpu")


def begun(init, spec, config, dataset, **folders):
    """The tensors a run begins with, those it would begin with otherwise, what is noted and what a person reads."""
    spec = find(spec.builder if spec.own else spec.name)
    start, _ = find_start(init, config, spec, dataset, **folders)
    torch.manual_seed(5)
    module, built = build_model(spec, dataset.spec.num_classes)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    init, line = start.fill(module, built, dataset.spec)
    assert "\n" not in line
    return module.state_dict(), before, init, line


def same(one, two, *names):
    return all(torch.equal(one[name], two[name]) for name in names)


STEM = ("stem.0.weight", "stem.1.weight", "stem.1.running_mean")
HEADS = ("head.weight", "head.bias", "aux.weight", "aux.bias")


def test_channels_are_matched_by_name_in_every_head(trained, tiny, config, classed):
    after, before, init, line = begun(
        trained.best, tiny("Aux"), config, classed("sky", "pole", "road", values=[23, 11, 7])
    )
    theirs = read_weights(trained.best)
    assert same(after, theirs, *STEM)
    names = CITYSCAPES.class_names
    for head in HEADS:
        assert torch.equal(after[head], theirs[head][[names.index(name) for name in ("sky", "pole", "road")]])
    assert "its output channels are matched by name: sky, pole, road are taken" in line
    assert (init.label, init.taken_count, len(init.left_out)) == ("run tiny", len(after), 0)

    after, before, _, line = begun(trained.best, tiny("Aux"), config, classed("road", "crane", values=[7, 11]))
    for head in HEADS:
        assert torch.equal(after[head][0], theirs[head][names.index("road")])
        assert torch.equal(after[head][1], before[head][1])
    assert "road are taken, those of crane begin anew" in line


def test_as_many_classes_of_another_order_or_other_names_are_not_taken_for_the_same(tiny, config, classed, runs):
    first = classed("road", "building", "sky")
    file = train_model(tiny("Aux").name, config, data=first.root, runs=runs, device="cpu").best
    theirs = read_weights(file)
    after, _, _, line = begun(file, tiny("Aux"), config, first)
    assert same(after, theirs, *theirs)
    assert "left out" not in line
    assert "matched" not in line

    after, _, _, line = begun(file, tiny("Aux"), config, classed("sky", "road", "building"))
    assert all(torch.equal(after[head], theirs[head][[2, 0, 1]]) for head in HEADS)
    assert "matched by name" in line

    after, before, init, line = begun(file, tiny("Aux"), config, classed("quay", "crane", "water", values=[7, 11, 23]))
    assert same(after, theirs, *STEM)
    assert same(after, before, *HEADS)
    assert "left out: head.weight (of other classes: road, building, sky)" in line
    assert len(init.left_out) == len(HEADS)


def test_a_file_that_does_not_tell_its_classes_is_read_by_shapes(trained, tiny, config, dataset, classed, tmp_path):
    theirs = read_weights(trained.best)
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in theirs.items()}}, tmp_path / "net.pth")
    after, _, init, line = begun(tmp_path / "net.pth", tiny("Aux"), config, dataset)
    assert same(after, theirs, *theirs)
    assert (
        "it does not tell its classes: its output channels are taken for those of the dataset, in their order" in line
    )
    assert init.label == "file net.pth"

    after, before, init, line = begun(tmp_path / "net.pth", tiny("Aux"), config, classed("road", "sky"))
    assert same(after, theirs, *STEM)
    assert same(after, before, *HEADS)
    for head in HEADS:
        assert head in line.partition("left out: ")[2]
    assert "(19, 8, 1, 1)" in line
    assert "does not tell its classes" not in line
    assert (init.taken_count, len(init.left_out)) == (len(after) - 4, 4)

    only_stem = {name: tensor for name, tensor in theirs.items() if name.startswith("stem")}
    torch.save(only_stem, tmp_path / "stem.pth")
    after, before, _, _ = begun(tmp_path / "stem.pth", tiny("Aux"), config, dataset)
    assert same(after, theirs, *STEM)
    assert same(after, before, *HEADS)


def test_nothing_that_fits_is_one_line_and_begins_nothing(tiny, config, dataset, runs, tmp_path):
    torch.save({"w": torch.ones(3), "b": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"nothing in .*other\.pth fits") as caught:
        train_model(tiny().name, config, data=dataset.root, runs=runs, init=tmp_path / "other.pth", device="cpu")
    assert "\n" not in str(caught.value)
    assert not list(runs.rglob("run.json"))


def test_fine_tuning_is_a_run_of_its_own_that_knows_where_it_began(trained, tiny, config, classed, runs, caplog):
    name, three = tiny("Aux").name, classed("building", "road", "sky")
    plain = train_model(name, config, data=three.root, runs=runs, device="cpu")
    caplog.clear()
    tuned = train_model(name, config, data=three.root, runs=runs, init=trained.best, device="cpu")
    assert caplog.text.count("begins from weights of the run tiny (6 steps, seed 0, ") == 1
    assert tuned.last.parent != plain.last.parent
    facts, run = read_facts(tuned.best), read_run(tuned.last.parent)
    sha256 = weights_sha256(read_weights(trained.best))
    assert (facts.init, facts.init_sha256, facts.licence) == ("run tiny", sha256, "")
    assert (run.init.label, run.init.given, run.init.sha256) == ("run tiny", str(trained.best), sha256)
    assert facts.recipe_hash == run.recipe_hash != config.recipe_hash
    assert tuned.losses[0] < 0.95 * plain.losses[0]
    told, steps = [], []
    evaluate_model(name, three, weights=tuned.best, device="cpu", on_source=told.append)
    weights = told[0].facts(sha256)
    assert (weights.init, weights.init_sha256, weights.label) == ("run tiny", sha256, "run tiny")

    caplog.clear()
    again = train_model(
        name,
        config,
        data=three.root,
        runs=runs,
        init=trained.best,
        device="cpu",
        on_step=lambda *row: steps.append(row),
    )
    assert (again.best, steps, caplog.text) == (tuned.best, [], "")


def test_an_interrupted_run_goes_on_from_where_it_was_and_not_from_its_start(trained, tiny, config, classed, tmp_path):
    name, three, folders = tiny("Aux").name, classed("building", "road", "sky"), [tmp_path / "a", tmp_path / "b"]
    asked = {"data": three.root, "init": trained.best, "device": "cpu"}
    whole = train_model(name, config, runs=folders[0], **asked)
    for _ in range(6):
        part = train_model(name, config, runs=folders[1], time_limit_s=1e-9, **asked)
    assert part.complete
    assert part.losses == whole.losses
    assert weights_sha256(read_weights(part.last)) == weights_sha256(read_weights(whole.last))
    assert read_run(part.last.parent).init == read_run(whole.last.parent).init
    assert read_facts(part.last).init == "run tiny"


def test_averaged_weights_begin_there_too(trained, tiny, config, dataset, tmp_path):
    averaged = config.model_copy(update={"ema_decay": 0.6, "sgd_learning_rate": 1e-12})
    still = train_model(
        tiny("Aux").name, averaged, data=dataset.root, runs=tmp_path / "other", init=trained.best, device="cpu"
    )
    for head in HEADS:
        assert torch.allclose(read_weights(still.last)[head], read_weights(trained.best)[head], atol=1e-6)


def test_the_recipe_names_what_it_begins_from(trained, tiny, config, dataset, tmp_path):
    assert TrainConfig().recipe_hash == "c848fe19de9a"  # as before there was such a key
    assert "init_hash" not in TrainConfig().model_dump(exclude_defaults=True)

    spec = find(tiny("Aux").name)

    def content(file):
        return find_start(file, config, spec, dataset)[1].init_hash

    copy = shutil.copy(trained.best, tmp_path / "copy.bin")
    theirs = read_weights(trained.best)
    torch.save(theirs, tmp_path / "bare.pth")
    torch.save(theirs | {"head.bias": theirs["head.bias"] + 1}, tmp_path / "other.pth")
    known, bare, other = content(trained.best), content(tmp_path / "bare.pth"), content(tmp_path / "other.pth")
    assert content(copy) == known
    assert len({known, bare, other, None}) == 4  # what is not known of classes decides too
    named = config.model_copy(update={"init_hash": known})
    assert find_start(copy, named, spec, dataset)[1].recipe_hash == named.recipe_hash != config.recipe_hash
    with pytest.raises(UserError, match=r"begins from other weights than .*the file was changed"):
        find_start(tmp_path / "other.pth", named, spec, dataset)
    with pytest.raises(UserError, match=f"begins from weights .{known}.; give them with --init"):
        train(spec, named, dataset, run_dir=tmp_path / "run", device=CPU)


def test_the_same_command_twice_is_one_run(tiny, config, dataset, runs):
    name, asked = tiny().name, {"data": dataset.root, "runs": runs, "device": "cpu"}
    with pytest.raises(
        UserError, match=r"no finished run on .*; train one with `zoo train [^`]*`, or name weights with --init"
    ):
        train_model(name, config, init="run", **asked)
    first = train_model(name, config, **asked)
    second = train_model(name, config, init="run", **asked)
    assert second.best != first.best
    assert train_model(name, config, init="run", **asked).best == second.best
    digits = read_facts(second.last).recipe_hash
    third = train_model(name, config, init=f"run:tiny@{digits[:6]}:0", **asked)
    assert third.best not in {first.best, second.best}
    assert read_run(third.last.parent).init.given == str(second.best)
    with pytest.raises(UserError, match="no finished run by recipe camvid"):
        train_model(name, config, init="run:camvid", **asked)


@pytest.mark.parametrize("init", ["auto", "random"])
def test_what_names_no_weights(tiny, config, dataset, init):
    with pytest.raises(UserError, match=f"--init {init} names no weights to begin from; give run.*, or leave --init"):
        find_start(init, config, tiny(), dataset)


def test_weights_of_another_model_or_none(trained, tiny, config, dataset):
    with pytest.raises(UserError, match="is a checkpoint of tiny_net:Aux, not of tiny_net:Net"):
        find_start(trained.best, config, find(tiny().name), dataset)
    with pytest.raises(UserError, match=r"--init is run\[.*or a FILE; there is no file 'nowhere.pth'"):
        find_start("nowhere.pth", config, tiny(), dataset)
    with pytest.raises(UserError, match="no published weights are known"):
        find_start("published", config, tiny(), dataset)
    with pytest.raises(UserError, match="its weights are others from call to call"):
        find_start("own", config, tiny(), dataset)


OWN = """
import torch
from torch import nn

def build(num_classes):
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU(), nn.Conv2d(4, num_classes, 1))
"""


def test_a_model_that_brings_its_weights_begins_from_them(config, dataset, tmp_path, runs):
    (tmp_path / "mine.py").write_text(OWN)
    name = f"{tmp_path / 'mine.py'}:build"
    trained = train_model(name, config, data=dataset.root, runs=runs, init="own", device="cpu")
    facts, run = read_facts(trained.last), read_run(trained.last.parent)
    assert facts.init == run.init.label == run.init.given == "own"
    assert facts.init_sha256 == weights_sha256(build_model(find(name), 19)[0].state_dict())
    assert (run.init.taken_count, len(run.init.left_out)) == (4, 0)
    assert repeat_run(trained.last.parent, device="cpu").same_weights


STATEFUL = """
import torch
from torch import nn

class Net(nn.Conv2d):
    def get_extra_state(self):
        return {"version": 2}

    def set_extra_state(self, state):
        assert state == {"version": 2}

def build(num_classes):
    torch.manual_seed(1)
    net = Net(3, num_classes, 1)
    net.register_buffer("unknown", torch.tensor(float("nan")))
    return net
"""


def test_a_state_that_is_more_than_tensors_is_known_by_them(config, dataset, tmp_path, runs):
    (tmp_path / "mine.py").write_text(STATEFUL)
    spec = find(f"{tmp_path / 'mine.py'}:build")
    tensors = tensors_of(build_model(spec, 19)[0])
    assert tensors.keys() == {"weight", "bias", "unknown"}
    assert brought(spec, 19).sha256 == weights_sha256(tensors)
    trained = train_model(spec.builder, config, data=dataset.root, runs=runs, init="own", device="cpu")
    assert read_facts(trained.last).init_sha256 == weights_sha256(tensors)
    assert read_weights(trained.last).keys() == tensors.keys()


def publish(monkeypatch, cache, spec, weights, licence, **facts):
    """Put a row into the table of published checkpoints, and its file into the cache."""
    facts["weights_licence"] = Stated(value=licence)
    row = Published(model=spec.name, tag="lab", file_name="lab.pth", url="https://lab", **facts)
    monkeypatch.setattr("zoo.weights.resolve.published_of", lambda *_: [row])
    published_folder(cache).mkdir(parents=True)
    torch.save(weights, published_folder(cache) / "lab.pth")


def test_a_licence_goes_with_the_weights(tiny, config, dataset, runs, tmp_path, monkeypatch):
    spec, cache = tiny(), tmp_path / "cache"
    weights = build_model(spec, 19)[0].state_dict()
    publish(monkeypatch, cache, spec, weights, licence="CC-BY-NC-4.0", feeding=Feeding(channel_order="bgr"))
    asked = {"data": dataset.root, "runs": runs, "cache": cache, "device": "cpu"}
    first = train_model(spec.name, config, init="published", **asked)
    longer = config.model_copy(update={"steps": 7})
    second = train_model(spec.name, longer, init=first.best, **asked)
    third = train_model(spec.name, longer, init=second.best, **asked)
    for trained, init in ((first, "published lab"), (second, "run tiny"), (third, "run tiny")):
        facts, run = read_facts(trained.best), read_run(trained.last.parent)
        assert (facts.init, facts.licence, run.init.licence) == (init, "CC-BY-NC-4.0", "CC-BY-NC-4.0")
        assert facts.feeding.channel_order == "bgr"  # a network goes on as it was fed
    assert read_run(first.last.parent).init.given == "published:lab"
    assert repeat_run(first.last.parent, cache=cache, device="cpu").same_weights
    plain = train_model(spec.name, longer, **asked)
    assert (read_facts(plain.best).licence, read_facts(plain.best).feeding.channel_order) == ("", "rgb")


def test_how_weights_are_fed_is_said_where_it_differs(tiny, config, dataset, tmp_path, monkeypatch):
    feeding = Feeding(mean=(0.5, 0.5, 0.5), channel_order="bgr")
    publish(monkeypatch, tmp_path, tiny(), build_model(tiny(), 19)[0].state_dict(), licence="", feeding=feeding)
    *_, line = begun("published", tiny(), config, dataset, cache=tmp_path)
    assert line.endswith("it is fed as they were: mean (0.5, 0.5, 0.5), channel_order bgr")


def test_whole_weights_take_the_place_of_the_encoders(tiny, config, dataset, tmp_path):
    torch.save(build_model(tiny(), 19)[0].state_dict(), tmp_path / "net.pth")
    spec, recipe = tiny(pretrained="imagenet"), config.model_copy(update={"pretrained": "auto"})
    start, named = find_start(tmp_path / "net.pth", recipe, spec, dataset)
    assert named.pretrained is False
    assert named == find_start(tmp_path / "net.pth", config, spec, dataset)[1]
    assert (
        "in place of the encoder's published weights (pretrained)"
        in start.fill(*build_model(tiny(), 19), dataset.spec)[1]
    )


def test_a_run_with_a_start_is_repeated_as_long_as_the_start_is_there(trained, tiny, config, dataset, runs, tmp_path):
    file = shutil.copy(trained.best, tmp_path / "start.safetensors")
    tuned = train_model(tiny("Aux").name, config, data=dataset.root, runs=runs, init=file, device="cpu")
    folder = tuned.last.parent
    again = repeat_run(folder, device="cpu")
    assert (again.same_weights, again.differences) == (True, ())
    moved = shutil.move(file, tmp_path / "moved.safetensors")
    with pytest.raises(UserError, match=r"began from the weights .*start\.safetensors, which are gone; give the same"):
        repeat_run(folder, device="cpu", runs=tmp_path / "other")
    assert repeat_run(folder, init=moved, device="cpu", runs=tmp_path / "other").same_weights
    with pytest.raises(UserError, match="begins from other weights than"):
        repeat_run(folder, init=tuned.best, device="cpu", runs=tmp_path / "third")
    with pytest.raises(UserError, match="began from no weights"):
        repeat_run(trained.last.parent, init=moved, device="cpu")


def test_a_finished_run_of_other_steps_is_said_before_the_first_step(tiny, config, dataset, runs, caplog):
    name, asked = tiny().name, {"data": dataset.root, "runs": runs, "device": "cpu"}
    first = train_model(name, config, **asked)
    train_model(name, config.model_copy(update={"seed": 1, "steps": 2}), **asked)
    train_model(name, config.model_copy(update={"flip": False}), **asked)
    assert caplog.text == ""
    longer = config.model_copy(update={"steps": 8})
    part = train_model(name, longer, time_limit_s=1e-9, **asked)
    (said,) = (record.getMessage() for record in caplog.records)
    word = f"run:tiny@{config.recipe_hash[:6]}:0"
    assert "has a finished run of 6 steps by this recipe (mIoU " in said
    assert f"--init {word}, where the schedule begins anew" in said
    assert "\n" not in said
    caplog.clear()
    train_model(name, longer, **asked)  # it goes on
    train_model(name, longer, **asked)  # it is finished
    assert caplog.text == ""
    assert part.step_count == 1
    after = train_model(name, longer, init=word, **asked)
    assert read_run(after.last.parent).init.given == str(first.best)


def test_a_dataset_elsewhere_finds_its_runs(tiny, config, dataset, runs, tmp_path):
    one = shutil.copytree(dataset.root, tmp_path / "one")
    name, other, steps = tiny().name, config.model_copy(update={"seed": 1}), []
    asked = {"runs": runs, "device": "cpu", "on_step": lambda step, *_: steps.append(step)}
    finished = train_model(name, config, data=one, **asked)
    begun = train_model(name, other, data=one, time_limit_s=1e-9, **asked)
    one.rename(tmp_path / "two")
    steps.clear()
    assert train_model(name, config, data=tmp_path / "two", **asked).last == finished.last
    assert steps == []
    assert train_model(name, other, data=tmp_path / "two", **asked).last == begun.last
    assert steps == [2, 3, 4, 5, 6]
    tuned = train_model(name, other, data=tmp_path / "two", init="run:tiny:0", **asked)
    assert read_run(tuned.last.parent).init.given == str(finished.best)


def rewrite(path, change):
    """Write a checkpoint with other facts."""
    with safe_open(path, framework="pt") as file:
        facts, tensors = json.loads(file.metadata()[FACTS_KEY]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={FACTS_KEY: json.dumps(change(facts))})


LATER = (
    "accumulate",
    "class_weights",
    "ohem_threshold",
    "ohem_min_share",
    "ema_decay",
    "batch_norm_batches",
    "init_hash",
)


def as_version_1(facts):
    facts["schema_version"] = 1
    for key in ("classes", "feeding", "init", "init_sha256", "licence"):
        del facts[key]
    for key in LATER:
        del facts["config"][key]
    return facts


def test_a_run_of_an_older_zoo_is_found_scored_and_begun_from(tiny, config, dataset, classed, runs, tmp_path):
    name, steps = tiny().name, []
    trained = train_model(name, config, data=dataset.root, runs=runs, device="cpu")
    for file in (trained.best, trained.last):
        rewrite(file, as_version_1)
    run = json.loads((trained.last.parent / "run.json").read_text())
    del run["init"]
    for key in LATER:
        del run["config"][key]
    (trained.last.parent / "run.json").write_text(json.dumps(run))
    asked = {"data": dataset.root, "runs": runs, "device": "cpu", "on_step": lambda step, *_: steps.append(step)}
    assert train_model(name, config, **asked).last == trained.last
    assert steps == []
    assert miou(evaluate_model(name, dataset, runs=runs, device="cpu").confusion) == pytest.approx(trained.miou)
    assert repeat_run(trained.last.parent, device="cpu").same_weights
    after, before, _, line = begun(trained.best, tiny(), config, dataset)
    assert same(after, read_weights(trained.best), *after)
    assert "does not tell its classes" in line
    after, before, _, line = begun(trained.best, tiny(), config, classed("road", "sky"))
    assert same(after, before, "head.weight", "head.bias")
    assert "left out: head.weight (of shape (19, 8, 1, 1), not (2, 8, 1, 1))" in line


def test_a_run_of_a_newer_zoo_is_one_line(tiny, config, dataset, runs):
    trained = train_model(tiny().name, config, data=dataset.root, runs=runs, device="cpu")
    rewrite(trained.last, lambda facts: {**facts, "config": {**facts["config"], "mixup": 1}})
    with pytest.raises(UserError, match="the facts inside are damaged or of a newer zoo") as caught:
        train_model(tiny().name, config, data=dataset.root, runs=runs, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_tells_what_it_was_fed(tiny, config, dataset, tmp_path):
    """What the network itself carries, then what the dataset says, as they were in training."""
    root = shutil.copytree(dataset.root, tmp_path / "grey")
    (root / "classes.toml").write_text('classes = "cityscapes"\nlabel = "*_gtFine_labelIds.png"\n')
    recipe = config.model_copy(update={"image_size": (16, 24)})
    facts = read_facts(train_model(tiny().name, recipe, data=root, runs=tmp_path, device="cpu").best)
    assert facts.feeding == Feeding(mean=tiny().mean, std=tiny().std, input_size=(16, 24))
    assert facts.classes == open_dataset(root).spec
    three = DatasetSpec(
        name="three", class_names=("road", "sky"), class_colors=((1, 1, 1), (2, 2, 2)), mean=(0.1, 0.2, 0.3),
        std=(0.3, 0.2, 0.1), label_to_train_id={7: 0, 23: 1, 11: 255, 0: 255},
    )  # fmt: skip
    own = train(tiny(), config, _with(open_dataset(root), three), run_dir=tmp_path / "own", device=CPU)
    facts = read_facts(own.best)
    assert (facts.feeding.mean, facts.feeding.std, facts.classes) == ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1), three)


def _with(dataset, spec):
    from dataclasses import replace

    return replace(dataset, spec=spec)


ODD = """
from torch import nn

class Doubled(nn.Module):
    # two answers for each class, averaged
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 1, 1)
        self.head = nn.Conv2d(4, 2 * num_classes, 1)

    def forward(self, image):
        logits = self.head(self.stem(image))
        return logits[:, ::2] + logits[:, 1::2]

class Three(nn.Sequential):
    def __init__(self, num_classes):
        if num_classes != 3:
            raise ValueError("for three classes alone")
        super().__init__(nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 3, 1))
"""


def test_heads_that_are_no_plain_list_of_classes(config, classed, runs, tmp_path):
    (tmp_path / "odd.py").write_text(ODD)
    first, second = classed("road", "building", "sky"), classed("sky", "road", "building")
    doubled, three = (find(f"{tmp_path / 'odd.py'}:{name}") for name in ("Doubled", "Three"))
    file = train_model(doubled.builder, config, data=first.root, runs=runs, device="cpu").best
    after, before, _, line = begun(file, doubled, config, second)
    assert same(after, before, "head.weight", "head.bias")
    assert same(after, read_weights(file), "stem.weight")
    assert "left out: head.weight (of other classes: road, building, sky)" in line
    assert "matched by name" not in line

    file = train_model(three.builder, config, data=first.root, runs=runs, device="cpu").best
    after, _, _, line = begun(file, three, config, second)
    assert same(after, read_weights(file), *after)
    assert "its classes are others, and no tensor tells them: its output channels are taken for those of" in line


def test_a_network_that_says_itself_what_its_channels_are_keeps_them(tiny, config, dataset, classed, runs):
    file = train_model(tiny("Few").name, config, data=dataset.root, runs=runs, device="cpu").best
    values = range(11)
    spec = DatasetSpec(
        name="eleven", class_names=tuple("abcdefghijk"), class_colors=((1, 1, 1),) * 11,
        label_to_train_id={value: value for value in values},
    )  # fmt: skip
    after, _, _, line = begun(file, tiny("Few"), config, _with(dataset, spec))
    assert same(after, read_weights(file), *after)
    assert "left out" not in line
