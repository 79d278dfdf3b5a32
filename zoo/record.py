"""What was counted, with everything needed to trust it: `Record` and its parts.

A record holds counts and samples' summaries, never a claim: mIoU, throughput, grades and marks are functions of a
record and live in `score/`. Every summary here can be made again from samples and counts in the `.npz` beside it.

Schema history; records of every older version read
    1  first version
    2  runtimes: how an artifact was built, its file, the waterfall, throughput, energy, p99.9
    3  accuracy: how frames were read (mode), instance-weighted counts, categories, intervals; sequences of training
    4  what may be unknown: sequences a split shares, another maker's pipeline scope; the number of the split's images
    5  weights: how they came (run, file, published, own), how they are fed, what they began from, their licence; the
       results folder beside the key; a failure's *step*. In older records `checkpoint` reads as `run` where a recipe is
       known, else as `file`
    6  how a trained network was deployed (folding)
    7  paced calls and cold starts (`lived.py`); which question of a plan a record answers (cell), and how often a fleet
       began it (tries); how int8 was made (`quantisation.py`); the witness names what changes threads
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from zoo.allowed import Amount, Celsius, Change, Count, ModelName, Name, Number, Rate, Share, Tag
from zoo.lived import ColdStart, Paced
from zoo.protocol import ACCURACY_PROTOCOL, SPEED_PROTOCOL
from zoo.quantisation import Quantisation
from zoo.spec import Facts, Feeding, Resize, Size
from zoo.timed import Energy, Latency, Stage, Throughput
from zoo.units import show_size

SCHEMA = 7

Status = Literal["ok", "failed", "timeout", "oom", "unsupported"]
Precision = Literal["fp32", "tf32", "bf16", "fp16", "int8"]
MemoryFormat = Literal["channels_last", "contiguous"]
Layout = Literal[MemoryFormat, "own"]
"""`own`: the runtime lays tensors out as it likes."""

MEAN_LABEL_MAP = "mean_label_map"
"""Model name of the baseline that answers every image with the same map."""


class Device(Facts):
    """The hardware a person would name, and a hashed id of this very machine."""

    kind: Literal["cpu", "cuda", "mps"]
    name: Name
    """Such as `"NVIDIA H200"` or `"Intel Xeon Processor"`."""
    slug: Name
    """Folder name under `results/`, such as `nvidia-h200` or `intel-xeon-2c`."""
    machine_id: str
    """Hash of the GPU's UUID, or of CPU model, family, instruction set and host. Nothing can be read back from it."""
    core_count: Number
    """CPU cores this process may use."""
    memory_bytes: Count
    """Of the GPU, or of the host for a CPU."""
    isa: tuple[str, ...] = ()
    """CPU features that decide speed, such as `avx512f`, `amx_bf16`."""


class Software(Facts):
    """Versions that can move a number. `None`: not present."""

    zoo: str
    python: str
    torch: str
    torchvision: str
    segmentation_models_pytorch: str | None
    timm: str | None
    numpy: str
    os: str
    cuda: str | None = None
    cudnn: str | None = None
    driver: str | None = None
    runtime: str | None = None
    """Package and version of a runtime that is not torch, such as `"openvino 2026.4.1"`."""


WeightsKind = Literal["random", "run", "file", "published", "own"]
"""`random`: freshly initialised, for speed alone; `run`: trained here, by a recipe; `file`: a file that somebody gave;
`published`: of the table of published checkpoints; `own`: the model brought them itself."""


