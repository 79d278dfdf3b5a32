"""Classes of your own: what `classes.toml` may say, and one dataset of five classes through the whole house."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.artifact import Wanted, make_pipeline
from zoo.bench.request import Request
from zoo.bench.sweep import run_bench
from zoo.catalog import MODELS, find
from zoo.config import BenchConfig, TrainConfig
from zoo.data.classes import MAX_CLASSES, read_classes
from zoo.data.layout import open_dataset
from zoo.data.reading import read_image, read_label
from zoo.data.synthetic import write_dataset
from zoo.errors import UserError
from zoo.evaluate import evaluate_model
from zoo.labels import CITYSCAPES
from zoo.picker.pick import pick
from zoo.report.leaderboard import leaderboard, render
from zoo.spec import IGNORE_INDEX
from zoo.train.loop import train_model
from zoo.weights.asked import Asked
from zoo.weights.resolve import resolve

HARBOUR = """
name = "Harbour"
ignored = [0, 255]
mean = [0.1, 0.2, 0.3]
std = [0.5, 0.25, 0.125]

[[classes]]
name = "water"
color = [0, 90, 180]
values = [1, 7]

[[classes]]
name = "ship"
color = [200, 0, 0]
values = [2]
"""

FIVE = """
name = "five"
ignored = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30]

[[classes]]
name = "ground"
color = [128, 64, 128]
values = [7, 8, 22]

[[classes]]
name = "built"
color = [70, 70, 70]
values = [11, 12, 13, 17, 19, 20]

[[classes]]
name = "green"
color = [107, 142, 35]
values = [21]

[[classes]]
name = "sky"
color = [70, 130, 180]
values = [23]

