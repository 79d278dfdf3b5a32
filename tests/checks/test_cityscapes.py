"""Cityscapes' counts say something of Cityscapes alone."""

import shutil

import pytest
from PIL import Image

from zoo.baseline import mean_label_map, predict_constant
from zoo.counting import accuracy_record, evaluate
from zoo.data.layout import open_dataset
from zoo.doctor import examine
from zoo.report.accuracy import show_accuracy


def name_city(root, split, city):
    for top in ("leftImg8bit", "gtFine"):
        (folder,) = (root / top / split).iterdir()
        for path in folder.iterdir():
            path.rename(path.with_name(path.name.replace(folder.name, city)))
        folder.rename(folder.with_name(city))


@pytest.fixture
def part(streets):
    """Two cities of Cityscapes, some frames of each, at Cityscapes' size."""
    name_city(streets, "train", "aachen")
    name_city(streets, "val", "lindau")
    for path in streets.glob("*/*/*/*.png"):
        with Image.open(path) as image:
            image.resize((2048, 1024), Image.Resampling.NEAREST).save(path)
    return streets


def test_a_part_of_cityscapes_is_fit_to_train_on(part):
    report = examine(part)
    assert report.healthy
    about = [finding for finding in report.findings if "Cityscapes" in finding.what]
    assert {finding.severity for finding in about} == {"note"}
    assert any("val has 2 of Cityscapes' 500 images: lindau 2 of 59" in finding.what for finding in about)


def test_other_streets_in_a_city_of_cityscapes(streets):
    name_city(streets, "train", "hamburg")
    name_city(streets, "val", "munster")
    report = examine(streets)
    assert report.healthy
    for finding in report.findings:
        if "Cityscapes" in finding.what:
            assert finding.severity == "note"
            assert "fetch the originals" not in finding.advice


def test_classes_of_ones_own_are_not_counted_against_cityscapes(part):
    (part / "classes.toml").write_text(
        f'name = "x"\nignored = [255]\n[[classes]]\nname = "all"\ncolor = [1, 2, 3]\nvalues = {list(range(34))}\n'
    )
    assert not [finding for finding in examine(part).findings if "Cityscapes" in finding.what]


def test_eval_says_how_many_of_the_published_images_were_counted(streets):
    name_city(streets, "val", "lindau")
    dataset = open_dataset(streets)
    result = evaluate(predict_constant(mean_label_map(dataset, "val")), dataset, "val")
    accuracy = accuracy_record(result, dataset, "val")
    assert (accuracy.dataset.image_count, accuracy.dataset.split_count) == (2, 500)
    assert "2 of 500 images of streets val" in show_accuracy(accuracy)


def test_of_other_data_the_split_is_what_is_there(streets):
    dataset = open_dataset(streets)
    assert dataset.split_count("val") == 2
    predict = predict_constant(mean_label_map(dataset, "val"))
    some = accuracy_record(evaluate(predict, dataset, "val", image_limit=1), dataset, "val")
    assert "1 of 2 images of streets val" in show_accuracy(some)
    assert "\n2 images of streets val" in show_accuracy(
        accuracy_record(evaluate(predict, dataset, "val"), dataset, "val")
    )
    shutil.rmtree(streets / "leftImg8bit" / "train")
    name_city(streets, "val", "lindau")
    (streets / "classes.toml").write_text('name = "x"\nclasses = "cityscapes"\nignored = [77]')
    assert open_dataset(streets).split_count("val") == 2, "classes of its own"