class Weights(Facts):
    """Where the measured weights come from."""

    source: Literal[WeightsKind, "none"]
    """Accuracy is null for `random`. `none`: the baseline has no weights."""
    sha256: str | None
    """Of the weights' bytes (names, shapes, values), independent of the file around them; of a file in a runtime's own
    format, of the file."""
    tag: Tag = ""
    """What tells weights of one kind apart for a reader: a published checkpoint's tag, a file's name."""
    recipe: Name
    """Name of the training recipe; `"none"` for weights that were not trained, `"external"` where it is not known."""
    recipe_hash: str | None = None
    """Hash of the whole recipe."""
    step_count: Count | None = None
    seed: Count | None = None
    trained_on: str | None = None
    """Name of the dataset."""
    pretrained: str = ""
    """Encoder weights training began from, empty for none."""
    init: str = ""
    """Whole weights training began from, as `label` names them; empty for none."""
    init_sha256: str | None = None
    """Of those, as `sha256`."""
    licence: str = ""
    """Of the weights, inherited from those that training began from; empty where it is not known."""
    url: str = ""
    """Where they were published."""
    feeding: Feeding | None = None
    """How they are fed; null in older records and for random ones."""
    notes: tuple[str, ...] = ()
    """What was stripped or left out when a file was read."""

    @model_validator(mode="before")
    @classmethod
    def _sources_of_older_records(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("source") == "checkpoint":
            return {**value, "source": "run" if value.get("recipe_hash") else "file"}
        return value

    @property
    def label(self) -> str:
        """As a table shows them: `run camvid_cpu`, `published zh320`, `file net.pth`, `own`, `random`."""
        name = self.recipe if self.recipe_hash else self.tag
        return f"{self.source} {name}".rstrip()

    @property
    def planned_label(self) -> str:
        """The same; of a cell that never had its weights, the label of those it was planned with."""
        if self.source != "none":
            return self.label
        if self.recipe_hash:
            return f"run {self.recipe}"
        return f"file {self.tag}".rstrip() if self.recipe == "external" else "random"


class Artifact(Facts):
    """What would be deployed: weights, runtime, precision and the three sizes."""

    model: ModelName
    family: Name
    runtime: Name
    precision: Precision
    memory_format: Layout
    batch_size: Number
    input_size: Size
    output_size: Size
    resize: Resize
    weights: Weights
    code_sha256: str
    """Of what builds the network (`identity.network_sha256`)."""
    file_sha256: str | None = None
    """Of the file that was measured and would ship; null for a runtime that runs this package's own code."""
    file_bytes: Count | None = None


class Build(Facts):
    """How an artifact was made before anything was timed. Seconds are those of its making, `None` for no such step."""

    export_s: Amount | None = None
    """Tracing and writing the graph."""
    compile_s: Amount | None = None
    """Compiling it to this machine's code."""
    calibrate_s: Amount | None = None
    """Quantisation: running the calibration images and choosing the scales."""
    cached: bool = False
    """Nothing was made for this cell: a build of the same content was there."""
    graph_break_count: Count | None = None
    """`torch.compile`: places where the graph falls back to Python."""
    calibration_image_count: Count | None = None
    quantisation: Quantisation | None = None
    """Of int8; null in records of before, and of files."""
    options: dict[str, str] = Field(default_factory=dict)
    """What the runtime was told, such as `{"mode": "default"}`, in its own words."""


class Dataset(Facts):
    """Which images accuracy was counted on."""

    name: Name
    fingerprint: str
    split: Name
    image_count: Number
    split_count: Count | None = None
    """Images of the whole split, which of a part of Cityscapes is what was published; older records lack it."""
    synthetic: bool = False
    shared_sequences: tuple[str, ...] | None = ()
    """Sequences of the split that training sees too: scores on their frames are optimistic. Null: the frames' names do
    not tell (records of before claimed where they did not know)."""


class Folding(Facts):
    """What became of a trained network when it was deployed: batch norms folded into convolutions, branches merged."""

    batch_norm_count: Count = 0
    kept_batch_norm_count: Count = 0
    merged: bool = False
    param_count: Count
    """Of what runs; `Cost.param_count` counts norms too, as published figures do."""
    max_relative_error: Amount | None = None
    """Largest change of a logit by it, in parts of the largest logit; null where nothing was changed."""


class State(Facts):
    """The deployment state, asserted before the clock starts."""

    training: Literal[False]
    grad_enabled: Literal[False]
    aux_heads: Literal["off", "none"] | None
    """Null for a file whose making is unknown, as for `batch_norm`."""
    batch_norm: Literal["kept", "partly folded", "folded", "none"] | None
    folding: Folding | None = None
    """Null for a file whose making is unknown, and in older records."""
    memory_format: Layout
    thread_count: Number
    cudnn_benchmark: bool | None
    tf32: bool | None


class Witness(Facts):
    """What the machine did while the clock ran. `None`: this machine does not tell."""

    foreign_load: Amount | None = None
    """CPU: mean number of cores busy with work that is not ours."""
    foreign_process_count: Count | None = None
    """CUDA: processes of others on the GPU."""
    throttle_reasons: tuple[str, ...] | None = None
    clock_start_hz: Amount | None = None
    """The multiprocessors' clock; on a CPU the mean of the cores this process may use, as is the next."""
    clock_end_hz: Amount | None = None
    temperature_start_c: Celsius | None = None
    temperature_end_c: Celsius | None = None
    power_start_w: Amount | None = None
    power_end_w: Amount | None = None
    load_start: Amount | None = None
    """CPU: how many processes wanted to run, over the last minute."""
    load_end: Amount | None = None
    affinity: tuple[Count, ...] | None = None
    """CPU: the cores this process may use."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables of the process that bind its threads or change how they wait; older records do not say."""


class Speed(Facts):
    """Latency in both scopes (protocol, rule 3) and the state it was measured in."""

    network: Latency | None
    """Device-resident input → logits; null for a file that holds one graph from image to labels."""
    pipeline: Latency | None
    """`uint8` image in host memory → `uint8` label map in host memory at output size; null for a network alone, which
    another maker's file may hold."""
    waterfall: tuple[Stage, ...] = ()
    """The stages; empty where they cannot be told apart. A graph that fuses them is faster than their sum."""
    energy: Energy | None = None
    """Null where the device does not tell."""
    state: State
    witness: Witness


class Memory(Facts):
    """Peak memory of inference, measured in a process of its own. `None`: cannot be read here."""

    peak_bytes: Count | None
    """CUDA: allocated peak. CPU: peak resident set minus the resident set before the artifact was loaded."""
    allocated_peak_bytes: Count | None = None
    reserved_peak_bytes: Count | None = None
    process_bytes: Count | None = None
    """CUDA: the process's own, as the driver counts it. CPU: peak resident set of the whole process."""
    growth_bytes: Change | None = None
    """What was held more after the last inference than after the second: more than noise means a leak."""
    resident_before_bytes: Count | None = None
    weights_bytes: Count


class Cost(Facts):
    """Counted, not measured: of the deployed network at `input_size`, batch 1, aux heads apart."""

    param_count: Count
    mac_count: Count | None
    """Multiply-accumulates, attention included; null where the network cannot be traced."""
    mac_input_size: Size
    uncounted_ops: tuple[str, ...] = ()
    """Operators that do arithmetic the counter does not know."""


class Mode(Facts):
    """How a network reads a frame when accuracy is counted."""

    window: Size | None = None
    """A window of this size slides over the resized frame; logits are averaged where windows overlap. Null: whole."""
    stride: Size | None = None
    """Step of the window; null without one."""
    scales: tuple[Rate, ...] = (1.0,)
    """Times the input size; class probabilities are averaged over the scales."""
    flip: bool = False
    """Each frame is also read mirrored, left to right; class probabilities are averaged."""

    @property
    def text(self) -> str:
        """Without a comma: `window 512x512 stride 341x341 + scales 0.75 1`; empty for frames that are read whole."""
        parts = []
        if self.window is not None:
            stride = show_size(self.stride) if self.stride else "none"
            parts.append(f"window {show_size(self.window)} stride {stride}")
        if self.scales != (1.0,):
            parts.append(f"scales {' '.join(f'{scale:g}' for scale in self.scales)}")
        if self.flip:
            parts.append("flip")
        return " + ".join(parts)


class Network(Facts):
    """What predicted the label maps that are scored."""

    model: str
    weights: Weights
    precision: Precision
    input_size: Size | None
    """What it saw of a frame; null: the frame's own size."""


class Reading(Facts):
    """What the values of label maps that another program wrote were taken for."""

    encoding: str
    """`labelIds`, `trainIds`, `trainIds+1` (0 is none of the classes) or `colors`."""
    asked: bool
    """Whether a person said so; else it was decided from the values and by what is right."""
    void: tuple[int, ...] = ()
    """Values beside the encoding's own that were taken for none of the classes."""
    right_as: dict[str, Share] = Field(default_factory=dict)
    """Share of the counted pixels that would be right in each other encoding the values fit."""
    doubts: tuple[str, ...] = ()
    """What else the values may be, where far more pixels would be right then."""


class InstanceCounts(Facts):
    """Pixels of a class or category with instances, as the official evaluation weighs them (iIoU)."""

    true_positives: Amount
    """Each instance's pixels weigh the class's average instance size over its own size, as do the next."""
    false_negatives: Amount
    false_positives: Count
    """Unweighted: a wrong pixel belongs to no instance."""


Resampled = Literal["images", "sequences", "frames of few sequences"]
"""What a bootstrap draws: images that are recordings of their own, whole sequences, or, where those are too few to draw
from, their frames, which resemble each other: then the interval is too narrow."""


class Accuracy(Facts):
    """Pixels counted over a whole split by `zoo-miou/1`."""

    protocol: str = ACCURACY_PROTOCOL
    dataset: Dataset
    class_names: tuple[str, ...]
    class_categories: tuple[str, ...] = ()
    """Category of each class; empty where the dataset has none."""
    confusion: tuple[tuple[Count, ...], ...]
    """`(K, K + 1)`: row = truth, column = prediction; the last column holds predictions of no class."""
    class_instances: dict[str, InstanceCounts] | None = None
    """By class name; null where a frame has no instance map, as is the next."""
    category_instances: dict[str, InstanceCounts] | None = None
    image_count: Number
    mode: Mode | None = Mode()
    """Null for label maps another program wrote."""
    miou_interval: tuple[Share, Share] | None = None
    """95 %, by bootstrap over what `resampled` names; null for one image. `score/` recomputes it."""
    resampled: Resampled | None = None

    @field_validator("mode", mode="before")
    @classmethod
    def _mode_of_older_records(cls, value: object) -> object:
        return Mode() if value == "whole" else value

    @model_validator(mode="after")
    def _its_parts_fit(self) -> Self:
        class_count = len(self.class_names)
        if [len(row) for row in self.confusion] != [class_count + 1] * class_count:
            raise ValueError(f"confusion is ({class_count}, {class_count + 1}): one row a class, one column more")
        if self.miou_interval and self.miou_interval[0] > self.miou_interval[1]:
            raise ValueError("miou_interval ends before it begins")
        return self


class Agreement(Facts):
    """The artifact against fp32 eager on the same images (protocol, rule 12)."""

    equal_label_share: Share | None
    """Null where it means nothing: random weights, or reference maps with fewer than 6 labels of ≥ 1 % each."""
    max_logit_error: Amount | None
    image_count: Number


class Failure(Facts):
    """Why a cell has no numbers; of step `node` its machine was lost, whatever it did."""

    step: Literal[
        "baseline", "plan", "train", "build", "measure", "evaluate", "memory", "cold", "agreement", "throughput", "node"
    ]
    reason: str
    """One line for the table."""
    detail: str = ""
    """The last lines of the traceback, without paths of this machine."""

    @model_validator(mode="before")
    @classmethod
    def _step_of_older_records(cls, value: Any) -> Any:
        if isinstance(value, dict) and "stage" in value:
            return {"step" if key == "stage" else key: kept for key, kept in value.items()}
        return value


_SHOWN_OF_CONFIG = "rate_hz", "threads", "accuracy_images"


class Record(Facts):
    """One measured cell: a result with its artifact, config, device, software, protocol and time."""

    schema_version: Number = SCHEMA
    protocol: str = SPEED_PROTOCOL
    status: Status
    key: Name
    """The cell key: equal keys are the same measurement; see `bench/plan.py`."""
    folder: str = ""
    """Random id of the results folder it was measured into; empty in older records, whose keys hold it."""
    cell: str = ""
    """What was asked, whatever machine answers (`bench/plan.py`, `cell_id`); empty in older records."""
    tries: Number = 1
    """How often it was begun: a fleet begins it elsewhere when its node is lost."""
    quick: bool
    """True for a smoke test: fewer samples, a few training steps; never ranked beside full rows."""
    preset: Name
    artifact: Artifact
    device: Device
    software: Software
    dataset: Dataset | None
    """The images this row's accuracy belongs to; null for a run without accuracy."""
    started_at: AwareDatetime
    seconds: dict[str, Amount]
    """Wall seconds spent per step; `start` is the start of the cell's processes, all together."""
    build: Build | None = None
    speed: Speed | None = None
    paced: Paced | None = None
    """Null for calls one after the other; else `protocol` is `zoo-paced/1`, and `speed` has no network scope."""
    cold_start: ColdStart | None = None
    throughput: Throughput | None = None
    memory: Memory | None = None
    cost: Cost | None = None
    accuracy: Accuracy | None = None
    agreement: Agreement | None = None
    failure: Failure | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    """The whole `BenchConfig` this cell was asked for with, without paths."""

    @model_validator(mode="after")
    def _time_and_config_can_be(self) -> Self:
        if not 1970 <= self.started_at.year < 9999:  # beyond them no zone's time is another's
            raise ValueError(f"started_at is of the years 1970 to 9998; got {self.started_at.year}")
        for name in _SHOWN_OF_CONFIG:
            asked = self.config.get(name)
            if asked is not None and not (isinstance(asked, int | float) and asked > 0):
                raise ValueError(f"config.{name} is a number above 0 or null; got {repr(asked)[:40]}")
        return self

    @property
    def is_baseline(self) -> bool:
        """True for the mean label map, which is scored but not timed."""
        return self.artifact.model == MEAN_LABEL_MAP
