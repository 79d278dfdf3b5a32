"""Weights files as people have them: each kind loads bit for bit, or is refused in one line."""

import argparse
import collections
import datetime as dt
import errno
import pathlib
import pickle
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.checkpoints import facts
from zoo.catalog import MODELS
from zoo.checkpoint import read_facts
from zoo.config import TrainConfig
from zoo.errors import UserError
from zoo.models.build import build_empty, build_model, tensor_shapes
from zoo.state_dict import (
    StateDict,
    closest_models,
    load_into,
    read_state_dict,
    read_weights,
    save_weights,
    take_fitting,
    weights_sha256,
    write_atomic,
)
from zoo.unpickle import AVERAGED, WRAPPERS


def network(width=4, class_count=5):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Sequential(nn.Conv2d(width, class_count, 1)))


class Wrapped(nn.Module):
    """A network under a name of its maker's choice."""

    def __init__(self):
        super().__init__()
        self.model = network()


class Settings:
    """What no list of harmless types holds."""

    lr = 0.1


class Evil:
    def __reduce__(self):
        return print, ("unpickled",)


def one_state():
    """One state dict, of which all files here are made."""
    torch.manual_seed(0)
    module = network()
    for tensor in (*module.parameters(), module[1].running_mean):
        nn.init.normal_(tensor)
    return module.state_dict()


STATE = one_state()
ARRAYS = {name: tensor.numpy() for name, tensor in STATE.items()}
OLD = {"_use_new_zipfile_serialization": False}


def beside():
    """What training scripts leave beside the weights."""
    lists = collections.defaultdict(list)
    lists["loss"].append(0.5)
    return {
        "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs")),
        "miou": np.float64(0.5),
        "history": np.arange(6, dtype=np.float32).reshape(2, 3),
        "names": np.array(["road", "sky"]),
        "objects": np.array([None, 1], dtype=object),
        "size": torch.Size((512, 1024)),
        "lists": lists,
        "queue": collections.deque([1, 2], maxlen=3),
        "config": collections.OrderedDict(a=1),
        "when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "dtype": torch.float32,
        "device": torch.device("cuda:1"),
        "torch": torch.__version__,
        "seen": frozenset({1}),
        "loops": {"fit": {"epoch": 3}},
    }


def optimizer():
    module = network()
    made = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3, 5, 5)).sum().backward()
    made.step()
    return made.state_dict()


def under(prefix, tensors=STATE):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def renamed(*pairs):
    """The parts of the network under other names."""
    return {new + name.removeprefix(old): STATE[name] for old, new in pairs for name in STATE if name.startswith(old)}


def each(change, tensors=STATE):
    return {name: change(value) for name, value in tensors.items()}


def floats(change):
    return each(lambda value: change(value) if value.is_floating_point() else value)


def saved(content, **options):
    return lambda path: torch.save(content() if callable(content) else content, path, **options)


def pickled(content, protocol=4):
    return lambda path: path.write_bytes(pickle.dumps(content, protocol))


def tensors_of(content):
    return lambda path: save_file(content, path)


def zipped(**arrays):
    def write(path):
        with path.open("wb") as stream:
            np.savez(stream, **arrays)

    return write


def cut(write, count):
    def write_and_cut(path):
        write(path)
        path.write_bytes(path.read_bytes()[:-count])

    return write_and_cut


def raw(content):
    return lambda path: path.write_bytes(content)


