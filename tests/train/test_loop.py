"""The training loop on tiny networks."""

import csv
import signal
from contextlib import suppress

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zoo.catalog import find
from zoo.checkpoint import read_facts
from zoo.errors import UserError
from zoo.evaluate import evaluate_model
from zoo.models.build import build_model
from zoo.score.accuracy import miou
from zoo.state_dict import load_into, read_state_dict, read_weights, weights_sha256
from zoo.train.loop import train
from zoo.train.run import read_run

CPU = torch.device("cpu")


def sha(path):
    return weights_sha256(read_weights(path))


def load(path, spec):
    """A network as it is deployed with the weights of a file."""
    module, _ = build_model(spec, 19)
    load_into(module, read_state_dict(path), path=path, model=spec.name)
    return module


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
    assert read_facts(trained.best).step in {20, 30}
    assert load(trained.best, tiny()).head.out_channels == 19


ALL = {
    "accumulate": 2, "batch_size": 4, "ema_decay": 0.8, "ohem_threshold": 0.7, "ohem_min_share": 0.01,
    "batch_norm_batches": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"optimizer": "sgd_poly"}, signal.SIGINT),
        ({"optimizer": "adamw_poly", "adamw_learning_rate": 1e-2}, signal.SIGTERM),
        ({**ALL, "class_weights": "inverse_log", "val_every": 2}, signal.SIGTERM),
    ],
    ids=["sgd", "adamw", "all"],
)
def test_a_resumed_run_equals_one_that_was_never_interrupted(tiny, config, dataset, tmp_path, changes, number):
    config = config.model_copy(update=changes)
    spec = tiny()
    whole = train(spec, config, dataset, run_dir=tmp_path / "whole", device=CPU)

    def interrupt(step, *_):
        if step == 3:
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        train(spec, config, dataset, run_dir=tmp_path / "parts", device=CPU, on_step=interrupt)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    facts = read_facts(tmp_path / "parts" / "last.safetensors")
    assert (facts.step, facts.complete) == (3, False)
    torch.manual_seed(99)
    resumed = train(spec, config, dataset, run_dir=tmp_path / "parts", device=CPU)
    assert resumed.losses == whole.losses
    assert (sha(resumed.last), sha(resumed.best)) == (sha(whole.last), sha(whole.best))
    assert resumed.miou == whole.miou
    files = (tmp_path / part / "validation.csv" for part in ("whole", "parts"))
    assert len({file.read_text() for file in files}) == 1


def test_a_killed_run_goes_on_from_what_was_saved(tiny, config, dataset, tmp_path):
    """A second signal acts at once, in the middle of a step; what was saved before is whole."""
    config = config.model_copy(update={"val_every": 2})
    whole = train(tiny(), config, dataset, run_dir=tmp_path / "whole", device=CPU)

    def kill(step, *_):
        if step == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), config, dataset, run_dir=tmp_path / "parts", device=CPU, on_step=kill)
    assert read_facts(tmp_path / "parts" / "last.safetensors").step == 4
    resumed = train(tiny(), config, dataset, run_dir=tmp_path / "parts", device=CPU)
    assert (resumed.losses, sha(resumed.last)) == (whole.losses, sha(whole.last))


def test_a_time_limit_stops_between_steps_and_the_same_call_goes_on(tiny, config, dataset, tmp_path):
    whole = train(tiny(), config, dataset, run_dir=tmp_path / "whole", device=CPU)
    counts = []
    for _ in range(6):
        part = train(tiny(), config, dataset, run_dir=tmp_path / "parts", device=CPU, time_limit_s=1e-9)
        counts.append((part.step_count, part.complete, read_facts(part.last).complete))
    assert counts == [(step, step == 6, step == 6) for step in range(1, 7)]
    assert (part.losses, sha(part.last), part.miou) == (whole.losses, sha(whole.last), whole.miou)
    assert read_run(tmp_path / "parts").resumed == tuple(f"step {step}: as before" for step in range(1, 6))


def test_a_run_that_went_on_under_other_circumstances_says_so(tiny, config, dataset, tmp_path):
    train(tiny(), config, dataset, run_dir=tmp_path, device=CPU, time_limit_s=1e-9)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    train(tiny(), config, dataset, run_dir=tmp_path, device=CPU)
    torch.set_num_threads(before)
    assert read_run(tmp_path).resumed == (f"step 1: thread_count {before} -> {before + 1}",)


def test_accumulation_changes_nothing_but_rounding(tiny, config, dataset, tmp_path):
    """Without batch statistics: sums are rounded in another order, nothing else."""
    config = config.model_copy(update={"batch_size": 4})
    states = [
        read_weights(
            train(
                tiny("Plain"), config.model_copy(update={"accumulate": count}), dataset,
                run_dir=tmp_path / str(count), device=CPU, validate=False,
            ).last
        )
        for count in (1, 2, 4)
    ]  # fmt: skip
    for state in states[1:]:
        assert all(torch.allclose(state[key], value, rtol=0, atol=1e-6) for key, value in states[0].items())


