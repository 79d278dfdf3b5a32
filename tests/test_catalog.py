from importlib.metadata import EntryPoint

import pytest

from zoo import catalog
from zoo.catalog import MODELS, find, select
from zoo.errors import UserError

PLAIN = """
encoder_decoder unet unet_resnet18 unet_resnet34 unet_resnet50 unet_mobilenet_v2 fcn8s_vgg16 fcn_resnet50 fcn_resnet101
deeplabv3_resnet18 deeplabv3_resnet50 deeplabv3_resnet101 deeplabv3_mobilenet_v3_large deeplabv3plus_resnet18
deeplabv3plus_resnet50 deeplabv3plus_resnet101 deeplabv3plus_mobilenet_v2 lraspp_mobilenet_v3_large
upernet_convnext_tiny upernet_swin_tiny dpt_vit_b
""".split()  # noqa: SIM905  a list of 21 lines would say no more
TWO_BRANCH = """
ddrnet_23_slim ddrnet_23 ddrnet_39 pidnet_s pidnet_m pidnet_l bisenetv1_resnet18 bisenetv2 stdc1 stdc2 pp_liteseg_t
pp_liteseg_b
""".split()  # noqa: SIM905  likewise
SMALL = """
fast_scnn fast_scnn_mmseg enet erfnet regseg cgnet dabnet edanet espnetv2 espnetv2_s15 espnetv2_s10 espnetv2_s05
contextnet fddwnet
""".split()  # noqa: SIM905
LARGE = """
hrnet_w18_small hrnet_w48 hrnet_w48_ocr efficientvit_seg_b0 efficientvit_seg_b1 efficientvit_seg_b2 efficientvit_seg_l1
segnext_t segnext_s segnext_b fc_hardnet_70 icnet_resnet18 swiftnet_resnet18
""".split()  # noqa: SIM905
PAIRS = ["unetplusplus", "linknet", "fpn", "pspnet", "pan", "manet"]


def names(patterns, tag=None):
    return [spec.name for spec in select(patterns, tag)]


def test_the_table_holds_what_was_promised():
    promised = {*PLAIN, *LARGE, *(f"segformer_b{size}" for size in range(6))}
    promised |= {f"{decoder}_resnet{depth}" for decoder in PAIRS for depth in (18, 50)}
    promised |= set(TWO_BRANCH)
    promised |= set(SMALL)
    assert set(MODELS) == promised
    for spec in MODELS.values():
        assert spec.family
        assert spec.paper
        assert spec.licence
        assert spec.encoder or not spec.pretrained


def test_tags_and_recipes():
    assert set(names(["core"])) == {"encoder_decoder", "unet", "fcn_resnet50", "deeplabv3_resnet50"}
    assert set(names(["fast"])) == {
        *("ddrnet_23_slim", "pidnet_s", "bisenetv2", "stdc1", "pp_liteseg_t", "fast_scnn", "regseg"),
        "efficientvit_seg_b0",
    }
    assert set(names(["fast"])) < set(names(["realtime"]))
    assert all("mobile" in name for name in names(["mobile"]))
    assert {spec.name for spec in MODELS.values() if spec.recipe == "adamw_poly"} == {
        *names(["transformer"]),
        *names(["segnext_*"]),
        "upernet_convnext_tiny",
        "swiftnet_resnet18",
    }
    assert MODELS["segformer_b1"].args["decoder_segmentation_channels"] == 256
    assert MODELS["segformer_b2"].args["decoder_segmentation_channels"] == 768


def test_select_names_globs_tags_and_comma_lists_in_table_order():
    assert names(["all"]) == list(MODELS)
    assert names(["unet,encoder_decoder"]) == ["encoder_decoder", "unet"]
    assert names(["segformer_b[01]", "core", "segformer_b0"]) == [*names(["core"]), "segformer_b0", "segformer_b1"]
    assert names(["all"], tag="mobile") == names(["mobile"])
    assert names(["unet:timm/convnext_tiny,unet"]) == ["unet", "unet:timm/convnext_tiny"]


