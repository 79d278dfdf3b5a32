import importlib
import importlib.metadata
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import zoo
from zoo import identity
from zoo.catalog import MODELS, find
from zoo.errors import ModelError, UserError
from zoo.identity import makers, makers_modules, network_sha256, own_modules
from zoo.spec import ModelSpec

HERE = Path(zoo.__file__).parent
DESCRIBING = {"name", "hub", "family", "encoder", "recipe", "tags", "paper", "url", "licence", "pretrained"}


@pytest.fixture
def write(tmp_path):
    """Write files of a folder, `{name: text}`."""

    def write(files, folder="one"):
        for name, text in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / folder

    return write


def sha(folder, builder="net.py:build"):
    return network_sha256(find(f"{folder}/{builder}"))


def test_rows_are_told_apart_by_what_builds_them():
    assert len({network_sha256(spec) for spec in MODELS.values()}) == len(MODELS)
    unet = MODELS["unet_resnet18"]
    assert network_sha256(unet) == network_sha256(unet.model_copy())
    assert network_sha256(find("unet:timm/resnet18")) != network_sha256(find("fpn:timm/resnet18"))


def test_a_description_is_no_part_of_a_network():
    class Described(ModelSpec):
        published: str = ""

    spec = MODELS["segformer_b0"]
    texts = {name: ("other",) if name == "tags" else "adamw_poly" for name in DESCRIBING}
    for name, text in texts.items():
        assert network_sha256(spec.model_copy(update={name: text})) == network_sha256(spec), name
    more = Described(**spec.model_dump(), published="2021")
    assert network_sha256(more) == network_sha256(spec)


def test_how_a_network_is_built_fed_and_read_is_part_of_it():
    spec = MODELS["segformer_b0"]
    changes = {
        "builder": "zoo.models.from_smp:timm_model",
        "args": {**spec.args, "decoder_segmentation_channels": 1},
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "channel_order": "bgr",
        "divisor": 64,
        "min_side": 64,
        "align_corners": not spec.align_corners,
        "train_ids": (0, 1),
    }
    hashes = {network_sha256(spec.model_copy(update={name: value})) for name, value in changes.items()}
    assert len(hashes - {network_sha256(spec)}) == len(changes)
    decided = {*changes, *DESCRIBING, "own"}
    assert decided == set(ModelSpec.model_fields), "a new field either decides a network or describes it: say which"


def test_every_module_of_the_zoo_that_a_row_is_made_of_is_hashed():
    """By what is found in the imported modules, where `identity` reads their source."""
    for module in {spec.builder.partition(":")[0] for spec in MODELS.values()}:
        reached = modules_in(importlib.import_module(module))
        hashed = set(identity._row(module)[0])
        assert {name for name in reached if name.startswith("zoo.models.")} == hashed
        assert {name for name in reached - hashed if computes(name)} == set()
    assert "zoo.models.from_torchvision" in identity._row("zoo.models.fcn8s")[0]


def test_libraries_count_by_version_with_those_they_are_built_on(monkeypatch):
    unet, own = MODELS["unet_resnet18"], MODELS["unet"]
    before, plain = network_sha256(unet), network_sha256(own)
    built_on = {"segmentation-models-pytorch", "timm", "torchvision"}
    assert set(identity._versions("segmentation_models_pytorch")) == built_on
    assert identity._versions("torch") == {}, "it stands in a cell's key"
    assert identity._versions("PIL") == {"pillow": importlib.metadata.version("pillow")}
    assert identity._versions("no_such_library") == {"no_such_library": "none"}
    known = identity.package_version
    for library in ("timm", "torchvision"):
        newer = {library: "999"}
        monkeypatch.setattr(identity, "package_version", lambda name, newer=newer: newer.get(name) or known(name))
        identity._versions.cache_clear()
        assert network_sha256(unet) != before
        assert network_sha256(own) == plain
    monkeypatch.undo()
    identity._versions.cache_clear()


NET = "import torch\nfrom helper import width\n\ndef build(k):\n    return torch.nn.Conv2d(3, k, width)\n"


def test_a_helper_and_its_helper_are_part_of_a_network_and_data_is_not(write):
    here = write({"net.py": NET, "helper.py": "from deeper import width", "deeper.py": "width = 1", "w.txt": "1"})
    first = sha(here)
    write({"deeper.py": "width = 3"})
    second = sha(here)
    write({"helper.py": "width = 3"})
    third = sha(here)
    assert len({first, second, third}) == 3
    write({"w.txt": "2", "other.py": "width = 5", "deeper.py": "nothing imports it"})
    assert sha(here) == third


