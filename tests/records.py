"""A factory of valid records, shared by tests and benchmarks. Its numbers are invented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from zoo.files import short_hash
from zoo.lived import ColdStart, Paced, Start
from zoo.protocol import PACED_PROTOCOL, SPEED_PROTOCOL
from zoo.record import (
    MEAN_LABEL_MAP,
    Accuracy,
    Agreement,
    Artifact,
    Build,
    Cost,
    Dataset,
    Device,
    Failure,
    Memory,
    Mode,
    Record,
    Software,
    Speed,
    State,
    Weights,
    Witness,
)
from zoo.score.accuracy import miou_interval
from zoo.score.summary import Samples, summarise, summarise_paced, summarise_stages
from zoo.store import save
from zoo.timed import BatchRate, Energy, Latency, Stage, Throughput

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CLASS_NAMES = tuple(f"class {index}" for index in range(19))
STATE = State(
    training=False,
    grad_enabled=False,
    aux_heads="none",
    batch_norm="kept",
    memory_format="channels_last",
    thread_count=2,
    cudnn_benchmark=None,
    tf32=None,
)
SOFTWARE = Software(
    zoo="0.1.0",
    python="3.12.1",
    torch="2.11.0",
    torchvision="0.26.0",
    segmentation_models_pytorch="0.5.0",
    timm="1.0.15",
    numpy="2.0.0",
    os="Linux",
)


def latency(p50_s=0.020, *, spread=0.01, settled=True, count=120, width=0.01):
    """A latency around `p50_s`: `spread` is IQR / median and std / mean, `width` the interval's relative half width."""
    return Latency(
        sample_count=count,
        min_s=p50_s * min(0.9, 1 - spread / 2),
        p25_s=p50_s * (1 - spread / 2),
        p50_s=p50_s,
        p75_s=p50_s * (1 + spread / 2),
        p90_s=p50_s * max(1.1, 1 + spread / 2),
        p95_s=p50_s * max(1.15, 1 + spread / 2),
        p99_s=p50_s * max(1.2, 1 + spread / 2) if count >= 100 else None,
        max_s=p50_s * max(1.5, 1 + spread / 2),
        mean_s=p50_s,
        std_s=p50_s * spread,
        p50_interval_s=(p50_s * (1 - width), p50_s * (1 + width)),
        p90_interval_s=None,
        warmup_count=10,
        warmup_s=1.0,
        warmup_settled=settled,
    )


