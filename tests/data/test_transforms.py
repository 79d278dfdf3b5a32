import numpy as np
import pytest
from PIL import Image

from zoo.config import TrainConfig
from zoo.data.transforms import PAD_COLOR, augment, fit_scale, resize_image, resize_label


def config(**changes):
    return TrainConfig(
        **{"crop_size": (48, 64), "scale_range": (1.0, 1.0), "flip": False, "color_jitter": 0.0, **changes}
    )


def dice(seed=0):
    return np.random.default_rng(seed)


def striped(height, width, cell):
    """A label of large cells, and the image that encodes it."""
    y, x = np.mgrid[:height, :width] // cell
    label = ((y * 5 + x * 3) % 19).astype(np.uint8)
    return np.repeat(label[..., None] * 10, 3, axis=2), label


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("scale", "image_size"), [((0.4, 0.4), None), ((0.5, 2.0), None), ((0.8, 1.6), (128, 128)), ((3, 3), None)]
)
def test_image_and_label_stay_aligned(flip, scale, image_size):
    label = striped(200, 300, 25)[1] % 2
    image = np.repeat(label[..., None] * 255, 3, axis=2)
    options = config(scale_range=scale, image_size=image_size, flip=flip)
    agreement = {}
    for seed in range(8):
        seen, target, _ = augment(image, label, options, dice(seed))
        assert seen.shape == (48, 64, 3)
        assert target.shape == (48, 64)
        bright = (seen[..., 0] > 127).astype(int)  # of a blended border, the half nearer to the bright cell
        for axis, shift in ((0, 0), (0, 1), (0, -1), (1, 1), (1, -1)):
            agrees = (np.roll(bright, shift, axis) == target)[target != 255].mean()
            agreement[axis, shift] = agreement.get((axis, shift), 0) + agrees / 8
    exact = agreement.pop((0, 0))
    assert exact > 0.99
    assert exact > max(agreement.values())


def test_full_window_without_changes_is_the_frame_itself():
    image = dice().integers(0, 256, (48, 64, 3), np.uint8)
    label = dice().integers(0, 19, (48, 64), np.uint8)
    seen, target, _ = augment(image, label, config(), dice())
    assert np.array_equal(seen, image)
    assert np.array_equal(target, label)


def test_flip_mirrors_both():
    image = dice().integers(0, 256, (48, 64, 3), np.uint8)
    label = dice().integers(0, 19, (48, 64), np.uint8)
    kinds = set()
    for seed in range(12):
        seen, target, _ = augment(image, label, config(flip=True), dice(seed))
        mirrored = not np.array_equal(target, label)
        kinds.add(mirrored)
        assert np.array_equal(seen, image[:, ::-1] if mirrored else image)
        assert np.array_equal(target, label[:, ::-1] if mirrored else label)
    assert kinds == {False, True}


def test_small_frames_are_padded_with_mean_and_ignore():
    image, label = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8)
    seen, target, _ = augment(image, label, config(), dice())
    assert (target[:20, :30] == 0).all()
    assert (seen[:20, :30] == 0).all()
    assert (target == 255).sum() == 48 * 64 - 20 * 30
    assert (seen[target == 255] == PAD_COLOR).all()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 1.3, 2.0])
def test_crop_is_a_window_of_the_frame_at_the_scale_drawn(scale, flip):
    """Image and label hold their own column, then their own row: what a crop shows tells where it was cut."""
    grid = np.mgrid[:180, :240].astype(np.uint8)
    options = config(scale_range=(scale, scale), flip=flip)
    for places, axis in ((grid[1], 1), (grid[0], 0)):
        image = np.repeat(places[..., None], 3, axis=2)
        starts = set()
        for seed in range(8):
            seen, target, _ = augment(image, places, options, dice(seed))
            shown = target.take(0, 1 - axis).astype(int)
            starts.add(shown[0])
            assert abs(shown[-1] - shown[0]) == pytest.approx((len(shown) - 1) / scale, abs=1)
            assert (target == np.expand_dims(target.take(0, 1 - axis), 1 - axis)).all()
            off = np.abs(seen[..., 0].astype(int) - target)[2:-2, 2:-2]  # borders have neighbours on one side alone
            assert off.max() <= 1
        assert len(starts) > 4


@pytest.mark.parametrize("size", [(20, 37), (64, 96), (100, 130)])
def test_resized_image_is_pillows(size):
    image = dice().integers(0, 256, (64, 96, 3), np.uint8)
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    assert np.abs(resize_image(image, size).astype(int) - expected).max() <= 1
    assert np.array_equal(resize_image(image, size, mirrored=True), resize_image(image, size)[:, ::-1])


@pytest.mark.parametrize("size", [(20, 38), (62, 96), (100, 130)])
def test_resized_label_is_pillows(size):
    label = dice().integers(0, 20, (63, 95), np.uint8)  # odd to even: no centre falls between two pixels
    expected = np.asarray(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))
    assert np.array_equal(resize_label(label, size), expected)
    assert np.array_equal(resize_label(label, size, mirrored=True), expected[:, ::-1])


def test_read_only_maps_are_taken(tmp_path):
    image, label = striped(100, 150, 10)
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "label.npy", label)
    mapped = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("image", "label"))
    options = config(scale_range=(0.4, 2.0), flip=True)
    first, second = augment(*mapped, options, dice()), augment(image, label, options, dice())
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_colors_are_drawn_and_pixels_left_alone():
    image, label = striped(48, 64, 16)
    plain = augment(image, label, config(), dice(3))
    drawn = augment(image, label, config(color_jitter=0.5), dice(3))
    assert np.array_equal(drawn.image, plain.image)
    assert plain.color.tolist() == [1, 1, 1]
    assert ((drawn.color >= 0.5) & (drawn.color <= 1.5)).all()
    assert len(set(drawn.color.tolist())) == 3


def test_equal_dice_give_equal_samples():
    image, label = striped(100, 150, 10)
    options = config(scale_range=(0.5, 2.0), flip=True, color_jitter=0.3)
    first, second, other = (augment(image, label, options, dice(seed)) for seed in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_fit_scale_keeps_both_sides_inside():
    assert fit_scale((360, 480), (180, 1000)) == 0.5
    assert fit_scale((360, 480), (1000, 240)) == 0.5
