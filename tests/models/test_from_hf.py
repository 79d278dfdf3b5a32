"""Networks of transformers answer as transformers does, from their folder to labels at the frame's size."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.hubs import MADE, edit, save
from zoo.artifact import Wanted, deploy, find_source, make_network
from zoo.artifact import load as load_artifact
from zoo.catalog import find
from zoo.errors import UserError
from zoo.labels import CITYSCAPES
from zoo.models.build import build_model
from zoo.models.contract import training_logits
from zoo.state_dict import weights_sha256
from zoo.weights import hub

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers", reason="pip install 'zoo-seg[hf]'")
    from zoo.models import from_hf

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PLAIN = {"do_resize": False, "image_mean": MEAN, "image_std": STD, "rescale_factor": 1 / 255}
MASKED = ("mask2former", "maskformer", "oneformer", "eomt")
SQUARE = ("eomt", "dpt")
"""Networks that transformers itself runs on square images alone."""


@pytest.fixture(autouse=True)
def _quiet():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`folder(kind)`: a network of that kind as it was saved, and the network itself."""
    made = {}

    def get(kind):
        if kind not in made:
            path = tmp_path_factory.mktemp(kind) / "net"
            made[kind] = path, save(transformers, kind, path, processor=PLAIN)
        return made[kind]

    return get


def load(path, size=None, prefix="hf"):
    spec = find(f"{prefix}:{path}")
    source = find_source("auto", spec, None, None, None)
    module, fed, weights = make_network(spec, CITYSCAPES, source, None if size is None else (size,))
    return module.eval(), fed, weights


def answered(model, kind, image):
    """Logits or scores as transformers has them, at the network's own stride or the image's size."""
    if kind not in MASKED:
        return model(image).logits
    task = [49406, 518, 10549, 533, 29119, 1550, 49407] + 70 * [0]  # CLIP's tokens of "the task is semantic"
    given = {"task_inputs": torch.tensor([task] * len(image))} if kind == "oneformer" else {}
    answer = model(pixel_values=image, **given)
    classes = answer.class_queries_logits.softmax(-1)[..., :-1]
    return torch.einsum("nqk,nqhw->nkhw", classes, answer.masks_queries_logits.sigmoid())