def test_the_same_content_elsewhere_is_the_same_network(write, monkeypatch):
    files = {"net.py": NET, "helper.py": "width = 1"}
    here, there = write(files), write(files, "two")
    assert sha(here) == sha(there)
    write({"other.py": NET})
    assert sha(here, "other.py:build") == sha(here)
    assert sha(here, "net.py:other") != sha(here)
    monkeypatch.chdir(there)
    assert network_sha256(find("net:build")) == sha(here)


def test_what_two_helpers_hold_is_not_exchanged_unseen(write):
    net = "from a import x\nfrom b import y"
    here = write({"net.py": net, "a.py": "x = y = 1", "b.py": "x = y = 2"})
    there = write({"net.py": net, "a.py": "x = y = 2", "b.py": "x = y = 1"}, "two")
    assert sha(here) != sha(there)


@pytest.mark.parametrize(
    ("statement", "files"),
    [
        ("from . import helper", {"helper.py"}),
        ("from .helper import width", {"helper.py"}),
        ("from helper import *", {"helper.py"}),
        ("import a.b", {"a/__init__.py", "a/b.py"}),
        ("import a.b as c", {"a/__init__.py", "a/b.py"}),
        ("from a import b", {"a/__init__.py", "a/b.py"}),
        ("from a import inner", {"a/__init__.py"}),
        ("from a.b import width", {"a/__init__.py", "a/b.py"}),
        ("import above.c", {"above/__init__.py", "above/c.py", "a/__init__.py", "a/b.py"}),
        ("from starred import *", {"starred/__init__.py", "starred/named.py"}),
        ("import bare.d", {"bare/d.py"}),
        ("def f():\n    import helper", {"helper.py"}),
        ("try:\n    import helper\nexcept ImportError:\n    pass", {"helper.py"}),
        ("class C:\n    def f(self):\n        from circle import x", {"circle.py", "round.py"}),
        ("import json, random, torch, numpy", set()),
        ("import random", set()),
    ],
)
def test_imports_of_every_form_are_found(write, statement, files):
    here = write({
        "net.py": statement, "helper.py": "width = 1", "a/__init__.py": "inner = 1", "a/b.py": "width = 1",
        "a/aside.py": "", "above/__init__.py": "", "above/c.py": "from ..a import b", "bare/d.py": "",
        "starred/__init__.py": "__all__ = ['named']", "starred/named.py": "", "starred/aside.py": "",
        "circle.py": "import round", "round.py": "import circle", "numpy/readme.py": "a bare folder hides no library",
    })  # fmt: skip
    found = own_modules(find(f"{here}/net.py:build"))
    assert {str(file.relative_to(here)) for file in found.values()} == {"net.py", *files}


def test_a_neighbour_comes_before_pythons_own_as_in_a_script(write):
    here = write({"net.py": "import random", "random.py": "first = 1"})
    assert set(own_modules(find(f"{here}/net.py:build"))) == {"net", "random"}


def test_a_package_of_ones_own_by_module_and_entry_point(write, monkeypatch):
    here = write({
        "pkg/__init__.py": "", "pkg/nets/__init__.py": "", "pkg/nets/net.py": "from ..blocks import x\nimport lone",
        "pkg/blocks.py": "x = 1", "pkg/aside.py": "", "lone.py": "",
    })  # fmt: skip
    monkeypatch.chdir(here)
    spec = find("pkg.nets.net:build")
    assert set(own_modules(spec)) == {"pkg", "pkg.nets", "pkg.nets.net", "pkg.blocks", "lone"}
    before = network_sha256(spec)
    write({"pkg/blocks.py": "x = 2"})
    assert network_sha256(spec) != before


def test_an_installed_network_is_its_package_and_the_versions_of_others(write, monkeypatch):
    place = write({
        "site-packages/mynets/__init__.py": "", "site-packages/mynets/net.py": "import mynets.blocks\nimport mylib",
        "site-packages/mynets/blocks.py": "", "site-packages/mylib.py": "",
    }) / "site-packages"  # fmt: skip
    monkeypatch.syspath_prepend(place)
    spec = find("mynets.net:build")
    assert set(own_modules(spec)) == {"mynets", "mynets.net", "mynets.blocks"}
    before = network_sha256(spec)
    write({"site-packages/mylib.py": "x = 1"})
    assert network_sha256(spec) == before, "a library is known by its version"
    write({"site-packages/mynets/blocks.py": "x = 1"})
    assert network_sha256(spec) != before


def test_a_module_on_pythons_path_that_is_not_installed_counts(write, monkeypatch):
    monkeypatch.syspath_prepend(write({"mine.py": "x = 1"}, "src"))
    here = write({"net.py": "from mine import x"})
    before = sha(here)
    write({"mine.py": "x = 2"}, "src")
    assert sha(here) != before


