"""`zoo.checkpoint`: what a file says of itself, run folders, and the search for a finished run."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.checkpoints import facts, leave, spec
from zoo.checkpoint import FACTS_KEY, finished_runs, read_facts, run_folder, run_lock, runs_folder, runs_of_other_code
from zoo.config import TrainConfig
from zoo.errors import UserError
from zoo.labels import CITYSCAPES
from zoo.spec import Feeding, ModelSpec


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


def write(path, text):
    save_file({"0.weight": np.zeros((4, 3), np.float32)}, path, metadata=None if text is None else {FACTS_KEY: text})


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w"])
def test_a_checkpoint_knows_itself_whatever_it_is_called(tmp_path, config, name):
    known = facts(config, classes=CITYSCAPES, feeding=Feeding(mean=(0.1, 0.2, 0.3), channel_order="bgr"))
    write(tmp_path / name, known.model_dump_json())
    assert read_facts(tmp_path / name) == known


def test_a_checkpoint_of_version_1_tells_what_it_told(tmp_path, config):
    old = {**json.loads(facts(config).model_dump_json()), "schema_version": 1}
    for key in ("classes", "feeding", "init", "init_sha256", "licence"):
        del old[key]
    write(tmp_path / "w", json.dumps(old))
    read = read_facts(tmp_path / "w")
    assert (read.schema_version, read.config, read.num_classes, read.classes, read.feeding) == (
        1,
        config,
        4,
        None,
        None,
    )


@pytest.mark.parametrize("content", [b"", b"PK garbage", b"no weights at all, but long enough"])
def test_other_files_carry_no_facts(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    assert read_facts(tmp_path / "w.safetensors") is None
    write(tmp_path / "plain", None)
    assert read_facts(tmp_path / "plain") is None


def test_files_that_cannot_be_read_get_one_line(tmp_path, config):
    with pytest.raises(UserError, match=r"no weights can be read from .*: No such file"):
        read_facts(tmp_path / "none")
    with pytest.raises(
        UserError, match=r"no weights can be read from .*: Is a directory; name the file of weights in it"
    ):
        read_facts(tmp_path)
    write(tmp_path / "w", "{}")
    with pytest.raises(UserError, match="facts inside are damaged or of a newer zoo"):
        read_facts(tmp_path / "w")
    write(tmp_path / "w", facts(config).model_dump_json())
    (tmp_path / "cut").write_bytes((tmp_path / "w").read_bytes()[:-4])
    with pytest.raises(UserError, match="not a readable safetensors"):
        read_facts(tmp_path / "cut")


def test_runs_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("ZOO_RUNS", raising=False)
    assert str(runs_folder()) == "runs"
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path))
    assert runs_folder() == tmp_path
    assert runs_folder("here").name == "here"


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
    (tmp_path / "net.py").write_text("one = 1")
    first = run_folder(tmp_path, own, dataset, config)
    (tmp_path / "net.py").write_text("one = 2")
    assert run_folder(tmp_path, own, dataset, config) != first


def test_two_trainings_do_not_share_a_run(tmp_path):
    with run_lock(tmp_path / "run"), pytest.raises(UserError, match="another process is training in"):  # noqa: SIM117
        with run_lock(tmp_path / "run"):
            pass
    with run_lock(tmp_path / "run"):
        pass


def test_a_dataset_called_otherwise_by_now_keeps_its_runs(dataset, config, tmp_path):
    before = leave(tmp_path, dataset, config)
    dataset.name = "moved"
    assert run_folder(tmp_path, spec("net"), dataset, config) == before
    assert finished_runs(tmp_path, spec("net"), dataset.fingerprint())[0].file.parent == before
    assert run_folder(tmp_path, spec("other"), dataset, config).parts[-3] == "moved-ffffffff"


def test_only_finished_runs_are_found(dataset, config, tmp_path):
    def found():
        return [run.file for run in finished_runs(tmp_path, spec("net"), dataset.fingerprint())]

    folder = leave(tmp_path, dataset, config, complete=False)  # interrupted
    assert found() == []
    leave(tmp_path, dataset, config, model="other")  # not what its folder says
    assert found() == []
    leave(tmp_path, dataset, config)
    assert found() == [folder / "best.safetensors"]
    (folder / "best.safetensors").unlink()
    assert found() == [folder / "last.safetensors"]
    (folder / "last.safetensors").write_bytes(b"damaged")
    assert found() == []


def test_runs_are_found_newest_first_on_one_dataset_or_on_any(dataset, config, tmp_path):
    seeds = [config.model_copy(update={"seed": seed}) for seed in (0, 12, 1)]
    folders = [leave(tmp_path, dataset, recipe) for recipe in seeds]
    found = finished_runs(tmp_path, spec("net"), dataset.fingerprint())
    assert [run.file.parent for run in found] == folders[::-1]
    assert [run.facts.config.seed for run in found] == [1, 12, 0]
    dataset.fingerprint = lambda: "e" * 16
    assert finished_runs(tmp_path, spec("net"), dataset.fingerprint()) == []
    assert len(finished_runs(tmp_path, spec("net"))) == 3
    shutil.rmtree(tmp_path)
    assert finished_runs(tmp_path, spec("net")) == []


def test_runs_of_a_model_as_its_code_was_are_others(dataset, config, tmp_path):
    own = ModelSpec(name="net:build", builder=f"{tmp_path / 'net.py'}:build", family="own", own=True)
    (tmp_path / "net.py").write_text("one = 1")
    folder = leave(tmp_path / "runs", dataset, config, model="net:build", network=own)
    assert runs_of_other_code(tmp_path / "runs", own, dataset.fingerprint()) == []
    (tmp_path / "net.py").write_text("one = 2")
    assert finished_runs(tmp_path / "runs", own, dataset.fingerprint()) == []
    assert runs_of_other_code(tmp_path / "runs", own, dataset.fingerprint())[0].file.parent == folder