[[classes]]
name = "moving"
color = [220, 20, 60]
values = [24, 25, 26, 27, 28, 31, 32, 33]
"""


def written(tmp_path, text):
    path = tmp_path / "classes.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_the_spec(tmp_path):
    file = read_classes(written(tmp_path, HARBOUR))
    spec = file.spec
    assert (file.name, file.naming) == ("Harbour", None)
    assert spec.name == "Harbour"
    assert spec.class_names == ("water", "ship")
    assert spec.class_colors == ((0, 90, 180), (200, 0, 0))
    assert spec.label_to_train_id == {0: IGNORE_INDEX, 255: IGNORE_INDEX, 1: 0, 7: 0, 2: 1}
    assert spec.class_categories == ()
    model = spec.adapt(MODELS["unet"])
    assert (model.mean, model.std) == ((0.1, 0.2, 0.3), (0.5, 0.25, 0.125))
    plain = HARBOUR.replace("mean", "# mean").replace("std", "# std").replace("values", 'category = "x"\nvalues')
    spec = read_classes(written(tmp_path, plain)).spec
    assert spec.adapt(MODELS["unet"]) == MODELS["unet"]
    assert spec.class_categories == ("x", "x")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("values = [2]", "values = [7, 2]", ["classes 2.values", "7 is one of class 'water' too"]),
        ("values = [2]", "values = [0]", ["classes 2.values", "0 is listed in ignored too"]),
        ("values = [2]", "values = []", ["classes 2.values", "at least 1 item"]),
        ("values = [2]", "values = [256]", ["classes 2.values 1", "less than or equal to 255", "got 256"]),
        ("values = [2]", "values = [2.0]", ["classes 2.values 1", "integer", "got 2.0"]),
        ("values = [2]", "", ["key 'classes 2.values' is missing"]),
        ("[200, 0, 0]", "[300, 0, 0]", ["classes 2.color 1", "less than or equal to 255", "got 300"]),
        ("[200, 0, 0]", "[0, 90, 180]", ["classes 2.color", "class 1 is [0, 90, 180] too"]),
        ("[200, 0, 0]", "[200, 0]", ["classes 2.color", "missing"]),
        ('"ship"', '"water"', ["classes 2.name", "class 1 is 'water' too"]),
        ('"ship"', "3", ["classes 2.name", "string", "got 3"]),
        ("values = [2]", 'values = [2]\ncategory = "y"', ["classes 2.category", "all have it, or none"]),
        ("color = [200", "colour = [200", ["unknown key 'classes 2.colour'", "Did you mean 'color'?", "values"]),
        ("ignored", "ignore", ["unknown key 'ignore'", "Did you mean 'ignored'?"]),
        ("std = [0.5, 0.25, 0.125]", "", ["mean and std belong together"]),
        ("0.5, 0.25", "0.0, 0.25", ["std 1", "greater than 0"]),
        ("0.1, 0.2", "104.0, 0.2", ["mean 1", "less than or equal to 1", "got 104.0"]),
        ('name = "Harbour"', "", ["key 'name' is missing"]),
        ('name = "Harbour"', "name = Harbour", ["cannot be read as TOML", "line 2"]),
        (HARBOUR, 'name = "x"', ["key 'classes' is missing, one table [[classes]] for each class"]),
        (HARBOUR, 'name = "x"\nclasses = []', ["classes", "at least 1 item"]),
        (
            HARBOUR,
            f'name = "x"\n[[classes]]\nname = "all"\ncolor = [0, 0, 0]\nvalues = {list(range(256))}',
            ["the classes take all 256 values", "list one in ignored"],
        ),
    ],
)
def test_every_mistake_is_one_line_that_names_file_and_key(tmp_path, old, new, words):
    assert old in HARBOUR
    path = written(tmp_path, HARBOUR.replace(old, new))
    with pytest.raises(UserError) as caught:
        read_classes(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message


def test_train_ids_leave_room_for_255(tmp_path):
    def classes(count):
        rows = (
            f'[[classes]]\nname = "{n}"\ncolor = [{n % 256}, 0, {n // 256}]\nvalues = [{n}]\n' for n in range(count)
        )
        return written(tmp_path, 'name = "many"\n' + "".join(rows))

    assert read_classes(classes(MAX_CLASSES)).spec.num_classes == 254
    with pytest.raises(UserError, match="at most 254 items"):
        read_classes(classes(MAX_CLASSES + 1))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "classes.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"classes.toml cannot be read as TOML"):
        read_classes(path)


def test_a_dataset_has_the_classes_of_its_file(folder):
    folder.add("train", value=7)
    _, (label,) = folder.add("val", value=2)
    cityscapes = open_dataset(folder.root)
    written(folder.root, HARBOUR)
    dataset = open_dataset(folder.root)
    assert dataset.name == "harbour"
    assert dataset.spec.class_names == ("water", "ship")
    assert np.unique(read_label(dataset.frames("val")[0], dataset.spec)).tolist() == [1]
    assert dataset.fingerprint("val") != cityscapes.fingerprint("val")
    written(folder.root, HARBOUR.replace("[200, 0, 0]", "[201, 0, 0]"))
    assert open_dataset(folder.root).fingerprint("val") != dataset.fingerprint("val")
    Image.fromarray(np.full((8, 12), 3, np.uint8)).save(label)
    with pytest.raises(UserError, match="holds 3: not among the Harbour label ids"):
        read_label(dataset.frames("val")[0], dataset.spec)


def test_a_classes_file_that_cannot_be_read_stops_the_opening(folder):
    folder.add()
    (folder.root / "classes.toml").symlink_to("nowhere.toml")
    with pytest.raises(UserError, match=r"classes.toml cannot be read"):
        open_dataset(folder.root)


@pytest.mark.slow
def test_five_classes_are_trained_scored_timed_and_ranked(tmp_path):
    """What is true of Cityscapes' 19 is true of any number: no room may know another."""
    root = write_dataset(tmp_path / "streets", image_size=(64, 128), train_count=6, val_count=2)
    written(root, FIVE)
    dataset = open_dataset(root)
    assert (dataset.name, dataset.spec.num_classes, dataset.synthetic) == ("five", 5, True)
    recipe = TrainConfig(name="tiny", steps=3, batch_size=2, crop_size=(64, 128))
    config = BenchConfig(
        models=("encoder_decoder",),
        runtimes=("eager", "onnxruntime"),
        quick=True,
        train_missing=True,
        train=recipe,
        timeout_s=120,
        device="cpu",
    )
    where = {"results": tmp_path / "results", "runs": tmp_path / "runs", "cache": tmp_path / "cache"}
    sweep = run_bench(Request(config, data=root, **where))
    assert sweep.exit_code == 0
    baseline, *measured = sweep.records
    assert baseline.is_baseline
    assert {record.artifact.runtime for record in measured} == {"eager", "onnxruntime"}
    for record in sweep.records:
        assert record.accuracy.class_names == dataset.spec.class_names
        assert np.shape(record.accuracy.confusion) == (5, 6)
        assert record.dataset.name == "five"
    rows = json.loads(render(leaderboard(where["results"]), "json"))
    assert {(row["model"], row["dataset"]) for row in rows} >= {("encoder_decoder", "five")}
    assert pick(where["results"], dataset="five").winner.model == "encoder_decoder"


WATCHED = """
import torch
from pathlib import Path

class Net(torch.nn.Conv2d):
    def forward(self, image):
        if image.shape[2:] == (32, 64) and float(image.std((2, 3)).max()) < 1e-4:  # no trial's noise
            with Path(__file__).with_name("seen.txt").open("a") as file:
                file.write(f"{float(image.abs().max()):.4f}\\n")
        return super().forward(image)

def build(num_classes):
    return Net(3, num_classes, 1)
"""


