"""A hub's model as the zoo knows one: what builds it, what its weights are, how it is fed. Free of torch.

The network is its configuration: names of classes, where it came from and what wrote it make no other one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub

from zoo.errors import UserError, counted
from zoo.files import sha256_of, short_hash
from zoo.hub.folder import CONFIG, Place, read_place
from zoo.hub.processor import ALBUMENTATIONS, PROCESSORS, Processor, of_albumentations, of_transformers
from zoo.identity import package_version
from zoo.labels import CITYSCAPES
from zoo.spec import DatasetSpec, ModelSpec

MAX_CLASSES = 254
CARD = "README.md"

_HEADS = re.compile(r"(?!Videomt)(\w+)For(Semantic|Universal)Segmentation|(MaskFormer)ForInstanceSegmentation")
_FAMILIES = {
    "Segformer": "SegFormer", "UperNet": "UPerNet", "Beit": "BEiT", "Data2VecVision": "data2vec", "Eomt": "EoMT",
    "EomtDinov3": "EoMT",
}  # fmt: skip
_ASIDE = {
    "_name_or_path", "transformers_version", "id2label", "label2id", "torch_dtype", "dtype", "use_pretrained_backbone",
    "problem_type", "auto_map",
}  # fmt: skip
"""Of a configuration: what is no part of the network."""
_SMP_ASIDE = {"_model_class", "encoder_weights", "classes", "activation", "aux_params"}


class HubWeights(NamedTuple):
    """What is known of a hub's weights without reading them."""

    file: Path
    """The first of their files, with all others beside it."""
    sha256: str
    """Of the bytes of all of them."""
    num_classes: int
    classes: DatasetSpec | None
    """`None`: its channels have no names."""
    processor: Processor
    licence: str
    trained_on: str | None
    url: str
    notes: tuple[str, ...] = ()


def find_hub(name: str) -> ModelSpec | None:
    """Return the spec of `hf:FOLDER`, `hf:OWNER/NAME`, `smp:…`; `None` for another name.

    Of a repository, its configuration is fetched where it is not in the cache.

    Raises:
        UserError: no such folder or repository; it has no semantic head; its library is not installed.
    """
    place = read_place(name)
    if place is None:
        return None
    if place.library == "hf" and package_version("transformers") is None:
        raise UserError(f"{name}: transformers builds it, which is not installed: pip install 'zoo-seg[hf]'")
    config = place.json(place.required(CONFIG))
    is_smp = "_model_class" in config
    if is_smp != (place.library == "smp"):
        right = "smp" if is_smp else "hf"
        raise UserError(f"{name} was not saved by that library; {right}:{name.partition(':')[2]} names it")
    return (_of_smp if is_smp else _of_transformers)(place, config)


def hub_weights(spec: ModelSpec) -> HubWeights:
    """Find the weights of a hub's model, and fetch those of a repository that are not in the cache.

    Raises:
        UserError: they are not there, or their classes cannot be used.
    """
    place = read_place(spec.hub)
    assert place is not None, "a hub's model says where it lies"
    config = place.json(place.required(CONFIG))
    if place.library == "hf":
        names = _class_names(place, config)
        processor = of_transformers(_first_json(place, PROCESSORS))
    else:
        names = tuple(f"LABEL_{index}" for index in range(int(config.get("classes", 1))))
        processor = of_albumentations(_first_json(place, (ALBUMENTATIONS,)))
    if not 2 <= len(names) <= MAX_CLASSES:
        raise UserError(
            f"{spec.name} has {counted(len(names), 'output channel')}; zoo takes 2 to {MAX_CLASSES}, one a class"
        )
    card = hub_card(spec)
    files = place.weights()
    named = not all(re.fullmatch(r"LABEL_\d+", one) for one in names)  # what transformers writes where nobody did
    classes = (
        _classes(names, card.trained_on or place.name)
        if named
        else _assumed(len(names), f"{card.trained_on} {place.name}")
    )
    notes = (
        ("its channels have no names: taken for Cityscapes' classes, which its name says",)
        if classes and not named
        else ()
    )
    return HubWeights(
        file=files[0],
        sha256=sha256_of(files[0]) if len(files) == 1 else short_hash([sha256_of(file) for file in files]),
        num_classes=len(names),
        classes=classes,
        processor=processor,
        licence=card.licence,
        trained_on=card.trained_on,
        url=card.url,
        notes=notes,
    )


def _of_transformers(place: Place, config: dict[str, Any]) -> ModelSpec:
    architecture = next(iter(config.get("architectures") or ()), "")
    found = _HEADS.fullmatch(architecture)
    if found is None:
        what = f"a {architecture}" if architecture else "no architecture"
        raise UserError(
            f"{place.name}: its {CONFIG} names {what}, which has no semantic head; zoo takes …ForSemanticSegmentation "
            "(SegFormer, UPerNet, BEiT, DPT, MobileViT, MobileNetV2) and mask classifiers (Mask2Former, MaskFormer, "
            "OneFormer, EoMT)"
        )
    kind = found[1] or found[3]
    processor = of_transformers(_first_json(place, PROCESSORS))
    return ModelSpec(
        name=place.name,
        hub=place.whole,
        builder="zoo.models.from_hf:hf_model",
        args={"config": _plain(config)},
        family=_FAMILIES.get(kind, kind),
        recipe="sgd_poly" if kind.startswith("MobileNet") else "adamw_poly",
        url=place.url,
        licence="Apache-2.0 (transformers)",
        divisor=processor.divisor,
        channel_order=processor.channel_order,
        **{key: value for key in ("mean", "std") if (value := getattr(processor, key)) is not None},
    )