def test_a_network_of_ones_own_may_be_made_of_the_zoos(write):
    here = write({"net.py": "from zoo.models.fcn8s import FCN8s", "any.py": "from zoo import create_model"})
    assert set(own_modules(find(f"{here}/net.py:build"))) == {
        *("net", "zoo.models.fcn8s", "zoo.models.from_torchvision"),
    }
    rows = {spec.builder.partition(":")[0] for spec in MODELS.values()}
    assert set(own_modules(find(f"{here}/any.py:build"))) >= rows


@pytest.mark.parametrize(
    ("text", "says"),
    [(b"def f(:", "SyntaxError in .*helper.py: .*line 1"), (b"\xff = 1", "helper.py"), (b"x = '\0'", "helper.py")],
)
def test_a_helper_that_is_no_python_is_said_in_one_line(write, text, says):
    here = write({"net.py": NET})
    (here / "helper.py").write_bytes(text)
    with pytest.raises(ModelError, match=says) as caught:
        sha(here)
    assert str(caught.value).startswith("net:build: importing it fails: ")
    assert "\n" not in str(caught.value)


def test_a_source_that_is_gone(write):
    here = write({"net.py": NET, "helper.py": ""})
    spec = find(f"{here}/net.py:build")
    (here / "net.py").unlink()
    with pytest.raises(UserError, match="source is gone"):
        network_sha256(spec)


def test_everything_that_the_runtimes_are_made_of_and_that_computes_is_a_maker():
    """By what is found in the imported modules, where `identity` reads their source."""
    hashed = makers_modules()
    assert all(file.is_file() for file in hashed.values())
    rooms = [importlib.import_module(f"zoo.runtimes.{file.stem}") for file in (HERE / "runtimes").glob("[!_]*.py")]
    reached = modules_in(*rooms, importlib.import_module("zoo.export"))
    assert set((HERE / "runtimes").glob("*.py")) <= set(hashed.values())
    assert {name for name in reached if computes(name)} <= set(hashed)
    assert {"zoo.pipeline", "zoo.resample", "zoo.upsample", "zoo.any_size", "zoo.models.build"} <= set(hashed)
    rooms = ("zoo.report", "zoo.score", "zoo.cli", "zoo.bench", "zoo.train", "zoo.predict", "zoo.picker", "zoo.store")
    assert not [name for name in hashed if name.startswith(rooms)]
    rows = {spec.builder.partition(":")[0] for spec in MODELS.values()}
    assert not rows & set(hashed), "a network is no maker of others"


def test_makers_follow_code_and_libraries(monkeypatch, tmp_path):
    before = makers()
    makers.cache_clear()
    assert makers() == before
    other = tmp_path / "pipeline.py"
    other.write_bytes((HERE / "pipeline.py").read_bytes() + b"\n")
    known = makers_modules()
    monkeypatch.setattr(identity, "makers_modules", lambda: {**known, "zoo.pipeline": other})
    makers.cache_clear()
    assert makers() != before
    monkeypatch.undo()
    monkeypatch.setattr(identity, "package_version", lambda name: "0")
    makers.cache_clear()
    assert makers() != before
    monkeypatch.undo()
    makers.cache_clear()


def test_no_reading_room_is_a_maker():
    contracts = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rooms = tuple(next(one for one in contracts if "reading rooms" in one["name"])["source_modules"])
    assert not [name for name in makers_modules() if name.startswith(rooms)]


def test_hashing_imports_no_torch():
    code = (
        "import sys;"
        "sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'timm', 'segmentation_models_pytorch')));"
        "from zoo.catalog import *; from zoo.identity import *; find('unet:timm/x');"
        "[network_sha256(spec) for spec in select(['all'])]; makers()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def modules_in(*rooms):
    """Names of this package's modules that functions, classes and modules found in these stand in, and of theirs."""
    names, waiting = set(), list(rooms)
    while waiting:
        room = waiting.pop()
        if room.__name__ in names:
            continue
        names.add(room.__name__)
        for value in vars(room).values():
            module = value if isinstance(value, ModuleType) else inspect.getmodule(value)
            if module is not None and module.__name__.startswith("zoo."):
                waiting.append(module)
    return names


def computes(name):
    """Whether a module of this package holds something of torch's, or a module that does."""
    values = [value for module in modules_in(sys.modules[name]) for value in vars(sys.modules[module]).values()]
    names = (value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "") for value in values)
    return any(str(one).partition(".")[0] == "torch" for one in names)
