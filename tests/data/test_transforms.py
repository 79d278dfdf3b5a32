import numpy as np
import pytest

from zoo.config import TrainConfig
from zoo.data.transforms import PAD_COLOR, augment, fit_scale


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
        seen, target = augment(image, label, options, dice(seed))
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
    seen, target = augment(image, label, config(), dice())
    assert np.array_equal(seen, image)
    assert np.array_equal(target, label)


def test_flip_mirrors_both():
    image = dice().integers(0, 256, (48, 64, 3), np.uint8)
    label = dice().integers(0, 19, (48, 64), np.uint8)
    kinds = set()
    for seed in range(12):
        seen, target = augment(image, label, config(flip=True), dice(seed))
        mirrored = not np.array_equal(target, label)
        kinds.add(mirrored)
        assert np.array_equal(seen, image[:, ::-1] if mirrored else image)
        assert np.array_equal(target, label[:, ::-1] if mirrored else label)
    assert kinds == {False, True}


def test_small_frames_are_padded_with_mean_and_ignore():
    image, label = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8)
    seen, target = augment(image, label, config(), dice())
    assert (target[:20, :30] == 0).all()
    assert (seen[:20, :30] == 0).all()
    assert (target == 255).sum() == 48 * 64 - 20 * 30
    assert (seen[target == 255] == PAD_COLOR).all()


def test_crop_equals_resizing_the_whole_frame():
    """Only the window is resampled; what it shows is what a crop of the whole resized frame shows."""
    image, label = striped(120, 160, 10)
    options = config(scale_range=(1.7, 1.7), crop_size=(40, 40))
    whole = config(scale_range=(1.7, 1.7), crop_size=(204, 272))
    all_image, all_label = augment(image, label, whole, dice())
    for seed in range(5):
        seen, target = augment(image, label, options, dice(seed))
        places = [
            (y, x)
            for y in range(204 - 39)
            for x in range(272 - 39)
            if np.array_equal(all_label[y : y + 40, x : x + 40], target)
        ]
        differences = [
            np.abs(all_image[y : y + 40, x : x + 40].astype(int) - seen.astype(int)).max() for y, x in places
        ]
        assert min(differences) <= 1


def test_color_jitter_changes_colours_only():
    image, label = striped(48, 64, 16)
    image = image // 2 + 40
    seen, target = augment(image, label, config(color_jitter=0.5), dice(3))
    assert np.array_equal(target, label)
    assert not np.array_equal(seen, image)
    order = np.argsort(image[..., 0].ravel(), kind="stable")
    assert (np.diff(seen[..., 0].ravel()[order].astype(int)) >= 0).all()  # brightness keeps its order


def test_equal_dice_give_equal_samples():
    image, label = striped(100, 150, 10)
    options = config(scale_range=(0.5, 2.0), flip=True, color_jitter=0.3)
    first, second, other = (augment(image, label, options, dice(seed)) for seed in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_fit_scale_keeps_both_sides_inside():
    assert fit_scale((360, 480), (180, 1000)) == 0.5
    assert fit_scale((360, 480), (1000, 240)) == 0.5