def confusion(right=0.5, *, class_count=19, per_class=10_000):
    """Each class has `per_class` pixels, `right` of them hit, the rest spread over the other classes."""
    hit = round(right * per_class)
    matrix = np.full((class_count, class_count + 1), (per_class - hit) // (class_count - 1), dtype=np.int64)
    matrix[:, -1] = 0
    np.fill_diagonal(matrix, hit)
    return matrix


def waterfall(pipeline_s, shares=(0.05, 0.15, 0.6, 0.15, 0.05)):
    """Stages that share out a pipeline's median."""
    names = ("copy_in", "preprocess", "network", "upsample_argmax", "copy_out")
    return tuple(
        Stage(
            name=name, p50_s=share * pipeline_s, p50_interval_s=(0.99 * share * pipeline_s, 1.01 * share * pipeline_s)
        )
        for name, share in zip(names, shares, strict=True)
    )


def make(
    model="unet",
    *,
    right=0.5,
    p50_s=0.020,
    pipeline_s=None,
    memory_bytes=300 * 2**20,
    param_count=30_000_000,
    device="intel-xeon-2c",
    kind="cpu",
    machine_id="m" * 64,
    dataset="streets",
    fingerprint=None,
    synthetic=False,
    recipe="camvid_cpu",
    recipe_hash="abc123def456",
    step_count=300,
    seed=0,
    input_size=(256, 512),
    output_size=(512, 1024),
    batch_size=1,
    runtime="eager",
    precision="fp32",
    quick=False,
    status="ok",
    reason="no answer within 60 s",
    minutes=0,
    key=None,
    spread=0.01,
    pipeline_spread=0.01,
    width=0.01,
    settled=True,
    witness=None,
    torch="2.11.0",
    timed=True,
    samples=120,
    resize="fit",
    thread_count=2,
    matrix=None,
    uncounted_ops=(),
    one_graph=False,
    staged=False,
    rates=(),
    largest_is_limit=False,
    energy_j=None,
    file_bytes=None,
    equal_share=None,
    growth_bytes=None,
    image_count=16,
    miou_interval=None,
    shared_sequences=(),
    accuracy_images=None,
    build=None,
    source=None,
    tag="",
    weights_sha256=None,
    mode=None,
    rate_hz=None,
    missed=(0, 0),
    starts=(),
):
    """A whole record; `right=None` leaves accuracy out, `timed=False` speed, memory and cost.

    `source` other than `run` (`published`, `file`, `own`) has no recipe, but a `tag` and weights of its own.

    Datasets of other names have other images unless a `fingerprint` is given.

    With a `rate_hz` its calls were paced, of 120 frames `missed` were late and dropped; `starts` are seconds of import,
    load and first call in fresh processes.

    `one_graph` has no network scope, `staged` a waterfall; `rates` are images per second at batch 1, 2, 4, …
    """
    fingerprint = fingerprint or ("f" * 64 if dataset == "streets" else short_hash([dataset], 64))
    images = dataset and Dataset(
        name=dataset,
        fingerprint=fingerprint,
        split="val",
        image_count=image_count,
        synthetic=synthetic,
        shared_sequences=shared_sequences,
    )
    ok = status == "ok"
    trained = right is not None
    if source not in {None, "run"}:
        recipe, recipe_hash, step_count = "none", None, None
        weights_sha256 = weights_sha256 or short_hash([model, source, tag])
    if matrix is None and trained:
        matrix = confusion(right)
    artifact = Artifact(
        model=model,
        family=model.partition("_")[0],
        runtime=runtime,
        precision=precision,
        memory_format="channels_last",
        batch_size=batch_size,
        input_size=input_size,
        output_size=output_size,
        resize=resize,
        weights=Weights(
            source=source or ("none" if model == MEAN_LABEL_MAP else "run" if trained else "random"),
            sha256=weights_sha256 or (short_hash([model, recipe, seed]) if trained else None),
            tag=tag,
            recipe=recipe if trained else "none",
            recipe_hash=recipe_hash if trained else None,
            step_count=step_count if trained else None,
            seed=seed if trained and recipe_hash else None,
        ),
        code_sha256="c" * 64,
        file_sha256=file_bytes and short_hash([model, runtime, precision]),
        file_bytes=file_bytes,
    )
    return Record(
        protocol=SPEED_PROTOCOL if rate_hz is None else PACED_PROTOCOL,
        status=status,
        key=key
        or short_hash(
            [artifact.model_dump(mode="json"), fingerprint, dataset, machine_id, torch, quick, device, thread_count]
            + [rate_hz] * (rate_hz is not None)
        ),
        quick=quick,
        preset="quick" if quick else "camvid",
        artifact=artifact,
        device=Device(
            kind=kind, name=device.upper(), slug=device, machine_id=machine_id, core_count=2, memory_bytes=8 * 2**30
        ),
        software=SOFTWARE.model_copy(update={"torch": torch}),
        dataset=images or None,
        started_at=NOON + timedelta(minutes=minutes),
        seconds={"measure": 4.2},
        speed=Speed(
            network=None
            if one_graph or rate_hz is not None
            else latency(p50_s, spread=spread, settled=settled, count=samples, width=width),
            pipeline=latency(pipeline_s or p50_s * 1.25, spread=pipeline_spread, count=samples, width=width),
            waterfall=waterfall(pipeline_s or p50_s * 1.25) if staged else (),
            energy=energy_j and Energy(per_image_j=energy_j, image_count=100, source="nvml"),
            state=STATE.model_copy(update={"thread_count": thread_count}),
            witness=witness or Witness(foreign_load=0.0),
        )
        if ok and timed
        else None,
        paced=Paced(
            rate_hz=rate_hz,
            frame_count=120,
            late_count=missed[0],
            dropped_count=missed[1],
            lateness_p50_s=0.01 if missed[0] else None,
            lateness_max_s=0.02 if missed[0] else None,
        )
        if ok and timed and rate_hz is not None
        else None,
        cold_start=ColdStart(
            loaded_by="zoo" if runtime == "eager" else "runtime",
            starts=tuple(Start(import_s=a, load_s=b, first_call_s=c) for a, b, c in starts),
        )
        if starts
        else None,
        build=Build(**build) if build else None,
        throughput=Throughput(
            rates=tuple(
                BatchRate(batch_size=2**power, images_per_s=rate, call_count=20) for power, rate in enumerate(rates)
            ),
            largest_batch=2 ** (len(rates) - 1),
            largest_is_limit=largest_is_limit,
        )
        if rates
        else None,
        memory=Memory(peak_bytes=memory_bytes, growth_bytes=growth_bytes, weights_bytes=4 * param_count)
        if ok and timed
        else None,
        cost=Cost(
            param_count=param_count, mac_count=123_456_789_000, mac_input_size=input_size, uncounted_ops=uncounted_ops
        )
        if ok and timed
        else None,
        accuracy=Accuracy(
            dataset=images,
            class_names=CLASS_NAMES[: len(matrix)],
            confusion=tuple(tuple(int(count) for count in line) for line in matrix),
            image_count=image_count,
            mode=mode or Mode(),
            miou_interval=miou_interval,
            resampled="images" if miou_interval else None,
        )
        if ok and trained and images
        else None,
        agreement=equal_share and Agreement(equal_label_share=equal_share, max_logit_error=None, image_count=16),
        failure=None if ok else Failure(step="measure", reason=reason),
        config={"threads": thread_count, "accuracy_images": accuracy_images, "rate_hz": rate_hz},
    )


def baseline(*, right=0.3, **changes):
    """The mean label map: scored, not timed."""
    return make(MEAN_LABEL_MAP, right=right, timed=False, recipe="none", recipe_hash=None, step_count=None, **changes)


def failed(model="unet", *, status="timeout", **changes):
    """A cell that is not ok."""
    return make(model, status=status, **changes)


def sampled(model="unet", *, draws=0, image_count=16, **changes):
    """A record whose summaries are those of samples, and these, by name, as `save` takes them; seeded by `draws`."""
    record, draw = make(model, image_count=image_count, **changes), np.random.default_rng(draws)
    samples, speed, accuracy = {}, record.speed, record.accuracy
    if speed is not None:
        scopes = {name: value for name, value in speed if isinstance(value, Latency)}
        for name, value in scopes.items():
            samples[f"{name}_s"] = value.p50_s * draw.normal(1, 0.005, value.sample_count)
        stages = {stage.name: stage.p50_s * draw.normal(1, 0.01, 30) for stage in speed.waterfall}
        samples |= {f"stage_{name}_s": seconds for name, seconds in stages.items()}
        timed = {name: summarise(Samples(samples[f"{name}_s"], 10, 1.0, True)) for name in scopes}
        speed = speed.model_copy(update={**timed, "waterfall": summarise_stages(stages)})
    if (paced := record.paced) is not None:
        frames = np.sort(draw.choice(150, len(samples["pipeline_s"]), replace=False))
        samples["paced_frames"] = frames - frames[0]
        paced = summarise_paced(paced.rate_hz, samples["pipeline_s"], samples["paced_frames"])
    if accuracy is not None:
        matrix = np.array(accuracy.confusion)
        hit = np.diagonal(matrix)
        counts = np.stack(
            [
                draw.multinomial(total, [1 / image_count] * image_count).T.astype(np.int32)
                for total in (hit, matrix[:, :-1].sum(axis=0) - hit, matrix.sum(axis=1) - hit)
            ]
        )
        names = [f"city{index}_000000_000019" for index in range(image_count)]
        low, high, resampled = miou_interval(counts, names)
        accuracy = accuracy.model_copy(update={"miou_interval": (low, high), "resampled": resampled})
        samples["image_names"] = np.array(names)
        samples |= dict(zip(("true_positives", "false_positives", "false_negatives"), counts, strict=True))
    return record.model_copy(update={"speed": speed, "accuracy": accuracy, "paced": paced}), samples


def varied(count, seed=0):
    """`count` records of one comparable group, no two with the same matrix or the same latency."""
    random, first = np.random.default_rng(seed), make(staged=True, file_bytes=1, miou_interval=(0.4, 0.6))
    made = []
    for place in range(count):
        counts = (1e6 * random.dirichlet(np.full(20, 0.08), 19)).astype(int).tolist()
        network = latency(random.lognormal(-4, 1))
        pipeline = latency(1.3 * network.p50_s)
        stages = waterfall(pipeline.p50_s, random.dirichlet(np.ones(5)).tolist())
        made.append(
            first.model_copy(
                update={
                    "accuracy": first.accuracy.model_copy(update={"confusion": tuple(map(tuple, counts))}),
                    "speed": first.speed.model_copy(
                        update={"network": network, "pipeline": pipeline, "waterfall": stages}
                    ),
                    "artifact": first.artifact.model_copy(update={"model": f"model_{place}"}),
                    "key": f"{place:032x}"[::-1],
                }
            )
        )
    return made


def fill(results: Path, count: int) -> None:
    """Write `count` records of 50 models in various conditions."""
    for index in range(count):
        model, condition = index % 50, index // 50
        save(
            make(
                f"model_{model}",
                right=0.2 + 0.015 * (model % 40),
                p50_s=0.005 * (1 + model),
                device=f"device-{condition % 4}",
                input_size=(128 * (1 + condition // 4 % 3), 256),
                batch_size=1 + condition // 12,
                minutes=condition,
                status="timeout" if index % 97 == 96 else "ok",
            ),
            {},
            results,
        )
