"""What you ask for: `TrainConfig` and `BenchConfig` ← TOML preset ← flags, whole and final.

A preset is one flat TOML file that holds one whole run; nothing is inherited. An unknown key, a wrong type or a value
out of range is a `UserError` that names the file, the key and what is allowed.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from zoo.allowed import Name
from zoo.errors import UserError, did_you_mean
from zoo.files import LEAST_DIGITS, short_hash
from zoo.presets import preset_folder, preset_names, presets, recipes
from zoo.protocol import PACED_PROTOCOL, SPEED_PROTOCOL
from zoo.record import MemoryFormat, Precision
from zoo.spec import Facts, Resize, Size
from zoo.units import parse_pairs, parse_size

INSTALLED = "installed"
"""In place of a runtime: all that can run here."""


def _written(value: object) -> object:
    """A size as it is written everywhere else: `256x512`."""
    return parse_size(value) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


ALL_CUDA = "cuda:all"
"""In place of a device: every CUDA device of this machine."""

WrittenSize = Annotated[Size, BeforeValidator(_written)]


class TrainConfig(Facts):
    """One recipe for every model: what `zoo train` does, whole."""

    name: Name = "custom"
    """The recipe's name in tables."""
    steps: int = Field(default=1000, gt=0)
    batch_size: int = Field(default=8, gt=0)
    """Images of one optimizer step, over all processes and pieces."""
    accumulate: int = Field(default=1, gt=0)
    """Pieces each process computes its share of the batch in, one after another: less memory for the same step."""
    image_size: WrittenSize | None = None
    """Frames are first resized to fit inside this, aspect kept; `None`: as they come."""
    crop_size: WrittenSize = (512, 1024)
    """Where no frame of a dataset fills it at its largest scale, its empty rest is left away."""
    scale_range: tuple[float, float] = (0.5, 2.0)
    flip: bool = True
    color_jitter: float = Field(default=0.3, ge=0, le=1)
    """Strength of brightness, contrast and saturation changes; 0 is off."""
    optimizer: Literal["auto", "sgd_poly", "adamw_poly"] = "auto"
    """`auto`: the model's own recipe family (`ModelSpec.recipe`)."""
    sgd_learning_rate: float = Field(default=0.01, gt=0)
    sgd_momentum: float = Field(default=0.9, ge=0, lt=1)
    sgd_weight_decay: float = Field(default=5e-4, ge=0)
    adamw_learning_rate: float = Field(default=6e-5, gt=0)
    adamw_weight_decay: float = Field(default=0.01, ge=0)
    warmup_steps: int = Field(default=0, ge=0)
    """AdamW only: the rate grows linearly from 0 over this many steps."""
    poly_power: float = Field(default=0.9, gt=0)
    aux_weight: float = Field(default=0.4, ge=0)
    """Weight of each auxiliary head's loss."""
    grad_clip: float | None = Field(default=1.0, gt=0)
    """Largest L2 norm of the gradient; `None`: not clipped."""
    class_weights: Literal["none", "inverse_log"] | tuple[Annotated[float, Field(ge=0)], ...] = "none"
    """Of the classes in the loss: `inverse_log` is 1 / ln(1.02 + share of the class in the training labels); or a list,
    one number per class."""
    ohem_threshold: float | None = Field(default=None, gt=0, le=1)
    """Learn from hard pixels alone: those that give their own class at most this probability. `None`: from all."""
    ohem_min_share: float = Field(default=1 / 16, gt=0, le=1)
    """With a threshold: learn from at least this share of an image's pixels, the hardest (BiSeNet's 1/16)."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Validate and keep the exponential moving average of the weights, by this decay a step; `None`: the last ones."""
    batch_norm_batches: int = Field(default=0, ge=0)
    """Before each validation, and at the end, estimate the running statistics of all batch norms anew, as the plain
    average over so many training batches; 0: keep those that followed training, by a small part of each step. They lag
    behind after a short run, and where a network's momentum is small (MobileNetV3's 0.01)."""
    pretrained: bool | Literal["auto"] = False
    """Begin from the encoder's published weights; `auto`: where there are any."""
    init_hash: str | None = Field(default=None, pattern="^[0-9a-f]{12}$")
    """Of the whole weights that training begins from, with what their classes are and how they are fed; `train_model`
    fills it in (`init`). `None`: it begins from none."""
    seed: int = Field(default=0, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 autocast where the device gains by it."""
    val_every: int | None = Field(default=None, gt=0)
    """Validate every so many steps; the last step always is. `None`: only then."""
    workers: int | None = Field(default=None, ge=0)
    """Loader processes; `None`: none on a CPU, which training fills by itself, else one per core up to 8."""
    compile: bool = False
    """Train through `torch.compile`: a slow first step, then faster ones."""

    @model_validator(mode="after")
    def _scale_range_is_ordered(self) -> Self:
        low, high = self.scale_range
        if not 0 < low <= high:
            raise ValueError(f"scale_range is (low, high) with 0 < low <= high; got {low}, {high}")
        return self

    @model_validator(mode="after")
    def _pieces_are_equal(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size is a multiple of accumulate; got {self.batch_size} images in {self.accumulate} pieces"
            )
        return self

    @property
    def recipe_hash(self) -> str:
        """Hash of everything that decides the trained weights but the seed; where and how fast it ran is left out.

        A key that recipes did not always have counts where it is not at its default: older records keep their hashes.
        """
        decides = self.model_dump(mode="json", exclude={"workers", "compile", *at_default(self, _LATER_KEYS)})
        return short_hash(decides | {"seed": 0}, 12)


def at_default(config: Facts, keys: Iterable[str]) -> set[str]:
    """Return those of some keys that are at their default."""
    fields = type(config).model_fields
    return {key for key in keys if getattr(config, key) == fields[key].default}


_LATER_KEYS = (
    *("accumulate", "class_weights", "ohem_threshold", "ohem_min_share", "ema_decay", "batch_norm_batches"),
    "init_hash",
)


class BenchConfig(Facts):
    """What `zoo bench` measures, whole: which models, on which images, how, and where weights come from."""

    name: Name = "custom"
    """The preset's name."""
    models: tuple[str, ...] = ("all",)
    """Names, globs, tags, `all`, `decoder:timm/encoder`, or a model of your own."""
    split: str = "val"
    input_sizes: tuple[WrittenSize, ...] = ()
    """What the network sees, one cell each; empty: the frame's own size."""
    image_size: WrittenSize = (1024, 2048)
    """Size of the frames latency is measured with when no dataset is opened (`accuracy = false`)."""
    resize: Resize = "fit"
    batch_size: int = Field(default=1, gt=0)
    runtimes: tuple[str, ...] = ("eager",)
    """Names, or `installed` for all that can run here."""
    precisions: tuple[Precision, ...] = ("fp32",)
    compile_mode: Literal["default", "max-autotune-no-cudagraphs"] = "default"
    """`torch.compile`'s; with CUDA graphs one stage's answer would be overwritten by the next."""
    memory_format: MemoryFormat = "channels_last"
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:(\d+|all))?)$")
    threads: int | None = Field(default=None, gt=0)
    """CPU threads; `None`: one per core this process may use."""
    accuracy: bool = True
    """Count mIoU on `split`; `false`: speed, memory and cost alone, without a dataset."""
    accuracy_images: int | None = Field(default=None, gt=0)
    """Evaluate only this many images, spread over the split; `None`: all."""
    throughput: bool = False
    """Run the offline scenario too: the batch grows until memory ends or the rate stops growing."""
    rate_hz: float | None = Field(default=None, ge=0.1, le=1000)
    """Pace the calls: one when each frame of this rate is due, in place of one after the other."""
    quick: bool = False
    """Fewer samples; every row is labelled *quick*."""
    timeout_s: float = Field(default=1800, gt=0)
    """Per step of a cell."""
    train_missing: bool = False
    """Train models that have no checkpoint of `train`; otherwise their mIoU is null."""
    train_models: tuple[str, ...] = ("all",)
    """Of the table's models, those that are trained then: names, globs, tags. Your own always are."""
    trainings_at_once: int = Field(default=1, gt=0)
    """Of those on a CPU, how many run beside each other, each on its share of the threads. So does one alone: what else
    is trained moves no weight."""
    keep_checkpoints: bool = True
    """`false`: a checkpoint trained here is deleted when its cells are done."""
    disk_bytes: int = Field(default=0, ge=0)
    """Free disk this run needs, checked before it starts."""
    train: TrainConfig | None = None
    """The recipe whose checkpoints are measured."""
    seeds: int = Field(default=1, gt=0)
    """Trainings of each model, with `train.seed` and the seeds after it: each is measured, all are one row."""

    @model_validator(mode="after")
    def _training_has_a_recipe(self) -> Self:
        if self.train_missing and self.train is None:
            raise ValueError("train_missing = true needs a [train] table: the recipe to train with")
        if self.seeds > 1 and (self.train is None or not self.accuracy):
            lacking = "a [train] table: the recipe to train with" if self.train is None else "accuracy = true"
            raise ValueError(f"seeds = {self.seeds} needs {lacking}")
        return self

    @model_validator(mode="after")
    def _a_rate_is_of_single_frames(self) -> Self:
        if self.rate_hz is not None and (self.batch_size > 1 or self.throughput):
            other = f"batch_size = {self.batch_size}" if self.batch_size > 1 else "throughput = true"
            raise ValueError(
                f"rate_hz = {self.rate_hz:g} makes a call for each frame and {other} asks for batches; "
                "ask for one of the two"
            )
        return self

    @property
    def protocol(self) -> str:
        """Rules that the clock runs by."""
        return SPEED_PROTOCOL if self.rate_hz is None else PACED_PROTOCOL

    @property
    def recipes(self) -> tuple[TrainConfig, ...]:
        """The recipe with each of its seeds; none without a recipe."""
        if self.train is None:
            return ()
        first = self.train.seed
        return tuple(self.train.model_copy(update={"seed": seed}) for seed in range(first, first + self.seeds))


