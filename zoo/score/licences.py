"""What is known of the licence of a row's code, weights and training data, and whether it may be sold.

Facts and where they are stated: no legal advice. What nobody stated is unknown, and what is unknown is not for sale.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from zoo.lazy import Lazy
from zoo.published.claims import CITYSCAPES_TERMS, UNKNOWN, Stated

if TYPE_CHECKING:
    from zoo import catalog
    from zoo.published import table
    from zoo.published.facts import Published
    from zoo.record import Weights
else:  # rows that were kept need neither
    catalog, table = Lazy("zoo.catalog"), Lazy("zoo.published.table")

NO_ADVICE = "facts and where they are stated, no legal advice"

Kind = Literal["permissive", "copyleft", "unknown", "non-commercial"]


class Terms(NamedTuple):
    """What a licence says of selling what is made with it."""

    kind: Kind
    says: str
    source: str = ""
    """URL of its text; empty where the statement has its own."""


_NC = Terms("non-commercial", "not for commercial use")
_SHARED = "may be sold, with its source and under the same licence"

_NOT_KNOWN = Terms("unknown", "not known")


_LIBRARIES = {
    "torchvision": "https://github.com/pytorch/vision/blob/main/LICENSE",
    "smp": "https://github.com/qubvel-org/segmentation_models.pytorch/blob/main/LICENSE",
    "timm": "https://github.com/huggingface/pytorch-image-models/blob/main/LICENSE",
    "transformers": "https://github.com/huggingface/transformers/blob/main/LICENSE",
    "encoder": "https://github.com/NVlabs/SegFormer/blob/master/LICENSE",
}


def _whole(name: str) -> str:
    """A pattern of a licence and nothing else but whose it is: what stands beside it may be a condition."""
    return rf"^(the )?{name}( licen[cs]e)?( \(({'|'.join(_LIBRARIES)})\))?$"


TERMS: tuple[tuple[str, Terms], ...] = (
    (r"unknown", _NOT_KNOWN),
    (r"^trained by whoever ran the recipe$", Terms("permissive", "weights are of whoever trains them")),
    (r"^drawn by zoo$", Terms("permissive", "free, as this package is")),
    (r"nvidia source code", _NC._replace(source="https://github.com/NVlabs/SegFormer/blob/master/LICENSE")),
    (r"\bcc.by.nc", _NC._replace(source="https://creativecommons.org/licenses/by-nc/4.0/")),
    (r"non.?commercial|not.for.profit|research only", _NC),
    (r"commercial use", Terms("non-commercial", "the authors ask to be contacted for commercial use")),
    (r"\bagpl", Terms("copyleft", f"{_SHARED}, to users over a network too", "https://www.gnu.org/licenses/agpl-3.0")),
    (r"\blgpl", Terms("copyleft", f"{_SHARED} for the library", "https://www.gnu.org/licenses/lgpl-3.0")),
    (r"\bgpl", Terms("copyleft", _SHARED, "https://www.gnu.org/licenses/gpl-3.0")),
    (r"\bmpl", Terms("copyleft", f"{_SHARED}, file by file", "https://www.mozilla.org/MPL/2.0/")),
    (r"\bcc.by.sa", Terms("copyleft", _SHARED, "https://creativecommons.org/licenses/by-sa/4.0/")),
    (r"\bcc.by.nd", Terms("unknown", "may be sold unchanged", "https://creativecommons.org/licenses/by-nd/4.0/")),
    (
        _whole(r"cc.by(.[1-4]\.0)?( international)?"),
        Terms("permissive", "names its author", "https://creativecommons.org/licenses/by/4.0/"),
    ),
    (
        _whole(r"cc0(.1\.0)?( universal)?"),
        Terms("permissive", "free", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ),
    (_whole("mit(-0)?"), Terms("permissive", "keeps its notice", "https://opensource.org/license/mit")),
    (
        _whole("((new|modified|simplified|[0-4].clause) )?bsd(.[0-4].clause)?"),
        Terms("permissive", "keeps its notice", "https://opensource.org/license/bsd-3-clause"),
    ),
    (_whole("isc"), Terms("permissive", "keeps its notice", "https://opensource.org/license/isc-license-txt")),
    (
        _whole(r"apache(.licen[cs]e)?,?( version)?(.?(v )?2(\.0)?)?"),
        Terms("permissive", "keeps its notices", "https://www.apache.org/licenses/LICENSE-2.0"),
    ),
)
"""By a pattern of how it is written; the first that is found counts."""
_WORST: tuple[Kind, ...] = ("permissive", "copyleft", "unknown", "non-commercial")

_IMAGENET = Stated(value="ImageNet: non-commercial", source="https://www.image-net.org/download.php")
_DRAWN = "synthetic"
DATA: dict[str, Stated] = {
    "cityscapes": CITYSCAPES_TERMS,
    _DRAWN: Stated(value="drawn by zoo", source="LICENSE"),
    "camvid": Stated(value="CamVid: unknown", source="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/"),
    "voc": Stated(value="Pascal VOC: unknown", source="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"),
    "ade20k": Stated(
        value="ADE20K: non-commercial", source="https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/"
    ),
    "scene_parse_150": Stated(
        value="ADE20K: non-commercial", source="https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/"
    ),
    "imagenet": _IMAGENET,
    "imagenet-1k": _IMAGENET,
    "vistas": Stated(value="Mapillary Vistas: non-commercial", source="https://www.mapillary.com/dataset/vistas"),
    "bdd100k": Stated(value="BDD100K: not-for-profit", source="https://doc.bdd100k.com/license.html"),
}
"""Terms by the name of a dataset; those of others are not known."""

_HUBS = {"hf:": "Apache-2.0 (transformers)", "smp:": "MIT (smp)"}
_TORCHVISION_WEIGHTS = Stated(
    value="encoder: unknown, as its data's terms", source="https://github.com/pytorch/vision#pre-trained-model-license"
)
_OF_OTHERS = "of other weights of this architecture, whose mIoU it is: unknown"
_TRAINED = Stated(value="trained by whoever ran the recipe")


class Licences(NamedTuple):
    """Of one row, each with all that counts: what training began from too. Empty: there is nothing to be licensed."""

    code: tuple[Stated, ...]
    weights: tuple[Stated, ...]
    data: tuple[Stated, ...]

    @property
    def code_alone(self) -> bool:
        """Whether the weights are random, so that nothing but the code has a licence."""
        return not self.weights and not self.data

    @property
    def by_name(self) -> dict[str, tuple[Stated, ...]]:
        """Return the three by what people call them."""
        return dict(zip(("code", "weights", "training data"), self, strict=True))

    def why_not_for_sale(self) -> tuple[str, ...]:
        """Return what speaks against selling it, or is not known, a sentence each; empty: nothing does."""
        return tuple(
            f"{what}: {stated.value}{f' ({stated.source})' if stated.source else ''}, {terms.says}"
            for what, parts in self.by_name.items()
            for stated in parts
            if (terms := terms_of(stated.value)).kind != "permissive"
        )

    def as_dict(self) -> dict[str, str | bool]:
        """Return it as columns: what is stated, where, and whether nothing speaks against a sale."""
        facts = dict(zip(("code_licence", "weights_licence", "data_terms"), self, strict=True))
        said: dict[str, str | bool] = {}
        for name, parts in facts.items():
            said[name] = " + ".join(stated.value for stated in parts) or "none"
            said[f"{name}_source"] = " ".join(dict.fromkeys(stated.source for stated in parts if stated.source))
        return {**said, "for_sale": not self.why_not_for_sale()}


def all_of(several: Iterable[Licences]) -> Licences:
    """Return the licences of what was made in several ways: whatever is stated of any of them."""
    parts = zip(*several, strict=True)
    return Licences(*(tuple(dict.fromkeys(one for stated in part for one in stated)) for part in parts))


LICENCE_COLUMNS = tuple(Licences((), (), ()).as_dict())


@functools.cache
def terms_of(licence: str) -> Terms:
    """Return what a licence says, as somebody wrote it; of several, with commas between, the worst."""
    found = [
        next((terms for pattern, terms in TERMS if re.search(pattern, part.strip().lower())), _NOT_KNOWN)
        for part in re.split(r",(?! version)", licence, flags=re.IGNORECASE)
    ]
    return max(found, key=lambda terms: _WORST.index(terms.kind))


def licences_of(model: str, weights: Weights) -> Licences:
    """Return the licences of a model with its weights."""
    return _licences(
        model, weights.source, weights.tag, weights.licence, weights.url, weights.init, weights.pretrained,
        weights.trained_on or "",
    )  # fmt: skip


def licences_with(model: str, tag: str, source: str) -> Licences:
    """Return the licences of a model with published weights; no tag: with others that are stated at a URL."""
    listed = _checkpoint(model, tag)
    unknown = Stated(value=_OF_OTHERS, source=source)
    return Licences(
        _code(model), *(((listed.weights_licence,), (listed.data_terms,)) if listed else ((unknown,), (unknown,)))
    )


@functools.cache
def _licences(
    model: str, source: str, tag: str, licence: str, url: str, init: str, pretrained: str, trained_on: str
) -> Licences:
    code = _code(model)
    stated = Stated(value=licence, source=url) if licence else UNKNOWN
    listed = _checkpoint(model, tag) if source == "published" else None
    if source == "random":
        return Licences(code, (), ())
    if listed is not None:
        return Licences(code, (listed.weights_licence,), (listed.data_terms,))
    data = (_data(trained_on, ours=source == "run"),)
    if source != "run":
        return Licences(code, (stated,), data)
    if init:  # what training began from counts on
        before = _checkpoint(model, init.removeprefix("published ")) if init.startswith("published ") else None
        weights = before.weights_licence if before else stated
        terms = before.data_terms if before else Stated(value=f"of {init}, which training began from: unknown")
        return Licences(code, (_TRAINED, weights), (*data, terms))
    if pretrained:
        encoder = _TORCHVISION_WEIGHTS if pretrained.startswith("torchvision") else Stated(value="encoder: unknown")
        seen = _IMAGENET if "imagenet" in pretrained.lower() else Stated(value=f"of {pretrained}: unknown")
        return Licences(code, (_TRAINED, encoder), (*data, seen))
    return Licences(code, (_TRAINED,), data)


def _data(trained_on: str, *, ours: bool) -> Stated:
    """Terms of a dataset by its name; what others call synthetic zoo has not drawn."""
    name = trained_on.lower()
    terms = None if name == _DRAWN and not ours else DATA.get(name)
    return terms or (Stated(value=f"{trained_on}: unknown") if trained_on else UNKNOWN)


def _checkpoint(model: str, tag: str) -> Published | None:
    return next(iter(table.published_of(model, tag)), None) if tag else None


def _code(model: str) -> tuple[Stated, ...]:
    """Of the code that builds a network; a user's own is not known here."""
    hub = next((licence for prefix, licence in _HUBS.items() if model.startswith(prefix)), "")
    if model not in catalog.MODELS and not hub:
        return (Stated(value="unknown here, since the model is in no catalog"),)
    pieces = re.split(r",(?!\s*non-commercial)\s*", hub or catalog.MODELS[model].licence)
    names = [re.search(r"\((\w+)\)", piece) for piece in pieces]
    return tuple(
        Stated(value=piece, source=_LIBRARIES.get(name[1], "") if name else "LICENSE")
        for piece, name in zip(pieces, names, strict=True)
    )
