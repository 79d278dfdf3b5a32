"""Videos and files of several pages: every frame is predicted, and a video comes back."""

import resource
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from tests.predict.frames import names
from zoo.cli.main import main
from zoo.errors import UserError
from zoo.labels import CITYSCAPES
from zoo.predict.drawing import color_map, label_ids
from zoo.predict.pictures import predict_images
from zoo.predict.video import open_clip

COUNT = 40


def scene(number, size=(36, 50)):
    """Blocks that move by a pixel a frame."""
    blocks = np.random.default_rng(5).integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(blocks).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.roll(np.array(image), number, axis=1)


def film(path, count=COUNT, size=(36, 50), rate=Fraction(30000, 1001), codec="libx264", options=None):
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options={"crf": "0"} if codec == "libx264" else {})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(number, size), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def watch(path):
    """Frames `(n, H, W, 3)` and rate."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return np.stack(frames), container.streams.video[0].average_rate


def cut(path, share=0.6):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".MKV", "libx264"), (".avi", "mpeg4")])
def test_a_video_comes_back_as_a_video(tmp_path, predictor, suffix, codec):
    clip = film(tmp_path / f"a clip{suffix}", rate=25, codec=codec)
    told = []
    files = predict_images(predictor, clip, tmp_path / "out", on_image=lambda *count: told.append(count))
    assert names(tmp_path / "out") == ["color/a clip_color.mp4", "overlay/a clip_overlay.mp4"]
    assert {file.relative_to(tmp_path / "out").as_posix() for file in files} == set(names(tmp_path / "out"))
    assert told == [(number, COUNT) for number in range(1, COUNT + 1)]
    frames, rate = watch(tmp_path / "out" / "color" / "a clip_color.mp4")
    assert (frames.shape, rate) == ((COUNT, 36, 50, 3), 25)
    with open_clip(clip) as opened:
        seen = np.stack([color_map(predictor(pixels).train_ids, CITYSCAPES) for pixels in opened.frames()]).astype(int)
    for number, shown in enumerate(frames):
        off = np.abs(shown.astype(int) - seen).mean(axis=(1, 2, 3))
        assert off.argmin() == number
        assert off[number] < 25, "blocks of a few pixels lose some of their colours in a video"


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("", Fraction(30000, 1001)),
        ("--rate 10", 10),
        ("--rate 29.97", Fraction(2997, 100)),
        ("--rate 24000/1001", Fraction(24000, 1001)),
    ],
)
def test_the_rate_is_the_videos_own_or_asked_for(tmp_path, model, dataset, capsys, flag, expected):
    clip = film(tmp_path / "clip.mp4", 5)
    line = ["predict", model[0], str(clip), "-o", str(tmp_path / "out"), "--checkpoint", str(model[1])]
    line += ["--data", str(dataset.root), "--device", "cpu", "--kinds", "overlay", *flag.split()]
    assert main(line) == 0
    (file,) = (tmp_path / "out" / "overlay").iterdir()
    frames, rate = watch(file)
    assert len(frames) == 5
    assert rate == expected
    assert capsys.readouterr().out == f"wrote {file}\n"


@pytest.mark.parametrize("rate", ["0", "-5", "fast", "1/0", "5000"])
def test_what_is_no_rate(tmp_path, capsys, rate):
    assert main(["predict", "unet", "clip.mp4", "-o", "out", "--rate", rate]) == 2
    assert (
        capsys.readouterr().err == f"zoo: a rate is frames per second, such as 25, 29.97 or 30000/1001; got {rate!r}\n"
    )


def test_kinds_that_a_video_would_not_keep_are_written_for_each_frame(tmp_path, predictor):
    clip = film(tmp_path / "clip.mp4", 3)
    predict_images(predictor, clip, tmp_path / "out", kinds=["labelIds", "confidence", "color"])
    assert names(tmp_path / "out") == [
        "color/clip_color.mp4",
        *(f"{kind}/clip/clip_00000{number}_{kind}.png" for kind in ("confidence", "labelIds") for number in (1, 2, 3)),
    ]
    frames, _ = watch(clip)
    with Image.open(tmp_path / "out" / "labelIds" / "clip" / "clip_000002_labelIds.png") as written:
        np.testing.assert_array_equal(np.array(written), label_ids(predictor(frames[1]).train_ids, CITYSCAPES))


def test_a_frame_of_odd_size_is_made_even(tmp_path, predictor):
    clip = film(tmp_path / "clip.mkv", 2, size=(35, 49), codec="ffv1")
    predict_images(predictor, clip, tmp_path / "out", kinds=["color"])
    frames, _ = watch(tmp_path / "out" / "color" / "clip_color.mp4")
    assert frames.shape == (2, 36, 50, 3)


def test_a_phones_video_is_predicted_upright(tmp_path, predictor):
    plain = film(tmp_path / "plain.mp4", 2)
    turned = tmp_path / "turned.mp4"
    data = bytearray(plain.read_bytes())
    one, zero = (1 << 16).to_bytes(4, "big"), bytes(4)
    last = (1 << 30).to_bytes(4, "big")
    straight = one + zero * 3 + one + zero * 3 + last
    clockwise = zero + one + zero + (-(1 << 16)).to_bytes(4, "big", signed=True) + zero * 4 + last
    track = data.index(b"tkhd")
    at = data.index(straight, track)
    data[at : at + 36] = clockwise
    turned.write_bytes(data)
    with open_clip(plain) as one_clip, open_clip(turned) as other:
        expected, found = list(one_clip.frames()), list(other.frames())
    np.testing.assert_array_equal(found[0], np.rot90(expected[0], -1))


CUT = {
    "index first": (".mp4", {"movflags": "faststart"}, "libx264"),
    "no index": (".mkv", {}, "libx264"),
    "old": (".avi", {}, "mpeg4"),
}


@pytest.mark.parametrize("name", CUT)
def test_of_a_video_that_breaks_off_what_was_decoded_is_kept(tmp_path, model, dataset, capsys, name):
    suffix, options, codec = CUT[name]
    clip = cut(film(tmp_path / f"clip{suffix}", 100, options=options, codec=codec, rate=25))
    line = ["predict", model[0], str(clip), "-o", str(tmp_path / "out"), "--checkpoint", str(model[1])]
    code = main([*line, "--data", str(dataset.root), "--device", "cpu", "--kinds", "color"])
    captured = capsys.readouterr()
    frames, _ = watch(tmp_path / "out" / "color" / "clip_color.mp4")
    assert 20 < len(frames) < 90
    assert code == 1
    assert (
        f"clip{suffix} is damaged: {len(frames)} of about 100 frames could be decoded, and are written" in captured.err
    )
    assert captured.out == f"wrote {tmp_path / 'out' / 'color' / 'clip_color.mp4'}\n"


BROKEN = {
    "it is no video, or its index is missing: .*untrunc": lambda path: cut(film(path)),
    "Invalid data": lambda path: path.write_bytes(b"nonsense" * 1000),
}


def record_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


BROKEN["holds no pictures"] = record_sound


@pytest.mark.parametrize("why", BROKEN)
def test_a_video_that_cannot_be_opened_is_one_line(tmp_path, predictor, why):
    BROKEN[why](tmp_path / "clip.mp4")
    with pytest.raises(UserError, match=rf"video .*clip\.mp4 .*{why}") as caught:
        predict_images(predictor, tmp_path / "clip.mp4", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_without_pyav_it_is_one_line_and_photographs_go_on(tmp_path, predictor, monkeypatch):
    film(tmp_path / "seen" / "clip.mp4", 2)
    Image.fromarray(scene(0)).save(tmp_path / "seen" / "a.png")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        UserError, match=r"clip\.mp4 is a video, which takes PyAV to read: pip install 'zoo-seg\[video\]'"
    ):
        predict_images(predictor, tmp_path / "seen" / "clip.mp4", tmp_path / "out")
    faults = []
    files = predict_images(predictor, tmp_path / "seen", tmp_path / "out", kinds=["color"], on_fault=faults.append)
    assert [file.name for file in files] == ["a_color.png"]
    assert len(faults) == 1


def test_an_interrupted_video_leaves_nothing(tmp_path, predictor):
    clip = film(tmp_path / "clip.mp4", 10)

    def stop(done, _):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_images(predictor, clip, tmp_path / "out", on_image=stop)
    assert names(tmp_path) == ["clip.mp4"]
    assert not (tmp_path / "out").exists()


def test_a_disk_that_takes_nothing_is_one_line_and_no_crash(tmp_path, predictor):
    film(tmp_path / "clips" / "a.mp4", 60)
    film(tmp_path / "clips" / "b.mp4", 60)
    faults = []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # not even the head of a file can be written
    try:
        with pytest.raises(UserError, match=r"cannot write .* may not be so large there"):
            predict_images(predictor, tmp_path / "clips", tmp_path / "out", on_fault=faults.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not faults  # the second one would fare no better
    assert not (tmp_path / "out").exists()


def test_a_photograph_and_a_video_may_share_a_name(tmp_path, predictor):
    film(tmp_path / "phone" / "live.mov", 2)
    Image.fromarray(scene(0)).save(tmp_path / "phone" / "live.jpg")
    predict_images(predictor, tmp_path / "phone", tmp_path / "out", kinds=["color"])
    assert names(tmp_path / "out") == ["color/live_color.mp4", "color/live_color.png"]


def test_a_rate_without_a_video_is_refused(tmp_path, predictor):
    Image.fromarray(scene(0)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png holds no video"):
        predict_images(predictor, tmp_path / "a.png", tmp_path / "out", rate=Fraction(5))


PAGES = [scene(number) for number in range(3)]


@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp", ".gif"])
def test_pages_and_animations_are_predicted_one_by_one(tmp_path, predictor, suffix):
    first, *others = (Image.fromarray(page) for page in PAGES)
    options = {"lossless": True} if suffix == ".webp" else {}
    first.save(tmp_path / f"stack{suffix}", save_all=True, append_images=others, **options)
    told = []
    files = predict_images(
        predictor, tmp_path / f"stack{suffix}", tmp_path / "out", kinds=["color"],
        on_image=lambda *count: told.append(count),
    )  # fmt: skip
    assert names(tmp_path / "out") == [f"color/stack/stack_00000{number}_color.png" for number in (1, 2, 3)]
    assert told == [(1, 3), (2, 3), (3, 3)]
    if suffix != ".gif":  # which keeps no more than 256 colours
        for file, page in zip(files, PAGES, strict=True):
            with Image.open(file) as written:
                np.testing.assert_array_equal(np.array(written), color_map(predictor(page).train_ids, CITYSCAPES))


def test_what_is_transparent_in_an_animation_is_black(tmp_path, predictor):
    pages = [np.dstack([page, np.where(page[..., :1] > 120, 255, 0)]).astype(np.uint8) for page in PAGES]
    first, *others = map(Image.fromarray, pages)
    first.save(tmp_path / "stack.webp", save_all=True, append_images=others, lossless=True, exact=True)
    files = predict_images(predictor, tmp_path / "stack.webp", tmp_path / "out", kinds=["color"])
    for file, page in zip(files, pages, strict=True):
        seen = np.where(page[..., 3:] > 0, page[..., :3], 0).astype(np.uint8)
        with Image.open(file) as written:
            np.testing.assert_array_equal(np.array(written), color_map(predictor(seen).train_ids, CITYSCAPES))