ConfigT = TypeVar("ConfigT", bound=Facts)
_KINDS: dict[type[Facts], str] = {TrainConfig: "train", BenchConfig: "bench"}


def load_config(cls: type[ConfigT], preset: str | None = None, changes: Mapping[str, Any] | None = None) -> ConfigT:
    """Read a preset (a shipped name or a TOML file), apply `changes` (dotted keys reach into tables), check everything.

    A recipe may be one that a preset of a sweep trains by, by its name or in the sweep's own file. `NAME@HASH` names it
    where it is that one, and no other.

    Raises:
        UserError: no such preset, not TOML, unknown key, wrong type, value out of range.
    """
    values: dict[str, Any] = {}
    source = "the flags"
    if preset is not None:
        preset = _name_of_recipe(preset) if cls is TrainConfig else preset
        path = _find_preset(preset, _KINDS[cls])
        source = str(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UserError(f"{path} cannot be read as TOML: {error}") from error
        is_shipped_sweep = path.resolve().parent == preset_folder("bench").resolve()
        if cls is TrainConfig and ("train" in values or is_shipped_sweep):  # a recipe has no tables
            values = _recipe_of_sweep(values, path)
        else:
            values.setdefault("name", path.stem)
    alone = json.dumps(values, default=str)
    for key, value in (changes or {}).items():
        _put(values, key.split("."), value)
    try:
        return cls.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        failing = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        named = any(failing == key or failing.startswith(f"{key}.") for key in changes or {})
        source = "the flags" if named or _is_sound(cls, alone) else source
        raise UserError(f"{source}: {_explain(cls, error)}") from error


def _is_sound(cls: type[Facts], alone: str) -> bool:
    """Whether a preset without any change can be read: then a mistake is one of what changed it."""
    try:
        cls.model_validate_json(alone, strict=True)
    except ValidationError:
        return False
    return True


def parse_set(pairs: list[str]) -> dict[str, Any]:
    """Read `--set key=value` pairs; a value is TOML (`0.01`, `true`, `[256, 512]`), else a plain string.

    Raises:
        UserError: a pair without `=`.
    """
    changes: dict[str, Any] = {}
    for key, text in parse_pairs("--set", pairs, "steps=300").items():
        try:
            changes[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key] = text
    return changes


def parse_rate(text: str) -> Fraction:
    """Read frames per second: `25`, `29.97` or `30000/1001`.

    Raises:
        UserError: anything else, or a rate that is not over 0 and up to 1000.
    """
    with suppress(ValueError, ZeroDivisionError):
        rate = Fraction(text).limit_denominator(1001)
        if 0 < rate <= 1000:
            return rate
    raise UserError(f"a rate is frames per second, such as 25, 29.97 or 30000/1001; got {text!r}")


def _name_of_recipe(preset: str) -> str:
    """Return the name in `NAME@HASH`, once the recipe of that name is the one that is meant; else what is given."""
    name, _, digits = preset.partition("@")
    if not digits or preset.endswith(".toml"):
        return preset
    if len(digits) < LEAST_DIGITS:
        raise UserError(f"{preset}: name at least {LEAST_DIGITS} digits of the recipe's hash, or {name} alone")
    known = load_config(TrainConfig, name).recipe_hash
    if not known.startswith(digits.lower()):
        raise UserError(
            f"the recipe {name} that comes with zoo is {known[: len(digits)]}, not {digits}; give the file of that "
            f"one, or --config {name} for what it is now"
        )
    return name


def _find_preset(preset: str, kind: str) -> Path:
    if preset.endswith(".toml"):
        path = Path(preset)
        if not path.is_file():
            raise UserError(f"no preset file {preset}; shipped presets: {', '.join(preset_names(kind))}")
        return path
    names = recipes() if kind == "train" else presets(kind)
    if preset not in names:
        raise UserError(
            f"no {kind} preset {preset!r}.{did_you_mean(preset, names)} "
            f"Shipped: {', '.join(names)}; or give a path that ends in .toml"
        )
    return names[preset]


def _recipe_of_sweep(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """What a preset of a sweep trains by, under the name that the sweep gives it."""
    table = values.get("train")
    if not isinstance(table, dict):
        raise UserError(
            f"{path} is a preset of a sweep and has no [train] table to train by; "
            f"name a recipe: {', '.join(recipes())}; or a path that ends in .toml"
        )
    return table


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    *tables, last = keys
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise UserError(f"{'.'.join(keys)}: {table!r} is a value, not a table")
    values[last] = value


def _explain(cls: type[Facts], error: ValidationError) -> str:
    """First problem of a failed validation as one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *tables, key = (str(part) for part in first["loc"])
        fields = TrainConfig.model_fields if tables else cls.model_fields
        return f"unknown key {where!r}.{did_you_mean(key, fields)} Allowed: {', '.join(sorted(fields))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where + ': ' if where else ''}{message}" + (f"; got {first['input']!r}" if where else "")
