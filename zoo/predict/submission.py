"""What Cityscapes' server takes, checked by the rules of its own script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from zipfile import BadZipFile, ZipFile, ZipInfo

from PIL import Image

from zoo.data.layout import DAMAGE, Dataset, OnFrame
from zoo.data.reading import read_image
from zoo.errors import UserError
from zoo.labels import CITYSCAPES
from zoo.predict.drawing import encoded, label_ids
from zoo.predict.predictor import Prediction, Predictor
from zoo.predict.stream import Count, stream, write


def predict_submission(
    predictor: Predictor, dataset: Dataset, split: str, file: Path | str, *, on_image: OnFrame | None = None
) -> Path:
    """Write what the Cityscapes server takes: one PNG of label ids per frame of a split, at its full size, in a `.zip`.

    The archive appears only when all of it is there and `check_submission` has read it back.
    Source: https://www.cityscapes-dataset.com/submit/

    Args:
        predictor: The model.
        dataset: An opened dataset with Cityscapes' classes.
        split: `"test"` for the server; any other works too.
        file: The `.zip`; one that is there is replaced.
        on_image: Told of every image.

    Raises:
        UserError: other classes than Cityscapes', no such split, a damaged image, or a file that cannot be written.
    """
    file = Path(file).expanduser()
    if file.suffix.lower() != ".zip" or file.is_dir():
        raise UserError(f"a submission is one .zip file; got {file}: name it {file.name.removesuffix(file.suffix)}.zip")
    if dataset.spec.label_to_train_id != CITYSCAPES.label_to_train_id:
        raise UserError(
            f"{dataset.root} has classes of its own, and the Cityscapes server takes its own label ids alone; "
            "write pictures with -o DIR instead"
        )
    frames = dataset.frames(split)
    _check_frame_names(frame.name for frame in frames)
    reads = [(frame.name, partial(read_image, frame.image)) for frame in frames]
    on_done = Count(on_image, len(reads))
    sizes: dict[str, tuple[int, ...]] = {}

    def encode(name: str, prediction: Prediction) -> tuple[str, bytes]:
        sizes[name] = prediction.image.shape[:2]
        return name, encoded(Image.fromarray(label_ids(prediction.train_ids, dataset.spec)), ".png")

    def fill(draft: Path) -> None:
        with ZipFile(draft, "w") as archive:  # stored: PNGs are compressed already
            for name, png in stream(predictor, reads, encode, confidence=False, on_done=on_done):
                archive.writestr(ZipInfo(f"{name}_labelIds.png"), png)  # no date: equal predictions, equal bytes
        check_submission(draft, sizes)

    write({file: fill}, file)
    return file


def check_submission(file: Path, sizes: Mapping[str, tuple[int, ...]]) -> None:
    """Hold an archive against the rules of the official evaluation script.

    Every frame is answered by exactly one file `<city>_<seq>_<frame>*.png`, which is a single-channel 8-bit PNG of the
    frame's size that holds official label ids alone.
    Source: `getPrediction` and `evaluatePair` of cityscapesScripts' `evalPixelLevelSemanticLabeling.py`.

    Args:
        file: The `.zip`.
        sizes: `(height, width)` of every frame by its name.

    Raises:
        UserError: a rule is broken, or the archive is damaged; the first such thing is named.
    """
    _check_frame_names(sizes)
    try:
        with ZipFile(file) as archive:
            members = [(PurePath(member).name, member) for member in archive.namelist()]
            for name, size in sizes.items():
                answer = _only_answer(name, members)
                with archive.open(answer) as stream, Image.open(stream) as image:
                    _check_answer(answer, image, size)
    except UserError:
        raise
    except (*DAMAGE, BadZipFile) as error:
        raise UserError(f"{file.name} is damaged: {error}") from error


def _check_frame_names(names: Iterable[str]) -> None:
    """The official script reads a name's three parts, and finds a frame's prediction by how its name begins."""
    before = None
    for name in sorted(names):
        if name.count("_") != 2:
            raise UserError(f"frame {name} is not named <city>_<seq>_<frame>: the official script cannot read it")
        if before is not None and name.startswith(before):
            raise UserError(
                f"frame {name} begins with the name of frame {before}: the official script cannot tell them apart; "
                "give all frame numbers as many digits"
            )
        before = name


def _only_answer(frame_name: str, members: Sequence[tuple[str, str]]) -> str:
    found = [member for base, member in members if base.startswith(frame_name) and base.endswith(".png")]
    if len(found) != 1:
        raise UserError(f"frame {frame_name} has {len(found)} predictions in the archive; the rule is exactly one")
    return found[0]


def _check_answer(name: str, image: Image.Image, size: tuple[int, ...]) -> None:
    if image.format != "PNG" or image.mode != "L":
        raise UserError(f"{name} is {image.format} of mode {image.mode}; the rule is a single-channel 8-bit PNG")
    if (image.height, image.width) != size:
        raise UserError(f"{name} is {image.height}x{image.width}; its frame is {size[0]}x{size[1]}")
    strange = [
        value for value, count in enumerate(image.histogram()) if count and value not in CITYSCAPES.label_to_train_id
    ]
    if strange:
        raise UserError(f"{name} holds {', '.join(map(str, strange[:5]))}, no official label id")
