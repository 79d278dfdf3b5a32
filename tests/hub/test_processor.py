"""What image processors and albumentations say, in the zoo's words; free of transformers."""

import pytest

from zoo.hub.processor import Processor, of_albumentations, of_transformers

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def read(**values):
    return of_transformers({"image_mean": MEAN, "image_std": STD, **values})


def test_mean_and_std_are_of_pixels_from_0_to_1():
    plain = read(rescale_factor=1 / 255)
    assert (plain.mean, plain.std, plain.channel_order) == (tuple(MEAN), tuple(STD), "rgb")
    raw = read(do_rescale=False, image_mean=[127.5] * 3, image_std=[255.0] * 3)  # pixels of 0 to 255 go in
    assert raw.mean == pytest.approx((0.5,) * 3)
    assert raw.std == pytest.approx((1.0,) * 3)
    wide = read(rescale_factor=2 / 255, image_mean=1.0, image_std=1.0)  # 0 to 2, less 1
    assert wide.mean == pytest.approx((0.5,) * 3)
    assert wide.std == pytest.approx((0.5,) * 3)
    bare = read(do_normalize=False)
    assert (bare.mean, bare.std) == ((0, 0, 0), (1, 1, 1))


def test_mobilevit_is_fed_bgr_and_not_normalised():
    read_it = read(image_processor_type="MobileViTImageProcessor", do_flip_channel_order=True, resample=3)
    assert (read_it.channel_order, read_it.mean, read_it.std) == ("bgr", (0, 0, 0), (1, 1, 1))
    assert "its own: bicubic" in read_it.said(None)


@pytest.mark.parametrize(
    ("values", "size", "resize"),
    [
        ({"size": {"height": 512, "width": 1024}}, (512, 1024), "stretch"),
        ({"size": 512, "feature_extractor_type": "SegformerFeatureExtractor"}, (512, 512), "stretch"),
        ({"size": [384, 640]}, (384, 640), "stretch"),
        ({"size": {"height": 384, "width": 384}, "keep_aspect_ratio": True}, (384, 384), "fit"),
        ({"size": {"shortest_edge": 800, "longest_edge": 1333}}, (667, 1333), "stretch"),
        ({"size": {"shortest_edge": 800, "longest_edge": 1333}, "size_divisor": 32}, (672, 1344), "stretch"),
        ({"size": {"shortest_edge": 512}}, (512, 1024), "stretch"),
        ({"size": 512, "max_size": 2048, "image_processor_type": "MaskFormerImageProcessor"}, (512, 1024), "stretch"),
        ({"size": {"longest_edge": 640}}, (640, 640), "fit"),
        ({"size": {"height": 512, "width": 512}, "do_resize": False}, None, "fit"),
        ({}, None, "fit"),
    ],
)
def test_sizes(values, size, resize):
    found = read(**values)
    known = found.size_of((1024, 2048))
    assert known is None or size is not None
    assert known == pytest.approx(size, abs=1) if size else known is None
    assert found.resize == resize


def test_a_short_side_is_that_of_either_orientation():
    found = read(size={"shortest_edge": 512, "longest_edge": 2048})
    assert (found.size_of((100, 300)), found.size_of((300, 100))) == ((512, 1536), (1536, 512))
    assert found.size_of(None) is None
    assert "--input-size" in found.said(None)
    assert "512x1536" in found.said((100, 300))


def test_windows_of_eomt():
    found = read(size={"shortest_edge": 1024}, do_split_image=True, image_processor_type="EomtImageProcessor")
    assert (found.window, found.size_of((512, 1024))) == (1024, (1024, 2048))
    padded = read(
        size={"shortest_edge": 640, "longest_edge": 640}, do_pad=True, image_processor_type="EomtImageProcessor"
    )
    assert (padded.size_of((512, 1024)), padded.resize, padded.window) == ((640, 640), "fit", None)


def test_albumentations():
    steps = [
        {"__class_fullname__": "Resize", "height": 512, "width": 1024},
        {
            "__class_fullname__": "OneOf",
            "transforms": [
                {"__class_fullname__": "albumentations.Normalize", "mean": MEAN, "std": STD, "max_pixel_value": 255.0}
            ],
        },
    ]
    found = of_albumentations({"transform": {"__class_fullname__": "Compose", "transforms": steps}})
    assert (found.mean, found.std, found.input_size, found.resize) == (tuple(MEAN), tuple(STD), (512, 1024), "stretch")
    unscaled = {"__class_fullname__": "Normalize", "mean": [127.5] * 3, "std": [51.0] * 3, "max_pixel_value": 1.0}
    raw = of_albumentations({"transform": unscaled})
    assert raw.mean == pytest.approx((0.5,) * 3)
    assert raw.std == pytest.approx((0.2,) * 3)


def test_nothing_said_is_nothing_known():
    for found in (of_transformers(None), of_albumentations(None)):
        assert found == Processor(told=found.told)
        assert "mean and std are the" in found.said(None)