def test_averaged_weights_are_validated_and_kept(tiny, config, dataset, tmp_path):
    """They are the last steps' own, averaged; training goes on with the plain ones."""
    decay = 0.75
    averaged = train(
        tiny(), config.model_copy(update={"ema_decay": decay}), dataset, run_dir=tmp_path / "averaged", device=CPU
    )
    plain = []
    for steps in range(1, 7):  # the rate's decay does not matter to the first steps of a longer run
        run_dir = tmp_path / str(steps)

        def stop(step, *_, at=steps):
            if step == at < config.steps:
                signal.raise_signal(signal.SIGINT)

        with suppress(KeyboardInterrupt):
            train(tiny(), config, dataset, run_dir=run_dir, device=CPU, on_step=stop, validate=False)
        plain.append(read_weights(run_dir / "last.safetensors"))
    expected = {key: value.double() for key, value in plain[0].items()}
    for state in plain[1:]:
        expected = {key: decay * value + (1 - decay) * state[key].double() for key, value in expected.items()}
    kept = read_weights(averaged.last)
    for key, value in expected.items():
        if kept[key].is_floating_point():
            assert torch.allclose(kept[key].double(), value, atol=1e-6), key
    assert torch.equal(load(averaged.last, tiny()).head.weight, kept["head.weight"])
    assert read_facts(averaged.last).miou is not None


@pytest.mark.slow
def test_compiled_training_learns_the_same(tiny, config, dataset, tmp_path):
    config = config.model_copy(update={"steps": 2})
    eager = train(tiny("Plain"), config, dataset, run_dir=tmp_path / "eager", device=CPU, validate=False)
    config = config.model_copy(update={"compile": True})
    compiled = train(tiny("Plain"), config, dataset, run_dir=tmp_path / "compiled", device=CPU, validate=False)
    assert compiled.losses == pytest.approx(eager.losses, rel=1e-5)


def test_validation_on_the_way_is_told_kept_and_drawn(tiny, config, dataset, tmp_path):
    config = config.model_copy(update={"val_every": 3})
    told = []
    trained = train(tiny(), config, dataset, run_dir=tmp_path, device=CPU, on_validation=lambda *row: told.append(row))
    assert [row[0] for row in told] == [3, 6]
    assert trained.miou == max(row[1] for row in told)
    with (tmp_path / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [3, 6]
    for row, (_, score, class_iou) in zip(rows, told, strict=True):
        known = {name: float(row[name]) for name in dataset.spec.class_names if row[name]}
        assert known == {name: iou for name, iou in class_iou.items() if iou is not None}
        assert float(row["miou"]) == score == pytest.approx(np.mean(list(known.values())))
        assert "road" in known
    curves = EventAccumulator(str(tmp_path)).Reload()
    drawn = [(event.step, event.value) for event in curves.Scalars("train/loss")]
    assert drawn == [(step, pytest.approx(loss)) for step, loss in enumerate(trained.losses, 1)]
    assert [event.value for event in curves.Scalars("val/miou")] == pytest.approx([row[1] for row in told])
    assert [event.step for event in curves.Scalars("iou/road")] == [3, 6]
    assert {"train/learning_rate", "train/images_per_s"} <= set(curves.Tags()["scalars"])


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
    assert {path.name for path in tmp_path.iterdir()} == {"last.safetensors", "log.csv", "run.json"}


@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_statistics_are_estimated_anew_where_weights_are_scored_and_kept(tiny, config, dataset, tmp_path, ema_decay):
    config = config.model_copy(update={"steps": 20, "val_every": 10, "ema_decay": ema_decay})
    spec = find(tiny("Slow").name)
    stale = train(spec, config, dataset, run_dir=tmp_path / "stale", device=CPU)
    assert len(stale.warnings) == 1
    assert "batch_norm_batches=50" in stale.warnings[0]
    assert "\n" not in stale.warnings[0]
    recipe = config.model_copy(update={"batch_norm_batches": 4})
    fresh = train(spec, recipe, dataset, run_dir=tmp_path / "fresh", device=CPU)
    assert fresh.warnings == ()
    assert fresh.losses == stale.losses  # training sees nothing of it
    assert fresh.miou > stale.miou + 0.1
    facts = [read_facts(path) for path in (fresh.best, fresh.last, stale.last)]
    assert [known.batch_norm_batches for known in facts] == [4, 4, 0]
    assert facts[0].config == recipe
    assert load(fresh.best, spec).stem[1].running_mean.abs().max() < 10
    scored = evaluate_model(tiny("Slow").name, dataset, weights=fresh.best, device="cpu")
    assert miou(scored.confusion) == pytest.approx(fresh.miou)


def test_weights_saved_on_the_way_say_that_their_statistics_followed_training(tiny, config, dataset, tmp_path):
    recipe = config.model_copy(update={"batch_norm_batches": 2})
    part = train(tiny(), recipe, dataset, run_dir=tmp_path, device=CPU, time_limit_s=1e-9)
    assert read_facts(part.last).batch_norm_batches == 0
    assert read_facts(train(tiny(), recipe, dataset, run_dir=tmp_path, device=CPU).last).batch_norm_batches == 2


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


@pytest.mark.parametrize(("name", "what"), [("Exploding", "loss became nan"), ("Steep", "gradient's norm became")])
def test_what_is_not_finite_stops_and_keeps_what_was_good(tiny, config, dataset, tmp_path, name, what):
    config = config.model_copy(update={"val_every": 2})
    with pytest.raises(UserError, match=f"the {what}.* at step 4") as caught:
        train(tiny(name), config, dataset, run_dir=tmp_path, device=CPU)
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