# What writes a file, its name, and how the notes begin.
LOADS = {
    "bare": (saved(STATE), "w.pth"),
    "no suffix": (saved(STATE), "w"),
    "another suffix": (saved(STATE), "w.safetensors"),
    "the older format": (saved(STATE, **OLD), "w.pkl"),
    "parameters": (saved(each(lambda value: nn.Parameter(value, value.is_floating_point()))), "w.pt"),
    "with all that scripts leave": (
        saved(lambda: {"state_dict": STATE, "optimizer": optimizer(), **beside()}), "w.pth.tar",
        "taken from 'state_dict'", "left out beside the weights: optimizer, args, miou, history, names, objects, size",
    ),
    "the same in the older format": (
        saved(lambda: {"model": STATE, "optimizer": optimizer(), **beside()}, **OLD), "w.ckpt",
        "taken from 'model'", "left out beside the weights: optimizer, args",
    ),
    "mmengine's, whose state_dict is the average": (
        saved({"meta": {"epoch": 1}, "ema_state_dict": network().state_dict(), "state_dict": STATE}), "w.pth",
        "taken from 'state_dict' (there is also 'ema_state_dict')", "left out beside the weights: meta",
    ),
    "an average of parameters alone": (
        saved({"model": STATE, "ema": {"0.weight": torch.zeros(4, 3, 3, 3), "decay": 0.9}}), "w.pth",
        "taken from 'model' (there is also 'ema')",
    ),
    "several deep": (
        saved({"ema": {"module": under("module.model."), "updates": 3}, "model": None, "epoch": 1}), "w.pth",
        "taken from 'ema.module'", "left out beside the weights: model, epoch, updates",
        "prefix 'module.model.' stripped from 9 names",
    ),
    "a tuple": (saved((STATE, {"lr": 0.1})), "w.pth", "taken from '0'", "left out beside the weights: 1"),
    "a mapping for each part": (
        saved({part: {name[2:]: STATE[name] for name in STATE if name[0] == part} for part in "012"}), "w.pth",
    ),
    "compiled": (saved(under("_orig_mod.")), "w.pth", "'_orig_mod.' taken out of 9 names"),
    "compiled in part": (
        saved(renamed(("0.", "0."), ("1.", "1."), ("2.", "2._orig_mod."))), "w.pth",
        "'_orig_mod.' taken out of 2 names",
    ),
    "parallel in part": (
        saved(renamed(("0.", "0.module."), ("1.", "1."), ("2.", "2.module."))), "w.pth",
        "'module.' taken out of 4 names",
    ),
    "one part under a prefix": (
        saved(renamed(("0.", "encoder.0."), ("1.", "encoder.1."), ("2.", "2."))), "w.pth",
        "prefix 'encoder.' stripped from 7 names",
    ),
    "Lightning's": (
        saved({
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
            "state_dict": {**under("model.net."), "criterion.w": torch.ones(3), "model.aux.w": torch.ones(2)},
        }),
        "w.ckpt", "taken from 'state_dict'", "left out beside the weights: callbacks",
        "prefix 'model.net.' stripped from 9 names",
        "tensors left out beside 'model.net.': criterion (1), model.aux (1)",
    ),
    "torch's AveragedModel": (
        saved({"n_averaged": torch.tensor(3), **under("module.")}), "w.pth",
        "prefix 'module.' stripped from 9 names", "tensors left out beside 'module.': n_averaged (1)",
    ),
    "two networks": (
        saved({**under("student.", network().state_dict()), **under("ema_teacher.")}), "w.pth",
        "prefix 'ema_teacher.' stripped from 9 names", "there is also a whole network under 'student.'",
        "tensors left out beside 'ema_teacher.': student (9)",
    ),
    "counters in lists": (
        saved({name: value[None] if "num_batches" in name else value for name, value in STATE.items()}), "w.pth",
    ),
    "without counters": (saved({name: STATE[name] for name in STATE if "num_batches" not in name}), "w.pth"),
    "double": (saved(floats(torch.Tensor.double)), "w.pth", "float64 made float32 in 8 tensors"),
    "safetensors": (tensors_of(STATE), "w.safetensors"),
    "safetensors by another name": (
        tensors_of(under("module.")), "w.bin", "prefix 'module.' stripped from 9 names",
    ),
    "npz": (zipped(**ARRAYS), "w.npz"),
    "npz by another name": (zipped(**ARRAYS), "w.pth"),
    "arrays in torch's": (saved({"model": ARRAYS}), "w.pth", "taken from 'model'"),
    "arrays of the other byte order": (
        pickled(each(lambda array: array.astype(array.dtype.newbyteorder(">")), ARRAYS)), "w.pkl",
    ),
}  # fmt: skip
for wrapper in (*WRAPPERS, "student", "ema_state_dict"):
    said = (f"taken from {wrapper!r}", "left out beside the weights: epoch")
    LOADS[f"in {wrapper!r}"] = (saved({wrapper: STATE, "epoch": 3}), "w.pt", *said)
for average in AVERAGED:
    write = saved({"state_dict": network().state_dict(), average: STATE})
    LOADS[f"averaged in {average!r}"] = (write, "w.pt", f"taken from {average!r} (there is also 'state_dict')")
for prefix in ("module.", "model.", "net.", "backbone.", "module.model.net.", "segmentor.", "0."):
    LOADS[f"under {prefix!r}"] = (saved(under(prefix)), "w.pth", f"prefix {prefix!r} stripped from 9 names")
