"""Videos: frames through PyAV, and pictures of what a model sees in them as a video again."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.reading import upright
from zoo.data.spelling import Pixels
from zoo.errors import UserError
from zoo.faults import how_to_read, how_to_write, reason
from zoo.predict.drawing import PICTURES, Kind
from zoo.predict.predictor import Prediction, Predictor
from zoo.predict.stream import WriteError, write
from zoo.spec import Size

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"),
    *(".webm", ".wmv"),
)
FILMED: tuple[Kind, ...] = ("overlay", "color")
"""Kinds that are written as a video; of the others a lossy file would not keep the values."""
USUAL_RATE = Fraction(25)
"""Frames per second where the file does not tell."""
_ENCODERS = {
    "libx264": {"crf": "18", "preset": "veryfast"},
    "mpeg4": {"qmin": "2", "qmax": "4"},
}
"""Tried in this order, with options for a picture without visible loss."""
_BT709 = 1
_LIMITED = 1
_ORIENTATIONS = {90: 8, 180: 3, 270: 6}  # turns counter-clockwise, as PyAV has them → EXIF's


class Clip:
    """An opened video."""

    def __init__(self, path: Path, container: Any) -> None:
        if not container.streams.video:
            raise UserError(f"video {path} holds no pictures (sound alone?); give one that does")
        self.container, self.stream = container, container.streams.video[0]
        self.stream.thread_type = "AUTO"
        self.damaged = 0
        """Pieces that could not be decoded so far."""

    @property
    def rate(self) -> Fraction:
        """Frames per second."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return Fraction(rate).limit_denominator(1001) if rate else USUAL_RATE

    @property
    def count(self) -> int:
        """Number of frames as the file tells, 0 where it does not."""
        seconds = 0.0
        if self.stream.duration:
            seconds = float(self.stream.duration * self.stream.time_base)
        elif self.container.duration and len(self.container.streams) == 1:
            seconds = self.container.duration / 1e6
        return max(int(self.stream.frames), round(seconds * self.rate))

    def frames(self) -> Iterator[Pixels]:
        """Frames `(H, W, 3)` RGB, upright as a player shows them; damaged pieces are skipped and counted."""
        error = _av().FFmpegError
        packets = self.container.demux(self.stream)
        while True:
            try:
                decoded = next(packets).decode()
            except StopIteration:
                return
            except error:
                self.damaged += 1
                if self.damaged > max(100, self.count):  # a reader that never comes to an end
                    return
                continue
            for frame in decoded:
                yield upright(frame.to_ndarray(format="rgb24"), _ORIENTATIONS.get(frame.rotation % 360, 1))


@contextmanager
def open_clip(path: Path) -> Iterator[Clip]:
    """Open a video.

    Raises:
        UserError: PyAV is not installed, or the file is missing, no video, or damaged at its head.
    """
    av = _av(path)
    try:
        container = av.open(str(path))
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            remedy = how_to_read(error)
        elif isinstance(error, av.error.InvalidDataError):
            remedy = (
                "it is no video, or its index is missing: copy or download it again; a recording that broke off may "
                "be mended by `untrunc`"
            )
        else:
            remedy = "convert it to MP4"
        raise UserError(f"video {path} cannot be read: {reason(error)}; {remedy}") from error
    with container:
        yield Clip(path, container)


def frame_count(path: Path) -> int:
    """Number of a video's frames as it tells; 0 where it does not, or cannot be read."""
    try:
        with open_clip(path) as clip:
            return clip.count
    except UserError:
        return 0


def predict_clip(
    predictor: Predictor,
    path: Path,
    videos: Mapping[Kind, Path],
    *,
    rate: Fraction | None,
    confidence: bool,
    on_frame: Callable[[int, Prediction], None],
) -> UserError | None:
    """Predict a video frame by frame, and write what is seen as videos, all of them whole or not at all.

    A file of odd height or width becomes one row or column larger, as encoders want it. Sound is left out.

    Args:
        predictor: The model.
        path: The video.
        videos: Kind → the `.mp4` to write.
        rate: Frames per second that are written; `None`: as it was.
        confidence: Whether predictions are to hold it.
        on_frame: Told of each frame's number, from 1, and its prediction.

    Returns:
        What is missing at the end of a damaged video; `None` for one that is whole.

    Raises:
        UserError: not one frame can be decoded, the network fails, or the disk is full.
    """
    with open_clip(path) as clip:
        seen = 0

        def film(drafts: Mapping[Kind, Path]) -> None:
            nonlocal seen
            reels: dict[Kind, _Reel] = {}
            try:
                for pixels in clip.frames():
                    prediction = predictor(pixels, confidence=confidence)
                    for kind, draft in drafts.items():
                        if kind not in reels:
                            reels[kind] = _Reel(draft, pixels.shape[:2], rate or clip.rate)
                        reels[kind].add(PICTURES[kind](prediction, predictor.classes))
                    seen += 1
                    on_frame(seen, prediction)
                for reel in reels.values():
                    reel.finish()
            finally:
                for reel in reels.values():
                    reel.close()
            if not seen:
                raise UserError(
                    f"video {path} cannot be read: no frame of it can be decoded; copy or download it again"
                )

        try:
            _write_together(videos, film)
        except _av().FFmpegError as error:  # of an encoder: what a decoder says is counted
            said = OSError(getattr(error, "errno", 0), reason(error))
            raise WriteError(f"cannot write a video: {reason(error)}; {how_to_write(said, 'another place')}") from error
        missing = clip.count - seen
        if clip.damaged or missing > max(2, clip.count // 50):
            return UserError(
                f"video {path} is damaged: {seen} of about {max(seen, clip.count)} frames could be decoded, and are "
                "written; copy or download it again for the rest"
            )
    return None


def _write_together(videos: Mapping[Kind, Path], film: Callable[[Mapping[Kind, Path]], None]) -> None:
    """Call `film` with a draft for each video; they appear when it is done."""

    def nest(drafts: dict[Kind, Path], rest: list[Kind]) -> None:
        if not rest:
            film(drafts)
            return
        kind, *others = rest
        write({videos[kind]: lambda draft: nest({**drafts, kind: draft}, others)}, videos[kind])

    nest({}, list(videos))


class _Reel:
    """A video that is being written, of frames of one size."""

    def __init__(self, draft: Path, size: Size, rate: Fraction) -> None:
        av = _av()
        self.draft = draft
        self.container = av.open(str(draft), "w", format="mp4")
        name = next(name for name in _ENCODERS if name in av.codecs_available)
        self.stream = self.container.add_stream(name, rate=rate, options=_ENCODERS[name])
        self.stream.height, self.stream.width = (side + side % 2 for side in size)
        self.stream.pix_fmt = "yuv420p"
        codec = self.stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = _LIMITED

    def add(self, pixels: Pixels) -> None:
        """Add a frame `(H, W, 3)`; of another size than the first, it is resized."""
        av = _av()
        height, width = pixels.shape[:2]
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        self._put(
            frame.reformat(
                self.stream.width, self.stream.height, "yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED
            )
        )

    def finish(self) -> None:
        """Write what is still waiting. Not after a fault: where a head could not be written, libav crashes."""
        self._put(None)

    def close(self) -> None:
        """Close the file, whole or not."""
        self.container.close()

    def _put(self, frame: Any) -> None:
        self.container.mux(self.stream.encode(frame))


def _av(path: Path | str = "this") -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise UserError(f"{path} is a video, which takes PyAV to read: pip install 'zoo-seg[video]'") from error