def test_mean_and_std_of_the_dataset_are_what_a_network_is_fed(tmp_path):
    root = tmp_path / "grey"
    for split in ("train", "val"):
        for kind, pixels in (
            ("leftImg8bit/{}/a/a_000000_000000_leftImg8bit.png", np.full((32, 64, 3), (102, 51, 153), np.uint8)),
            ("gtFine/{}/a/a_000000_000000_gtFine_labelIds.png", np.repeat(np.uint8([[1], [2]]), 16, 0).repeat(64, 1)),
        ):
            path = root / kind.format(split)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    written(root, HARBOUR.replace("0.1, 0.2, 0.3", "0.4, 0.2, 0.4"))  # 0.6 in blue is 1.6 deviations off the mean
    (tmp_path / "net.py").write_text(WATCHED)
    model, seen = f"{tmp_path / 'net.py'}:build", tmp_path / "seen.txt"
    recipe = TrainConfig(
        name="one", steps=1, batch_size=1, crop_size=(32, 64), scale_range=(1.0, 1.0), color_jitter=0, flip=False
    )
    where = {"runs": tmp_path / "runs", "device": "cpu"}
    trained = train_model(model, recipe, data=root, cache=tmp_path / "cache", **where)
    assert set(seen.read_text().split()) == {"1.6000"}, "trained and validated"
    seen.unlink()
    evaluate_model(model, open_dataset(root), weights=trained.best, **where)
    assert set(seen.read_text().split()) == {"1.6000"}, "evaluated"
    dataset = open_dataset(root)
    pipeline, _ = make_pipeline(
        Wanted(
            spec=find(model),
            classes=dataset.spec,
            source=resolve(Asked("file", file=trained.best), find(model), dataset, runs=tmp_path),
            dataset=dataset,
            runtime="eager",
            precision="fp32",
            device=torch.device("cpu"),
            image_size=(32, 64),
            input_size=(32, 64),
            resize="fit",
            batch_size=1,
            memory_format="channels_last",
            compile_mode="default",
            cache=None,
        )
    )
    image = torch.from_numpy(read_image(dataset.frames("val")[0].image))[None]
    assert pipeline.preprocess(image).amax().item() == pytest.approx(1.6), "benchmarked and exported"


def test_a_pair_names_files_of_cityscapes_classes(tmp_path):
    file = read_classes(written(tmp_path, 'image = "*_rgb_anon.png"\nlabel = "*_gt_labelTrainIds.png"'))
    assert (file.name, file.spec) == ("", CITYSCAPES)
    assert file.naming.frame("a_b_rgb_anon.png") == "a_b"
    assert file.naming.frame("a_b_rgb_anon.PNG") == "a_b"
    assert file.naming.frame("_rgb_anon.png") == file.naming.frame("a_b_rgb_ref_anon.png") == ""
    assert file.naming.annotated("a_b_gt_labelTrainIds.png") == ("labelTrainIds", "a_b")
    assert file.naming.annotated("a_b_gt_labelIds.png") == ("", "")
    assert file.naming.annotated("a_b_gt_instanceIds.png") == ("instanceIds", "a_b")


def test_a_pair_and_classes_of_ones_own(tmp_path):
    file = read_classes(written(tmp_path, 'image = "img_*.jpg"\nlabel = "mask_*_v2.png"\n' + HARBOUR))
    assert (file.name, file.spec.class_names) == ("Harbour", ("water", "ship"))
    assert file.naming.frame("img_7.jpg") == "7"
    assert file.naming.annotated("mask_7_v2.png") == ("labelIds", "7")
    assert read_classes(written(tmp_path, 'classes = "cityscapes"')).spec == CITYSCAPES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('image = "_rgb.png"', ["image: a name has one *", "'_rgb.png'"]),
        ('image = "*_*.png"', ["image: a name has one *"]),
        ('image = "train/*.png"', ["image: a file's name without its folder, which is image_folder"]),
        ('image = "*.bmp"', ["image: a name ends in .png or .jpg", "got '*.bmp'"]),
        ('label = "*.jpg"', ["label: a name ends in .png", "got '*.jpg'"]),
        ('label = ""', ["label", "at least 1 character"]),
        ('image = "*.png"\nlabel = "*.png"', ["both '*.png'", "image_folder and label_folder"]),
        ('image = "*.png"\nimage_folder = "a/b"', ["image_folder: the name of one folder"]),
        ('name = "x"\nclasses = "cityscapes"\nimage_folder = "a"', ["image_folder belongs to a file name with a *"]),
        ('image = "*.png"\nencoding = "trainIds"', ["encoding says what the values of the label files are"]),
        ('label = "*.png"\nencoding = "ids"', ["encoding", "'labelIds' or 'trainIds'", "got 'ids'"]),
        ('classes = "voc"', ["classes is 'voc'", "'cityscapes', or one table [[classes]]"]),
        ('classes = "cityscapes"\nignored = [7]', ["ignored: 7 is one of Cityscapes' class 'road'"]),
        ('image = "*.png"\nmean = [0.5, 0.5, 0.5]', ["mean and std belong together"]),
        ('imge = "*.png"', ["unknown key 'imge'", "Did you mean 'image'"]),
    ],
)
def test_every_mistake_in_naming_files_is_one_line(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_classes(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message


def test_cityscapes_classes_with_a_void_value_of_ones_own(tmp_path):
    spec = read_classes(written(tmp_path, 'classes = "cityscapes"\nignored = [255, 40]')).spec
    assert spec.class_names == CITYSCAPES.class_names
    assert spec.label_to_train_id == CITYSCAPES.label_to_train_id | {255: IGNORE_INDEX, 40: IGNORE_INDEX}