@pytest.mark.parametrize(
    ("patterns", "tag", "says"),
    [
        (["fcn_resnet5"], None, "Did you mean 'fcn_resnet50'"),
        (["zzz*"], None, "no model matches 'zzz\\*'"),
        (["all"], "mobil", "Did you mean 'mobile'"),
        (["unet"], "mobile", "no model is left"),
        ([], None, "no model is left"),
    ],
)
def test_select_says_what_is_wrong(patterns, tag, says):
    with pytest.raises(UserError, match=says):
        select(patterns, tag)


def test_a_timm_encoder_under_a_decoder():
    spec = find("unet:timm/convnext_tiny")
    assert (spec.name, spec.family, spec.divisor, spec.recipe) == ("unet:timm/convnext_tiny", "U-Net", 32, "adamw_poly")
    assert spec.args == {"decoder": "unet", "encoder": "convnext_tiny"}
    assert find("pspnet:timm/resnet50").recipe == "sgd_poly"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unett:timm/convnext_tiny", "Did you mean 'unet'"),
        ("unet:timm/", "names no encoder"),
        ("nowhere/net.py:build", "no file 'nowhere/net.py'"),
        ("nowhere/net.py", "name the function in it too"),
        ("no_such_package.net:build", "no module 'no_such_package.net'"),
        ("json:a-b", "no name of a function"),
        ("deeplab_v3_resnet50", "Did you mean"),
        ("core", "'core' is a tag, of several models; name one of those that `zoo list core` shows"),
        ("coree", "no model 'coree'. Did you mean 'core'\\? "),
        ("all", "'all' is a tag"),
    ],
)
def test_find_says_what_is_wrong_in_one_line(name, says):
    with pytest.raises(UserError, match=says) as caught:
        find(name)
    assert "\n" not in str(caught.value)


def test_a_file_is_no_model_and_it_is_said_what_takes_it(tmp_path):
    for name, words in {
        "ed int8.onnx": f"measures it; its card is {tmp_path}/ed int8.onnx.json",
        "ed.pt2": f"`zoo bench --file {tmp_path}/ed.pt2` measures it",
        "best.pth": "weights are named beside their model, `zoo bench --models MODEL --weights MODEL=FILE`",
    }.items():
        (tmp_path / name).touch()
        (tmp_path / "ed int8.onnx.json").touch()
        with pytest.raises(UserError) as caught:
            find(f"{tmp_path}/{name}")
        assert str(caught.value).startswith(f"'{tmp_path}/{name}' is a file and no model: ")
        assert str(caught.value).endswith(words)
    with pytest.raises(UserError, match=r"no model 'nowhere.onnx'\. "):
        find("nowhere.onnx")


def test_own_models_by_file_module_and_entry_point(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text("raise SystemExit('find() must not run this')")
    spec = find(f"{tmp_path}/net.py:build")
    assert spec.own
    assert (spec.name, spec.builder) == ("net:build", f"{tmp_path}/net.py:build")
    monkeypatch.chdir(tmp_path)
    assert find("net.py:build") == spec
    assert find("net:build").name == "net:build"
    point = EntryPoint("mynet", "pkg.nets:build", "zoo.models")
    monkeypatch.setattr(catalog.importlib.metadata, "entry_points", lambda group: [point])
    assert (find("mynet").name, find("mynet").builder, find("mynet").own) == ("mynet", "pkg.nets:build", True)
    with pytest.raises(UserError, match="Did you mean 'mynet'"):
        find("mynett")


def test_two_own_models_of_one_name_are_refused(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(f"# {folder}")
    paths = [f"{tmp_path / folder / 'net.py'}:build" for folder in ("one", "two")]
    with pytest.raises(UserError, match="two different models are called 'net:build'"):
        select(paths)
    assert len(select([paths[0], paths[0]])) == 1
