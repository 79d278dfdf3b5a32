"""Checkpoints: facts, foreign files, and what may not be loaded."""

import errno
import pickle

import pytest
import torch
from torch import nn

from zoo import checkpoint
from zoo.checkpoint import (
    CheckpointFacts,
    find_any_checkpoint,
    find_checkpoint,
    load_weights,
    read_facts,
    run_folder,
    run_lock,
    runs_folder,
    save_weights,
    weights_sha256,
    write_atomic,
)
from zoo.config import TrainConfig
from zoo.errors import UserError
from zoo.spec import ModelSpec


class Streets:
    """All a run folder asks of a dataset."""

    name = "streets"

    def fingerprint(self):
        return "f" * 16


@pytest.fixture
def dataset():
    return Streets()


@pytest.fixture
def config():
    return TrainConfig(name="tiny", steps=6)


def network(width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


def facts(config, **changes):
    values = {
        "model": "net", "num_classes": 4, "dataset": "streets", "fingerprint": "f" * 16, "config": config,
        "recipe_hash": config.recipe_hash, "step": config.steps, "complete": True, "precision": "fp32", "zoo": "0",
        "torch": "0",
    }  # fmt: skip
    return CheckpointFacts(**values | changes)


@pytest.fixture
def saved(tmp_path, config):
    module = network()
    save_weights(tmp_path / "w.safetensors", module.state_dict(), facts(config))
    return tmp_path / "w.safetensors", module


def test_weights_come_back_with_their_facts(saved, config):
    path, module = saved
    other = network()
    weights = load_weights(other, path, "net", 4)
    assert weights_sha256(other.state_dict()) == weights_sha256(module.state_dict()) == weights.sha256
    assert (weights.recipe, weights.recipe_hash, weights.step_count) == ("tiny", config.recipe_hash, 6)
    assert read_facts(path).config == config
    assert list(path.parent.iterdir()) == [path]


def test_hash_ignores_memory_order_and_sees_names_shapes_and_values():
    module = network()
    state = module.state_dict()
    same = {name: value.clone() for name, value in reversed(state.items())}
    same["0.weight"] = same["0.weight"].to(memory_format=torch.channels_last)
    assert weights_sha256(same) == weights_sha256(state)
    assert weights_sha256(same | {"0.bias": same["0.bias"] + 1e-6}) != weights_sha256(state)
    assert weights_sha256(same | {"0.bias": same["0.bias"][None]}) != weights_sha256(state)
    assert weights_sha256({}) != weights_sha256(state)


def test_tied_weights(tmp_path, config):
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    save_weights(tmp_path / "w.safetensors", module.state_dict(), facts(config))
    load_weights(module, tmp_path / "w.safetensors", "net", 4)


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_foreign_state_dicts(tmp_path, wrap, suffix):
    module, other = network(), network()
    state = {f"module.{name}": value for name, value in module.state_dict().items()}
    del state["module.1.num_batches_tracked"]  # files of old versions lack it
    torch.save({wrap: state, "epoch": 3} if wrap else state, tmp_path / f"w{suffix}")
    weights = load_weights(other, tmp_path / f"w{suffix}", "net", 4)
    assert torch.equal(other[0].weight, module[0].weight)
    assert (weights.recipe, weights.recipe_hash) == ("external", None)


def test_heads_that_only_training_runs_may_be_missing(tmp_path, config):
    module = network()
    module.training_only = ("aux",)
    path = tmp_path / "w.safetensors"
    save_weights(path, module.state_dict(), facts(config))
    deployed = weights_sha256(module.state_dict())
    module.aux = nn.Conv2d(3, 3, 1)
    assert load_weights(module, path, "net", 4).sha256 == deployed
    save_weights(path, module.state_dict(), facts(config))
    module.aux = None
    assert load_weights(module, path, "net", 4).sha256 == deployed


class Evil:
    def __reduce__(self):
        return print, ("unpickled",)


def _pickled(path):
    path.write_bytes(pickle.dumps(Evil()))


BAD = {
    "corrupt": ("w.safetensors", lambda path: path.write_bytes(b"no weights at all"), "not a readable safetensors"),
    "empty": ("w.safetensors", lambda path: path.write_bytes(b""), "not a readable safetensors"),
    "corrupt pickle": ("w.pt", lambda path: path.write_bytes(b"PK garbage"), "w.pt"),
    "a pickle that is not weights": ("w.pt", _pickled, "w.pt"),
    "a whole module": ("w.pt", lambda path: torch.save(network(), path), "more than weights"),
    "no mapping": ("w.pth", lambda path: torch.save([1, 2], path), "holds no state dict"),
    "other keys": ("w.pt", lambda path: torch.save({"x": torch.zeros(1)}, path), "0.weight is missing"),
    "other shapes": ("w.pt", lambda path: torch.save(network(8).state_dict(), path), r"0.weight is \(8, 3, 3, 3\)"),
    "missing file": ("w.pt", lambda path: None, "no checkpoint file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_one_line(tmp_path, capsys, case):
    name, write, message = BAD[case]
    write(tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        load_weights(network(), tmp_path / name, "net", 4)
    assert "\n" not in str(caught.value)
    assert "unpickled" not in capsys.readouterr().out


def test_another_models_checkpoint(saved):
    with pytest.raises(UserError, match="checkpoint of net, not of unet; name net with it"):
        load_weights(network(), saved[0], "unet", 4)
    with pytest.raises(UserError, match=r"trained for 4 classes, the dataset has 19; give the dataset .* with --data"):
        load_weights(network(), saved[0], "net", 19)


def test_a_failed_write_keeps_the_old_file(saved, config):
    path, _ = saved
    before = path.read_bytes()

    def full(draft):
        draft.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        write_atomic(path, full)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_a_file(tmp_path, config):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        save_weights(tmp_path / "runs" / "w.safetensors", network().state_dict(), facts(config))


def test_runs_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("ZOO_RUNS", raising=False)
    assert str(runs_folder()) == "runs"
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path))
    assert runs_folder() == tmp_path
    assert runs_folder("here").name == "here"


def spec(name):
    return ModelSpec(name=name, builder="none:none", family="none")


def test_run_folders_tell_names_apart(dataset, config, tmp_path):
    names = ("unet", "a/b.py:net", "a-b.py-net", "unet:timm/x")
    folders = {run_folder(tmp_path, spec(name), dataset, config) for name in names}
    assert len(folders) == 4
    for folder in folders:
        assert folder.relative_to(tmp_path).parts[0] == f"{dataset.name}-{dataset.fingerprint()[:8]}"
        assert folder.name == f"tiny-{config.recipe_hash}"
        assert len(folder.relative_to(tmp_path).parts) == 3
    seeded = run_folder(tmp_path, spec("unet"), dataset, config.model_copy(update={"seed": 2}))
    assert seeded.name == f"tiny-{config.recipe_hash}-seed2"


def test_an_edited_file_of_ones_own_is_another_network(dataset, config, tmp_path):
    own = ModelSpec(name="net:build", builder=f"{tmp_path / 'net.py'}:build", family="own", own=True)
    (tmp_path / "net.py").write_text("one")
    first = run_folder(tmp_path, own, dataset, config)
    (tmp_path / "net.py").write_text("two")
    assert run_folder(tmp_path, own, dataset, config) != first


def test_two_trainings_do_not_share_a_run(tmp_path):
    with run_lock(tmp_path / "run"), pytest.raises(UserError, match="another process is training in"):  # noqa: SIM117
        with run_lock(tmp_path / "run"):
            pass
    with run_lock(tmp_path / "run"):
        pass


def test_only_finished_runs_of_the_whole_recipe_are_found(dataset, config, tmp_path):
    def leave(run_config, **changes):
        folder = run_folder(tmp_path, spec("net"), dataset, run_config)
        for name in ("best", "last"):
            about = facts(run_config, fingerprint=dataset.fingerprint(), **{"complete": name == "last"} | changes)
            save_weights(folder / f"{name}.safetensors", network().state_dict(), about)
        return folder

    def found():
        return find_checkpoint(tmp_path, spec("net"), dataset, config)

    leave(config.model_copy(update={"steps": 5}))  # a trial
    assert found() is None
    folder = leave(config, complete=False)  # interrupted
    assert found() is None
    leave(config, model="other")  # not what its folder says
    assert found() is None
    leave(config)
    assert found() == folder / "best.safetensors"
    (folder / "best.safetensors").unlink()
    assert found() == folder / "last.safetensors"
    (folder / "last.safetensors").write_bytes(b"damaged")
    assert found() is None
    assert checkpoint.read_facts(leave(config) / "last.safetensors").complete


def test_each_seed_is_a_run_of_its_own(dataset, config, tmp_path):
    seeds = [config.model_copy(update={"seed": seed}) for seed in (0, 1, 12)]
    for recipe in seeds:
        folder = run_folder(tmp_path, spec("net"), dataset, recipe)
        about = facts(recipe, fingerprint=dataset.fingerprint())
        save_weights(folder / "last.safetensors", network().state_dict(), about)
    found = [find_checkpoint(tmp_path, spec("net"), dataset, recipe) for recipe in seeds]
    assert [path.parent.name.removeprefix(f"tiny-{config.recipe_hash}") for path in found] == ["", "-seed1", "-seed12"]
    assert find_checkpoint(tmp_path, spec("net"), dataset, config.model_copy(update={"seed": 2})) is None
    with pytest.raises(UserError, match="was trained on streets with 3 seeds; give --checkpoint"):
        find_any_checkpoint(tmp_path, spec("net"), dataset)
    for path in found[1:]:
        path.unlink()
    assert find_any_checkpoint(tmp_path, spec("net"), dataset) == found[0]