def _of_smp(place: Place, config: dict[str, Any]) -> ModelSpec:
    channels = config.get("in_channels", 3)
    if channels != 3:
        raise UserError(f"{place.name} takes images of {channels} channels; zoo feeds RGB")
    kind, encoder = str(config["_model_class"]), str(config.get("encoder_name", ""))
    processor = of_albumentations(_first_json(place, (ALBUMENTATIONS,)))
    return ModelSpec(
        name=place.name,
        hub=place.whole,
        builder="zoo.models.from_smp_hub:smp_hub_model",
        args={"kind": kind, "options": {key: config[key] for key in sorted({*config} - _SMP_ASIDE)}},
        family=kind,
        encoder=encoder,
        recipe="adamw_poly" if kind in {"Segformer", "DPT"} else "sgd_poly",
        url=place.url,
        licence="MIT (smp)" if not encoder.startswith("tu-") else "MIT (smp), encoder: see timm",
        **{key: value for key in ("mean", "std") if (value := getattr(processor, key)) is not None},
    )


def _plain(value: Any) -> Any:
    """A configuration without what is no part of the network, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if key not in _ASIDE}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _first_json(place: Place, names: tuple[str, ...]) -> dict[str, Any] | None:
    file = next((found for name in names if (found := place.file(name)) is not None), None)
    return None if file is None else place.json(file)


def _class_names(place: Place, config: dict[str, Any]) -> tuple[str, ...]:
    """Names of the output channels, in their order; two, as transformers has it, where none are written."""
    given = config.get("id2label") or {str(index): f"LABEL_{index}" for index in range(config.get("num_labels", 2))}
    try:
        names = {int(index): str(name) for index, name in given.items()}
    except (AttributeError, ValueError) as error:
        raise UserError(f"{place.name}: id2label in its {CONFIG} is no mapping of channels to names") from error
    if sorted(names) != [*range(len(names))]:
        raise UserError(f"{place.name}: id2label in its {CONFIG} leaves channels out; it names 0 to {len(names) - 1}")
    return tuple(names[index] for index in range(len(names)))


def _assumed(count: int, said: str) -> DatasetSpec | None:
    """The classes of channels without names, where as many and a name of the model or its data tell them."""
    return CITYSCAPES if "cityscapes" in said.casefold() and count == CITYSCAPES.num_classes else None


def _classes(names: tuple[str, ...], name: str) -> DatasetSpec:
    """The classes of a network's channels, in Cityscapes' colours where they are its, else in VOC's."""
    theirs = CITYSCAPES.train_ids_of(names)
    if theirs == (*range(CITYSCAPES.num_classes),):
        return CITYSCAPES
    if sorted(theirs) == [*range(CITYSCAPES.num_classes)]:
        colors = tuple(CITYSCAPES.class_colors[train_id] for train_id in theirs)
    else:
        colors = tuple(_color(index + 1) for index in range(len(names)))
    return DatasetSpec(
        name=name,
        class_names=names,
        class_colors=colors,
        label_to_train_id={index: index for index in range(len(names))},
    )


def _color(index: int) -> tuple[int, int, int]:
    """RGB of a class in PASCAL VOC's palette: its number's bits, spread over the channels from the highest down."""
    red, green, blue = (
        sum((index >> (3 * place + channel) & 1) << (7 - place) for place in range(8)) for channel in range(3)
    )
    return red, green, blue


class HubCard(NamedTuple):
    """What is stated of a hub's weights."""

    licence: str
    """Empty where it is not."""
    trained_on: str | None
    url: str
    """Empty for a folder."""


def hub_card(spec: ModelSpec) -> HubCard:
    """Read what a hub's model states of its weights; none of them is fetched.

    Raises:
        UserError: no such folder or repository.
    """
    place = read_place(spec.hub)
    assert place is not None, "a hub's model says where it lies"
    card = place.file(CARD)
    licence, trained_on = ("", None) if card is None else _read_card(card)
    return HubCard(licence, trained_on, place.url)


def _read_card(card: Path) -> tuple[str, str | None]:
    """Licence and dataset that a model's card states; empty and `None` where it does not, or cannot be read."""
    try:
        facts = huggingface_hub.metadata_load(card) or {}
        text = card.read_text(encoding="utf-8")
    except Exception:  # noqa: BLE001  it is prose with YAML above, and no card is no fault
        return "", None
    licence = facts.get("license_name") or facts.get("license") or ""
    given = facts.get("datasets") or []
    names = [given] if isinstance(given, str) else [str(one) for one in given]
    said = re.search(r"^Dataset name: *(?!\[More)(.+)$", text, re.MULTILINE)  # smp's card
    return str(licence), " + ".join(names) or (said[1].strip() if said else None)