for protocol in (2, 3, 4, 5):
    LOADS[f"pickled tensors, protocol {protocol}"] = (pickled(STATE, protocol), "w.pkl")
    by_columns = each(lambda array: np.array(array, order="F"), ARRAYS)
    LOADS[f"pickled arrays by columns, protocol {protocol}"] = (pickled(by_columns, protocol), "w.pkl")
    said = ("taken from 'model'", "left out beside the weights: args")
    LOADS[f"pickled arrays, protocol {protocol}"] = (pickled({"model": ARRAYS, **beside()}, protocol), "w.pkl", *said)


def load(path, module=None):
    module = module or network()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return module, load_into(module, read_state_dict(path), path=path, model="net")


@pytest.mark.parametrize("case", LOADS)
def test_each_kind_of_file_loads_bit_for_bit_and_says_what_was_done(tmp_path, case):
    write, name, *said = LOADS[case]
    write(tmp_path / name)
    module, loaded = load(tmp_path / name)
    counted = {tensor: value for tensor, value in STATE.items() if tensor in loaded.tensors}
    assert len(counted) >= 8
    assert weights_sha256(loaded.tensors) == weights_sha256(counted)
    assert all(module.state_dict()[tensor].equal(value) for tensor, value in counted.items())
    assert len(loaded.notes) == len(said)
    assert all(note.startswith(words) for note, words in zip(loaded.notes, said, strict=True)), loaded.notes
    assert not any(tensor.requires_grad for tensor in loaded.tensors.values())


