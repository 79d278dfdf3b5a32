"""The training loop on tiny networks."""

import signal

import numpy as np
import pytest
import torch

from zoo.checkpoint import load_weights, read_facts, read_weights, weights_sha256
from zoo.errors import UserError
from zoo.models.build import build_model
from zoo.train.loop import train

CPU = torch.device("cpu")


def sha(path):
    return weights_sha256(read_weights(path))


def test_training_learns_and_leaves_its_facts(tiny, config, dataset, tmp_path):
    config = config.model_copy(update={"steps": 30, "val_every": 20})
    seen = []
    trained = train(tiny(), config, dataset, run_dir=tmp_path, device=CPU, on_step=lambda *row: seen.append(row))
    assert [row[0] for row in seen] == list(range(1, 31))
    assert [row[1] for row in seen] == list(trained.losses)
    assert np.mean(trained.losses[-5:]) < 0.7 * trained.losses[0]
    assert (trained.step_count, trained.best.name, trained.last.name) == (30, "best.safetensors", "last.safetensors")
    assert trained.miou == read_facts(trained.best).miou > 0.2
    facts = read_facts(trained.last)
    assert (facts.step, facts.complete, facts.precision, facts.config) == (30, True, "fp32", config)
    assert not (tmp_path / "state.pt").exists()
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert log[0] == "step,loss,learning_rate,miou"
    assert len(log) == 31
    assert log[20].split(",")[3] != ""
    module, spec = build_model(tiny(), 19)
    assert load_weights(module, trained.best, spec.name, 19).step_count in {20, 30}


@pytest.mark.parametrize("family", ["sgd_poly", "adamw_poly"])
def test_a_resumed_run_equals_one_that_was_never_interrupted(tiny, config, dataset, tmp_path, family):
    config = config.model_copy(update={"optimizer": family, "adamw_learning_rate": 1e-2})
    spec = tiny()
    whole = train(spec, config, dataset, run_dir=tmp_path / "whole", device=CPU)

    def interrupt(step, *_):
        if step == 3:
            signal.raise_signal(signal.SIGINT if family == "sgd_poly" else signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(spec, config, dataset, run_dir=tmp_path / "parts", device=CPU, on_step=interrupt)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    facts = read_facts(tmp_path / "parts" / "last.safetensors")
    assert (facts.step, facts.complete) == (3, False)
    torch.manual_seed(99)
    resumed = train(spec, config, dataset, run_dir=tmp_path / "parts", device=CPU)
    assert resumed.losses == whole.losses
    assert sha(resumed.last) == sha(whole.last)
    assert resumed.miou == whole.miou


def test_a_finished_run_is_not_trained_again_unless_asked(tiny, config, dataset, tmp_path):
    first = train(tiny(), config, dataset, run_dir=tmp_path, device=CPU)
    seen = []
    again = train(tiny(), config, dataset, run_dir=tmp_path, device=CPU, on_step=lambda *row: seen.append(row))
    assert not seen
    assert (again.losses, again.miou, again.best) == (first.losses, first.miou, first.best)
    train(tiny(), config, dataset, run_dir=tmp_path, device=CPU, on_step=lambda *row: seen.append(row), resume=False)
    assert len(seen) == 6


def test_without_state_and_validation(tiny, config, dataset, tmp_path):
    config = config.model_copy(update={"val_every": 2})
    trained = train(
        tiny(), config, dataset, run_dir=tmp_path, device=CPU, keep_state=False, validate=False,
        on_step=lambda *_: pytest.fail("state") if (tmp_path / "state.pt").exists() else None,
    )  # fmt: skip
    assert trained.best == trained.last
    assert trained.miou is None
    assert {path.name for path in tmp_path.iterdir()} == {"last.safetensors", "log.csv"}


def test_a_folder_of_another_run(tiny, config, dataset, tmp_path):
    train(tiny(), config, dataset, run_dir=tmp_path, device=CPU, validate=False)
    with pytest.raises(UserError, match="holds a run of"):
        train(tiny("Aux"), config, dataset, run_dir=tmp_path, device=CPU)


def test_a_damaged_state(tiny, config, dataset, tmp_path):
    (tmp_path / "state.pt").write_bytes(b"PK")
    with pytest.raises(UserError, match="cannot be resumed"):
        train(tiny(), config, dataset, run_dir=tmp_path, device=CPU)


def test_bf16_autocast(tiny, config, dataset, tmp_path):
    config = config.model_copy(update={"precision": "bf16"})
    trained = train(tiny(), config, dataset, run_dir=tmp_path, device=CPU)
    assert read_facts(trained.last).precision == "bf16"
    assert {tensor.dtype for tensor in read_weights(trained.last).values()} == {torch.float32, torch.int64}


def test_auxiliary_heads_train_and_weigh(tiny, config, dataset, tmp_path):
    runs = [
        train(
            tiny("Aux"),
            config.model_copy(update={"aux_weight": weight}),
            dataset,
            run_dir=tmp_path / str(weight),
            device=CPU,
        )
        for weight in (0.0, 0.4)
    ]
    assert 1.2 < runs[1].losses[0] / runs[0].losses[0] < 1.6
    heads = [read_weights(run.last)["aux.weight"] for run in runs]
    assert not torch.equal(*heads)


def test_one_image_at_a_time_cannot_normalise_what_was_pooled(tiny, config, dataset, tmp_path):
    one = config.model_copy(update={"batch_size": 1})
    with pytest.raises(UserError, match="set batch_size to 2 or more"):
        train(tiny("Pooled"), one, dataset, run_dir=tmp_path, device=CPU)
    train(tiny("Net"), one, dataset, run_dir=tmp_path, device=CPU, validate=False)


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_good(tiny, config, dataset, tmp_path):
    config = config.model_copy(update={"val_every": 2})
    with pytest.raises(UserError, match="loss became nan at step 4") as caught:
        train(tiny("Exploding"), config, dataset, run_dir=tmp_path, device=CPU)
    assert "\n" not in str(caught.value)
    facts = read_facts(tmp_path / "last.safetensors")
    assert (facts.step, facts.complete) == (2, False)
    assert all(tensor.isfinite().all() for tensor in read_weights(tmp_path / "last.safetensors").values())


def test_a_network_with_classes_of_its_own(tiny, config, dataset, tmp_path):
    config = config.model_copy(update={"steps": 40})
    trained = train(tiny("Few"), config, dataset, run_dir=tmp_path / "few", device=CPU)
    assert trained.miou > 0.3  # its channels are building, road, none and sky
    with pytest.raises(UserError, match="class 0 to several channels"):
        train(tiny("Twice"), config, dataset, run_dir=tmp_path / "twice", device=CPU)


def test_a_folder_that_cannot_be_written_is_told_before_the_first_step(tiny, config, dataset, tmp_path):
    (tmp_path / "runs").write_text("a file")
    seen = []
    with pytest.raises(UserError, match="cannot write"):
        train(
            tiny(),
            config,
            dataset,
            run_dir=tmp_path / "runs" / "net",
            device=CPU,
            on_step=lambda *row: seen.append(row),
        )
    assert not seen