@pytest.mark.parametrize("kind", MADE)
def test_the_same_function(kind, folder):
    path, model = folder(kind)
    size = (64, 64) if kind in SQUARE else (64, 96)
    module, fed, weights = load(path, size)
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = module(image), answered(model, kind, image)
    assert ours.shape[:2] == (2, 19)
    assert fed.align_corners is False
    assert (weights.label, weights.url, weights.feeding.mean) == ("published hf", "", tuple(MEAN))
    if kind == "upernet":
        ours = F.interpolate(ours, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("processor", ["MaskFormerImageProcessor", "Mask2FormerImageProcessor"])
def test_scores_of_masks_are_those_of_the_librarys_post_processing(processor):
    """It upsamples masks before their sigmoid, and we the scores behind it."""
    drawn = torch.Generator().manual_seed(0)
    masks = F.interpolate(torch.randn(1, 30, 6, 9, generator=drawn) * 4, (32, 48), mode="bicubic")
    answer = SimpleNamespace(
        class_queries_logits=torch.randn(1, 30, 20, generator=drawn) * 4, masks_queries_logits=masks, logits=None
    )

    class Answering(torch.nn.Module):
        config = SimpleNamespace()

        def forward(self, pixel_values):
            return answer

    made = getattr(transformers, processor)()
    (theirs,) = made.post_process_semantic_segmentation(answer, target_sizes=[(128, 192)])
    ours = F.interpolate(from_hf.MaskClassifier(Answering())(torch.zeros(1, 3, 128, 192)), (128, 192), mode="bilinear")
    assert len(theirs.unique()) > 5, "labels that are all one say nothing"
    assert (ours[0].argmax(0) == theirs).float().mean() > 0.97


def test_auxiliary_heads_are_no_part_of_it(folder):
    path, model = folder("upernet")
    module, _, _ = load(path, (64, 64))
    aux = sum(value.numel() for name, value in model.named_parameters() if name.startswith("auxiliary_head"))
    assert aux > 0
    counted = sum(value.numel() for value in module.parameters())
    assert counted == sum(value.numel() for value in model.parameters()) - aux
    with torch.no_grad():
        assert module(torch.zeros(1, 3, 64, 96)).shape[2:] == (16, 24), "at its own stride"


def draw():
    """A frame `(96, 128, 3)` of `uint8`."""
    frame = torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(0))
    return (F.interpolate(frame, (96, 128), mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)[0].permute(1, 2, 0)


def deployed_at(path, frame, monkeypatch):
    """The pipeline and what runs it, for frames like this one."""
    spec = find(f"hf:{path}")
    dataset = SimpleNamespace(name="streets", spec=CITYSCAPES, splits=lambda: ("val",), fingerprint=lambda: "f" * 16)
    monkeypatch.setattr(hub, "frame_size", lambda *_: tuple(frame.shape[:2]))
    source = find_source("auto", spec, dataset, path / "runs", None)
    return deploy(spec, CITYSCAPES, source, device=torch.device("cpu"))(tuple(frame.shape[:2]))


@pytest.mark.parametrize(
    ("kind", "processor", "options"),
    [
        ("segformer", "SegformerImageProcessor", {"size": {"height": 64, "width": 96}}),
        ("mobilevit", "MobileViTImageProcessor", {"size": {"height": 64, "width": 64}, "do_center_crop": False}),
        ("mask2former", "Mask2FormerImageProcessor", {"size": {"shortest_edge": 60, "longest_edge": 128}}),
    ],
)
def test_a_frame_is_fed_as_its_image_processor_does(kind, processor, options, tmp_path, monkeypatch):
    save(transformers, kind, tmp_path / "net")
    made = getattr(transformers, processor)(resample=2, **options)
    made.save_pretrained(tmp_path / "net")
    frame = draw()
    theirs = made(frame.numpy(), return_tensors="pt")["pixel_values"]
    ours = deployed_at(tmp_path / "net", frame, monkeypatch)[0].preprocess(frame[None])
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 0.02, "it rounds to whole values of a pixel behind the resize"


def test_labels_at_the_frames_size_are_those_of_its_own_processing(tmp_path, monkeypatch):
    """Resized by its image processor, labelled, and brought back to the frame."""
    model = save(transformers, "segformer", tmp_path / "net")
    made = transformers.SegformerImageProcessor(size={"height": 64, "width": 96})
    made.save_pretrained(tmp_path / "net")
    frame = draw()
    given = made(frame.numpy(), return_tensors="pt")
    with torch.no_grad():  # so that no class wins everywhere
        model.decode_head.classifier.bias.sub_(model(**given).logits.mean((0, 2, 3)))
        answer = model(**given)
    model.save_pretrained(tmp_path / "net")
    (theirs,) = made.post_process_semantic_segmentation(answer, target_sizes=[(96, 128)])
    assert len(theirs.unique()) > 3, "labels that are all one say nothing"
    ours = deployed_at(tmp_path / "net", frame, monkeypatch)[1].predict(frame[None])[0]
    assert np.mean(ours.numpy() == theirs.numpy()) > 0.97


def test_position_embeddings_of_beit_are_interpolated(folder):
    module, _, _ = load(folder("beit")[0], (64, 64))
    with torch.no_grad():
        assert module(torch.zeros(1, 3, 96, 128)).isfinite().all()


def test_it_trains_for_other_classes_and_begins_from_its_weights(folder):
    path, _ = folder("segformer")
    spec = find(f"hf:{path}")
    module, _ = build_model(spec, 5, sizes=((64, 64),))
    (logits,) = training_logits(module.train(), torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 5, 16, 16)
    logits.square().mean().backward()
    assert all(value.grad is not None for value in module.parameters())


def test_mask_classifiers_do_not_train(folder):
    module, _, _ = load(folder("mask2former")[0], (64, 64))
    with pytest.raises(UserError, match="matching masks"):
        training_logits(module, torch.zeros(1, 3, 64, 64))


def test_weights_are_the_same_tensors_however_they_lie(folder, tmp_path):
    path, model = folder("segformer")
    whole = load(path)[2].sha256
    model.save_pretrained(tmp_path / "parts", max_shard_size="50KB")
    assert (tmp_path / "parts" / "model.safetensors.index.json").is_file()
    assert load(tmp_path / "parts")[2].sha256 == whole
    assert weights_sha256({f"model.{name}": tensor for name, tensor in model.state_dict().items()}) == whole
    model.to(torch.float16).save_pretrained(tmp_path / "half")
    model.to(torch.float32)
    module, _, _ = load(tmp_path / "half")
    assert {tensor.dtype for tensor in module.parameters()} == {torch.float32}


def test_weights_of_another_network(folder, tmp_path):
    save(transformers, "segformer", tmp_path / "net")
    edit(tmp_path / "net", decoder_hidden_size=16)
    with pytest.raises(UserError, match=r"hf:net: its weights in .* cannot be read") as caught:
        load(tmp_path / "net")
    assert "\n" not in str(caught.value)
    (tmp_path / "net" / "model.safetensors").write_bytes((folder("upernet")[0] / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="tensors of the network are not among the weights"):
        load(tmp_path / "net")


def test_a_class_that_this_version_does_not_know(folder, tmp_path):
    save(transformers, "segformer", tmp_path / "net")
    edit(tmp_path / "net", architectures=["NextYearForSemanticSegmentation"])
    with pytest.raises(UserError, match="has no NextYearForSemanticSegmentation"):
        load(tmp_path / "net")


def test_oneformer_is_told_its_task_by_no_tensor_of_its_weights(folder):
    module, _, _ = load(folder("oneformer")[0], (64, 64))
    assert module.task[0, :7].tolist() == [49406, 518, 10549, 533, 29119, 1550, 49407]
    assert "task" not in module.state_dict()


def test_a_file_of_it_says_the_same(folder, tmp_path):
    pytest.importorskip("onnxruntime")
    path, _ = folder("segformer")
    spec = find(f"hf:{path}")
    source = find_source("own", spec, None, None, None)
    wanted = Wanted(
        spec=spec, classes=CITYSCAPES, source=source, dataset=None, runtime="eager", precision="fp32",
        device=torch.device("cpu"), image_size=(96, 128), input_size=(64, 96), resize="stretch", batch_size=1,
        memory_format="channels_last", compile_mode="default", cache=tmp_path,
    )  # fmt: skip
    frame = draw()[None]
    eager, file = (load_artifact(replace(wanted, runtime=runtime)) for runtime in ("eager", "onnxruntime"))
    assert file[1].label == "published hf"
    assert (eager[0].predict(frame) == file[0].predict(frame)).float().mean() > 0.99