REFUSED = {
    "no file": (lambda path: None, "no checkpoint file .*; give a .safetensors file, or a state dict"),
    "a folder": (lambda path: path.mkdir(), "is a folder; name the file of weights in it"),
    "empty": (raw(b""), "an empty file; fetch it again"),
    "a web page": (raw(b"\n<!DOCTYPE html><html>404"), "a page of markup, .* download fails"),
    "a pointer of Git LFS": (raw(b"version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    "text": (raw("Quota exceeded\n\u00e9".encode() * 100), "text that begins 'Quota exceeded"),
    "a list of shards": (raw(b'{"metadata": {}, "weight_map": {}}'), "a list of the files"),
    "noise": (raw(bytes(range(1, 256)) * 9), "a file of an unknown kind"),
    "HDF5": (raw(b"\x89HDF\r\n\x1a\n" + bytes(99)), "HDF5"),
    "an archive": (raw(b"\x1f\x8b\x08" + bytes(99)), "gzip archive; unpack it"),
    "ONNX": (raw(b"\x08\x08\x12\x07pytorch" + bytes(99)), "an ONNX file, .*zoo bench --file"),
    "cut short": (cut(saved(STATE), 500), "zip archive that was cut short or is damaged"),
    "the older format cut short": (cut(saved(STATE, **OLD), 50), "not a readable checkpoint: .*; fetch it again"),
    "safetensors cut short": (cut(tensors_of(STATE), 50), "not a readable safetensors file: .*; fetch it again"),
    "a header cut short": (raw((999).to_bytes(8, "little") + b'{"a"'), "was cut short at 12 bytes"),
    "a pickle cut short": (cut(pickled(ARRAYS), 50), "not a readable checkpoint"),
    "no mapping": (saved([1, 2]), "holds no state dict"),
    "no tensors": (saved({"epoch": 3, "args": {"lr": 1}}), "holds no state dict"),
    "an optimizer alone": (saved(lambda: {"optimizer": optimizer(), "epoch": 3}), "holds no state dict"),
    "objects for arrays": (zipped(a=np.array([None])), "not a readable checkpoint"),
    "half of the tensors": (
        saved(dict(list(STATE.items())[:4])),
        r"4 of its 8 tensors are missing \(1.running_mean, 1.running_var, 2.0.weight and 1 more\)",
    ),
    "unknown ones": (
        saved({**STATE, "3.weight": torch.ones(2), "3.bias": torch.ones(2)}),
        r"fit net: 2 in the file are unknown to it \(3.weight, 3.bias\)",
    ),
    "unknown ones under the prefix": (
        saved(under("model.", {**STATE, "3.weight": torch.ones(2)})), r"1 in the file are unknown to it \(3.weight\)",
    ),
    "names of another network": (
        saved({"a.b": torch.ones(2)}), r"8 of its 8 tensors are missing \(0.weight.* and 1 in the file .* \(a.b\)",
    ),
    "other widths": (saved(network(8).state_dict()), r"0.weight is \(8, 3, 3, 3\) where net has \(4, 3, 3, 3\)"),
    "another number of classes": (
        saved(network(class_count=21).state_dict()),
        r"was trained for 21 classes, 5 are wanted \(2.0.weight, 2.0.bias\); .* with --init",
    ),
    "another number of classes of a deconvolution": (
        saved({**STATE, "3.weight": torch.ones(5, 21, 2, 2), "3.bias": torch.ones(21)}),
        r"was trained for 21 classes, 5 are wanted \(3.weight, 3.bias\); .* with --init",
        lambda: nn.Sequential(*network(), nn.ConvTranspose2d(5, 5, 2)),
    ),
    "sparse": (saved({**STATE, "0.bias": STATE["0.bias"].to_sparse()}), "holds sparse tensors, such as 0.bias"),
    "complex": (saved({**STATE, "0.bias": STATE["0.bias"] + 0j}), "0.bias is of complex64 where it has float32"),
    "integers": (saved({**STATE, "0.bias": STATE["0.bias"].long()}), "0.bias is of int64 where it has float32"),
    "without values": (saved({**STATE, "0.bias": STATE["0.bias"].to("meta")}), r"holds empty \(meta\) tensors"),
    "float8": (
        tensors_of({**STATE, "0.bias": STATE["0.bias"].to(torch.float8_e4m3fn)}), "holds float8_e4m3fn tensors",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_load_is_refused_in_one_line(tmp_path, monkeypatch, case):
    monkeypatch.setattr("zoo.state_dict.closest_models", lambda _: [])
    write, message, *build = REFUSED[case]
    write(tmp_path / "w.pth")
    module = (build or [network])[0]()
    before = weights_sha256(module.state_dict())
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path / "w.pth", module)
    assert "\n" not in str(caught.value)
    assert weights_sha256(module.state_dict()) == before


def test_quantised_tensors_are_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, which will drop them
        few = torch.quantize_per_tensor(STATE["0.bias"], 0.1, 0, torch.qint8)
    torch.save({**STATE, "0.bias": few}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"holds quantised tensors, such as 0\.bias"):
        load(tmp_path / "w.pth")


def test_a_program_is_no_state_dict(tmp_path):
    program = torch.jit.trace(network().eval(), torch.ones(1, 3, 8, 8))
    program.save(tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"is a TorchScript program, .*torch.save\(torch.jit.load\('.*'\).state_dict"):
        load(tmp_path / "w.pt")


CONVERTED = {
    "a whole module": (saved(network), r"\(torch.nn.modules.container.Sequential, ", "found.state_dict"),
    "one in the older format": (saved(lambda: {"model": network()}, **OLD), "Sequential", "found['model'].state_dict"),
    "its average": (saved(lambda: {"model": network(), "ema": network()}), "Sequential", "found['ema'].state_dict"),
    "settings": (saved({"state_dict": STATE, "cfg": Settings()}), "Settings", "found['state_dict']"),
    "settings beside a copy": (
        saved({"state_dict": collections.OrderedDict(**STATE), "cfg": Settings()}),
        "Settings",
        "found['state_dict']",
    ),
    "settings beside another name": (saved({"best": dict(STATE), "cfg": Settings()}), "Settings", "found['best']"),
    "settings among the tensors": (saved({**STATE, "cfg": Settings()}), "Settings", "for name, value in found.items()"),
    "pickled settings": (pickled({"model": ARRAYS, "cfg": Settings()}), "Settings", "found['model']"),
    "another protocol": (saved(STATE, pickle_protocol=4), "is pickled by a protocol", "in found.items()"),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_other_types_are_named_with_two_lines_that_convert(tmp_path, monkeypatch, case):
    write, named, expression = CONVERTED[case]
    write(tmp_path / "w.pth")
    with pytest.raises(UserError, match=named) as caught:
        load(tmp_path / "w.pth")
    first, *lines = str(caught.value).split("\n")
    assert first.endswith("if you trust it, make a file of its weights with these two lines of Python:")
    assert len(lines) == 2
    assert expression in lines[1]
    monkeypatch.setattr("__main__.Settings", Settings, raising=False)
    exec("\n".join(line.strip() for line in lines))
    assert load(tmp_path / "w-weights.pth")[1].tensors.keys() >= {"0.weight", "2.0.bias"}


@pytest.mark.parametrize("write", [saved(Evil()), saved({"a": Evil()}, **OLD), pickled({"a": Evil()}, 4)])
def test_nothing_inside_a_file_runs(tmp_path, capsys, write):
    write(tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"holds more than weights \(builtins.print\)"):
        load(tmp_path / "w.pth")
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(tmp_path, kind):
    half = {name: value.to(kind) if value.is_floating_point() else value for name, value in STATE.items()}
    torch.save(half, tmp_path / "w.pth")
    module, loaded = load(tmp_path / "w.pth")
    assert loaded.notes == (f"{str(kind).removeprefix('torch.')} made float32 in 8 tensors",)
    assert all(torch.equal(module.state_dict()[name], half[name].to(STATE[name].dtype)) for name in half)


@pytest.mark.parametrize(
    ("prefix", "note"),
    [
        ("", "prefix 'model.' added to 9 names"),
        ("module.", "prefix 'module.' replaced by 'model.' in 9 names"),
        ("net.module.", "prefix 'net.module.' replaced by 'model.' in 9 names"),
        ("model.", None),
        ("module.model.", "prefix 'module.' stripped from 9 names"),
    ],
)
def test_a_network_may_have_a_prefix_that_the_file_lacks(prefix, note):
    module = Wrapped()
    loaded = load_into(module, StateDict(under(prefix)), path=pathlib.Path("w"), model="net")
    assert loaded.notes == ((note,) if note else ())
    assert weights_sha256(module.model.state_dict()) == weights_sha256(STATE)


def test_a_backbone_may_lack_its_prefix_where_the_head_has_its_own():
    module = build_model(MODELS["fcn_resnet50"])[0]
    state = {name.removeprefix("backbone."): value for name, value in module.state_dict().items()}
    other = build_empty(MODELS["fcn_resnet50"])[0]
    loaded = load_into(other, StateDict(state), path=pathlib.Path("w"), model="fcn_resnet50")
    assert "prefix 'backbone.' added" in loaded.notes[0]
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in loaded.tensors.items())


def test_the_zoos_networks_load_from_wrapped_files(tmp_path):
    module = build_model(MODELS["unet_resnet18"])[0]
    torch.save({"state_dict": under("module.", module.state_dict()), "epoch": 3}, tmp_path / "w.pth.tar")
    other = build_empty(MODELS["unet_resnet18"])[0]
    loaded = load(tmp_path / "w.pth.tar", other)[1]
    assert weights_sha256(loaded.tensors) == weights_sha256(module.state_dict()) == weights_sha256(other.state_dict())


def test_the_closest_networks_of_the_zoo_are_named(tmp_path):
    shapes = tensor_shapes(MODELS["deeplabv3_resnet18"], 21)
    assert closest_models(under("module.", shapes))[0] == "deeplabv3_resnet18"
    assert closest_models({"a.b": (1,)}) == []
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "w.pth")
    unet = build_empty(MODELS["unet_resnet18"])[0]
    with pytest.raises(UserError, match=r"does not fit net: .* closest to deeplabv3_resnet18, ") as caught:
        load(tmp_path / "w.pth", unet)
    closest = str(caught.value).rpartition("closest to ")[2].split(", ")
    assert len(closest) == 3
    assert all(name.endswith("resnet18") for name in closest)


def test_the_same_names_of_other_widths_are_another_network():
    shapes = tensor_shapes(MODELS["segformer_b1"], 19)
    given = StateDict({name: torch.zeros(shape) for name, shape in shapes.items()})
    with pytest.raises(UserError, match=r"where segformer_b0 has .* closest to segformer_b1, "):
        load_into(build_empty(MODELS["segformer_b0"])[0], given, path=pathlib.Path("w"), model="segformer_b0")


def test_half_of_a_networks_own_tensors_names_no_other(tmp_path):
    module = build_model(MODELS["encoder_decoder"])[0]
    torch.save(dict(list(module.state_dict().items())[:4]), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"4 of its 8 tensors are missing .* give weights of this very network"):
        load_into(module, read_state_dict(tmp_path / "w.pth"), path=tmp_path / "w.pth", model="encoder_decoder")


def test_shapes_are_known_without_building_parameters():
    for name in ("encoder_decoder", "fcn8s_vgg16", "segformer_b0", "dpt_vit_b"):
        built = build_empty(MODELS[name])[0].state_dict()
        assert tensor_shapes(MODELS[name]) == {key: tuple(value.shape) for key, value in built.items()}


def test_taking_what_fits_names_the_rest():
    module = network(class_count=3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    given = StateDict(under("module.", {**STATE, "fc.weight": torch.ones(2), "1.weight": torch.ones(9)}))
    taken = take_fitting(module, given, path=pathlib.Path("w"), model="net")
    assert set(taken.names) == STATE.keys() - {"2.0.weight", "2.0.bias", "1.weight"}
    assert taken.left_out == {
        "fc.weight": "net has no such tensor", "1.weight": "of shape (9,), not (4,)",
        "2.0.weight": "of shape (5, 4, 1, 1), not (3, 4, 1, 1)", "2.0.bias": "of shape (5,), not (3,)",
    }  # fmt: skip
    for name, value in module.state_dict().items():
        assert torch.equal(value, STATE[name] if name in taken.names else before[name])
    assert taken.notes == ("prefix 'module.' stripped from 10 names",)


def test_an_encoder_alone_is_taken():
    encoder = {name.removeprefix("encoder."): value for name, value in tensors_of_encoder().items()}
    module = build_model(MODELS["unet_resnet18"])[0]
    taken = take_fitting(module, StateDict(encoder), path=pathlib.Path("w"), model="unet_resnet18")
    assert len(taken.names) == len(encoder) == 120
    assert set(taken.left_out.values()) == {"not in the file"}


def tensors_of_encoder():
    module = build_model(MODELS["fpn_resnet18"])[0]
    return {name: value for name, value in module.state_dict().items() if name.startswith("encoder.")}


def test_nothing_to_take_is_an_error():
    given = StateDict({"a.num_batches_tracked": torch.tensor(3), "1.num_batches_tracked": torch.tensor(3)})
    with pytest.raises(UserError, match=r"nothing in w fits net: it holds a\.num_batches_tracked"):
        take_fitting(network(), given, path=pathlib.Path("w"), model="net")


@pytest.fixture
def saved_run(tmp_path):
    module, config = network(), TrainConfig(name="tiny", steps=6)
    save_weights(tmp_path / "w.safetensors", module.state_dict(), facts(config))
    return tmp_path / "w.safetensors", module


def test_weights_come_back_with_their_facts(saved_run):
    path, module = saved_run
    loaded = load(path)[1]
    assert weights_sha256(loaded.tensors) == weights_sha256(module.state_dict()) == weights_sha256(read_weights(path))
    assert loaded.notes == ()
    assert read_facts(path).config.name == "tiny"
    assert list(path.parent.iterdir()) == [path]


def test_hash_ignores_memory_order_and_sees_names_shapes_and_values():
    same = {name: value.clone() for name, value in reversed(STATE.items())}
    same["0.weight"] = same["0.weight"].to(memory_format=torch.channels_last)
    assert weights_sha256(same) == weights_sha256(STATE)
    assert weights_sha256(same | {"0.bias": same["0.bias"] + 1e-6}) != weights_sha256(STATE)
    assert weights_sha256(same | {"0.bias": same["0.bias"][None]}) != weights_sha256(STATE)
    assert weights_sha256({}) != weights_sha256(STATE)


def test_tied_weights(tmp_path):
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    save_weights(tmp_path / "w.safetensors", module.state_dict(), facts(TrainConfig(name="tiny", steps=6)))
    assert load(tmp_path / "w.safetensors", module)[1].tensors.keys() == module.state_dict().keys()


def test_heads_that_only_training_runs_may_be_missing(tmp_path):
    module, about = network(), facts(TrainConfig(name="tiny", steps=6))
    module.training_only = ("aux",)
    path = tmp_path / "w.safetensors"
    save_weights(path, module.state_dict(), about)
    deployed = weights_sha256(module.state_dict())
    module.aux = nn.Conv2d(3, 3, 1)
    assert weights_sha256(load(path, module)[1].tensors) == deployed
    save_weights(path, module.state_dict(), about)
    module.aux = None
    assert weights_sha256(load(path, module)[1].tensors) == deployed
    torch.save(under("module.", read_weights(path)), tmp_path / "w.pth")
    assert weights_sha256(load(tmp_path / "w.pth", module)[1].tensors) == deployed


def test_a_failed_write_keeps_the_old_file(saved_run):
    path, _ = saved_run
    before = path.read_bytes()

    def full(draft):
        draft.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        write_atomic(path, full)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("")
    about = facts(TrainConfig(name="tiny", steps=6))
    with pytest.raises(UserError, match="cannot write"):
        save_weights(tmp_path / "runs" / "w.safetensors", network().state_dict(), about)
