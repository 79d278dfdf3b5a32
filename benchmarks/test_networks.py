"""Each real-time network beside its public PyTorch implementations: same input, fp32, eager, one thread, calls in turn.

Ours is the network scope of what `zoo.artifact.load` deploys; a peer is what its repository's own code builds, random
weights, in evaluation and inference mode, in the memory format it is faster in. Where it brings its logits to the
image's size, ours are brought there too. Seconds are those of the processor: what else the machine does counts little.
The best peer is the fastest of a network's, so that the target holds against each of them.

Needs the peers in one folder, `ZOO_PEERS`, each cloned under its repository's name (the commits compared with):

    CoinCheung/BiSeNet 6b4b67a                      XuJiacong/PIDNet 4c158cf
    ydhongHIT/DDRNet de0db31                        MichaelFan01/STDC-Seg 59ff37f
    RolandGao/RegSeg 0f61c66                        Tramac/Fast-SCNN-pytorch 0638517
    davidtvs/PyTorch-ENet e17d404                   Eromera/erfnet_pytorch d4a46fa
    wutianyiRosun/CGNet cfccea3                     Reagan1311/DABNet b8d62fe
    sacmehta/EdgeNets 2b232d3                       PingoLH/FCHarDNet dab48c0
    HRNet/HRNet-Semantic-Segmentation 0bbb288       mit-han-lab/efficientvit de7d773
    xiaoyufenfei/Efficient-Segmentation-Networks 0f0c32e
    zh320/realtime-semantic-segmentation-pytorch c77b1b6

`ZOO_PEERS_SIZE` sets the image's size (512x1024). A peer is the same network, by its MACs: zh320's BiSeNetV2, STDC,
PP-LiteSeg, CGNet, ICNet and SwiftNet are others, of 7 to 29 % fewer or of other heads. Not compared: PP-LiteSeg of
super-gradients, which wants twenty packages; SegNeXt, ICNet and `fast_scnn_mmseg`, whose code wants mmcv; SwiftNet,
whose authors' code is under the GPL. STDC-Seg runs its auxiliary heads in evaluation too.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.artifact import load
from zoo.catalog import find
from zoo.units import parse_size
from zoo.weights.source import Source

CLASSES = 19
ROUNDS = 9
TARGET = 1.0
MACS = 1.05
"""How much less a peer may do, and be the same network; STDC-Seg's auxiliary heads do more."""
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore::UserWarning")]


class Peer(NamedTuple):
    """A public implementation of a row."""

    row: str
    repository: str
    build: Callable[[], nn.Module]
    """Called with the repository's folders in front of `sys.path`."""
    folders: tuple[str, ...] = ("",)
    stand_ins: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Modules that its files import and the network does not need here (CUDA kernels, printers), with their names."""


def named(module: str, name: str, *args: Any, **options: Any) -> Callable[[], nn.Module]:
    """Build `module.name(...)`."""
    return lambda: getattr(importlib.import_module(module), name)(*args, **options)


def ddrnet(file: str, layers: list[int], planes: int, head_planes: int) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        module = importlib.import_module(file)
        options = {"planes": planes, "spp_planes": 128, "head_planes": head_planes, "augment": False}
        return module.DualResNet(module.BasicBlock, layers, num_classes=CLASSES, **options)

    return build


class Settings(dict):
    """Read by key and by attribute, as yacs' configurations are."""

    __getattr__ = dict.__getitem__


def hrnet(module: str, width: int, blocks: int, bottlenecks: int, modules: tuple[int, int, int]) -> Callable:
    """HRNet from a configuration such as its `experiments/cityscapes` hold."""

    def stage(block: str, counts: list[int], widths: list[int], repeats: int) -> dict[str, Any]:
        return {
            "NUM_MODULES": repeats,
            "NUM_BRANCHES": len(widths),
            "BLOCK": block,
            "NUM_BLOCKS": counts,
            "NUM_CHANNELS": widths,
            "FUSE_METHOD": "SUM",
        }

    extra = Settings({"FINAL_CONV_KERNEL": 1, "STAGE1": stage("BOTTLENECK", [bottlenecks], [64], 1)})
    for number, repeats in enumerate(modules, 2):
        widths = [width * 2**branch for branch in range(number)]
        extra[f"STAGE{number}"] = stage("BASIC", [blocks] * number, widths, repeats)
    ocr = SimpleNamespace(MID_CHANNELS=512, KEY_CHANNELS=256, DROPOUT=0.05, SCALE=1)
    config = SimpleNamespace(
        MODEL=SimpleNamespace(EXTRA=extra, ALIGN_CORNERS=False, OCR=ocr), DATASET=SimpleNamespace(NUM_CLASSES=CLASSES)
    )
    return named(f"models.{module}", "HighResolutionNet", config)


def efficientvit(size: str) -> Callable[[], nn.Module]:
    return named("efficientvit.models.efficientvit.seg", f"efficientvit_seg_{size}", "cityscapes")


def espnetv2(scale: float) -> Callable[[], nn.Module]:
    options = SimpleNamespace(s=scale, channels=3, num_classes=1000)
    return named("model.segmentation.espnetv2", "ESPNetv2Segmentation", options, classes=CLASSES)


def plain_norm(channels: int, activation: str = "none") -> nn.Module:
    assert activation == "none"
    return nn.BatchNorm2d(channels)


_ZH320, _XIAO = "realtime-semantic-segmentation-pytorch", "Efficient-Segmentation-Networks"
_SUMMARY = (("torchsummary", {"summary": None}),)
_ABN = (("modules.bn", {"InPlaceABNSync": plain_norm}),)
_CATCONV = (("CatConv2d", {}), ("CatConv2d.catconv2d", {"CatConv2d": None}))
_ROOM = "efficientvit.models"
_TRITON = (
    ("efficientvit.apps.utils", {"AverageMeter": None, "is_master": None, "sync_tensor": None}),
    ("efficientvit.apps.trainer.run_config", {"Scheduler": None}),
    (f"{_ROOM}.nn.triton_rms_norm", {"TritonRMSNorm2dFunc": None}),
    (f"{_ROOM}.efficientvit", {"__path__": ["efficientvit/models/efficientvit"]}),  # its __init__ imports SAM's
)


def zh320(row: str, network: str, **options: Any) -> Peer:
    return Peer(row, _ZH320, named("models", network, num_class=CLASSES, **options))


def xiao(row: str, network: str) -> Peer:
    return Peer(row, _XIAO, named(f"model.{network}", network, classes=CLASSES), stand_ins=_SUMMARY)


PEERS = [
    *(
        Peer(f"pidnet_{size}", "PIDNet", named("models.pidnet", "get_pred_model", size, num_classes=CLASSES))
        for size in ("s", "m", "l")
    ),
    Peer("ddrnet_23_slim", "DDRNet", ddrnet("DDRNet_23_slim", [2, 2, 2, 2], 32, 64), ("segmentation",)),
    zh320("ddrnet_23_slim", "DDRNet", arch_type="DDRNet-23-slim", use_aux=False),
    Peer("ddrnet_23", "DDRNet", ddrnet("DDRNet_23", [2, 2, 2, 2], 64, 128), ("segmentation",)),
    Peer("ddrnet_39", "DDRNet", ddrnet("DDRNet_39", [3, 4, 6, 3], 64, 256), ("segmentation",)),
    Peer("bisenetv1_resnet18", "BiSeNet", named("lib.models.bisenetv1", "BiSeNetV1", CLASSES, aux_mode="eval")),
    Peer("bisenetv2", "BiSeNet", named("lib.models.bisenetv2", "BiSeNetV2", CLASSES, aux_mode="eval")),
    *(
        Peer(row, "STDC-Seg", named("models.model_stages", "BiSeNet", name, CLASSES, use_boundary_8=True),
             stand_ins=_ABN)
        for row, name in (("stdc1", "STDCNet813"), ("stdc2", "STDCNet1446"))
    ),
    Peer("fast_scnn", "Fast-SCNN-pytorch", named("models.fast_scnn", "FastSCNN", CLASSES)),
    zh320("fast_scnn", "FastSCNN"),
    xiao("fast_scnn", "FastSCNN"),
    Peer("enet", "PyTorch-ENet", named("models.enet", "ENet", CLASSES)),
    zh320("enet", "ENet"),
    Peer("erfnet", "erfnet_pytorch", named("erfnet", "Net", CLASSES), ("train",)),
    zh320("erfnet", "ERFNet"),
    Peer("regseg", "RegSeg", named("model", "RegSeg", "exp48_decoder26", CLASSES)),
    zh320("regseg", "RegSeg"),
    Peer("cgnet", "CGNet", named("model.CGNet", "Context_Guided_Network", CLASSES)),
    Peer("dabnet", "DABNet", named("model.DABNet", "DABNet", CLASSES)),
    zh320("dabnet", "DABNet"),
    zh320("edanet", "EDANet"),
    xiao("edanet", "EDANet"),
    *(
        Peer(row, "EdgeNets", espnetv2(scale))
        for row, scale in (("espnetv2", 2.0), ("espnetv2_s15", 1.5), ("espnetv2_s10", 1.0), ("espnetv2_s05", 0.5))
    ),
    xiao("contextnet", "ContextNet"),
    zh320("fddwnet", "FDDWNet"),
    Peer("hrnet_w18_small", "HRNet-Semantic-Segmentation", hrnet("seg_hrnet", 18, 2, 2, (1, 3, 2)), ("lib",)),
    Peer("hrnet_w48", "HRNet-Semantic-Segmentation", hrnet("seg_hrnet", 48, 4, 4, (1, 4, 3)), ("lib",)),
    Peer("hrnet_w48_ocr", "HRNet-Semantic-Segmentation", hrnet("seg_hrnet_ocr", 48, 4, 4, (1, 4, 3)), ("lib",)),
    *(
        Peer(f"efficientvit_seg_{size}", "efficientvit", efficientvit(size), stand_ins=_TRITON)
        for size in ("b0", "b1", "b2", "l1")
    ),
    Peer("fc_hardnet_70", "FCHarDNet", named("ptsemseg.models.hardnet", "hardnet", CLASSES), stand_ins=_CATCONV),
]  # fmt: skip


@contextmanager
def importing(folder: Path, peer: Peer) -> Iterator[None]:
    """Import from a peer's folders, with nothing fetched and nothing left behind."""
    before, paths = set(sys.modules), [str(folder / name) for name in peer.folders]
    with pytest.MonkeyPatch.context() as patch:
        for path in paths:
            patch.syspath_prepend(path)
        for name, contents in peer.stand_ins:
            module = ModuleType(name)
            vars(module).update(contents)
            if "__path__" in contents:
                module.__path__ = [str(folder / part) for part in contents["__path__"]]
            patch.setitem(sys.modules, name, module)
        patch.setattr(np, "int", int, raising=False)  # HRNet's is of a time when NumPy had it
        patch.setattr("torch.utils.model_zoo.load_url", lambda *_, **__: {})
        try:
            with redirect_stdout(StringIO()):
                yield
        finally:
            for name in set(sys.modules) - before:
                module = sys.modules[name]
                places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
                if any(str(place).startswith(str(folder)) for place in places):
                    del sys.modules[name]


def theirs(peer: Peer) -> nn.Module:
    folder = Path(os.environ.get("ZOO_PEERS", "")) / peer.repository
    if not os.environ.get("ZOO_PEERS") or not folder.is_dir():
        pytest.skip(f"needs ZOO_PEERS with a clone of {peer.repository}, see the file's first lines")
    torch.manual_seed(0)
    with importing(folder.absolute(), peer):
        return peer.build().eval().requires_grad_(False)


def first(answer: Any) -> torch.Tensor:
    """The logits themselves, of a network that answers with auxiliary ones beside; OCR's stand behind them."""
    return answer if isinstance(answer, torch.Tensor) else answer[0]


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def in_its_best_format(model: nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    """Of two calls each, the second; the model is left in the faster one."""
    found = {}
    for memory_format in (torch.channels_last, torch.contiguous_format):
        model.to(memory_format=memory_format)
        given = x.contiguous(memory_format=memory_format)
        found[memory_format] = min(seconds(lambda given=given: model(given)) for _ in range(2))
    best = min(found, key=found.__getitem__)
    model.to(memory_format=best)
    given = x.contiguous(memory_format=best)
    return lambda: model(given)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: f"{peer.row}-{peer.repository}")
def test_network_beside_its_peer(benchmark, wanted, peer):
    size = parse_size(os.environ.get("ZOO_PEERS_SIZE", "512x1024"))
    model = theirs(peer)
    spec = find(peer.row)
    runnable, _, _ = load(wanted(spec, Source(kind="random", seed=0), size))
    image = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x = runnable.preprocess(runnable.copy_in(image))
    own_s, peer_s = [], []
    with torch.inference_mode():
        run_peer = in_its_best_format(model, x)
        with FlopCounterMode(display=False) as peer_work:
            answered = first(run_peer()).shape
        with FlopCounterMode(display=False) as own_work:
            runnable.network(x)
        assert own_work.get_total_flops() <= MACS * peer_work.get_total_flops(), "the peer is another network"

        def run_ours():
            logits = runnable.network(x)
            if logits.shape == answered:
                return logits
            return F.interpolate(logits, answered[2:], mode="bilinear", align_corners=spec.align_corners)

        assert run_ours().shape == answered
        benchmark.pedantic(
            lambda: own_s.append(seconds(run_ours)),
            setup=lambda: peer_s.append(seconds(run_peer)),
            rounds=ROUNDS,
            warmup_rounds=1,
        )
    ratio = float(np.median(peer_s[1:]) / np.median(own_s[1:]))
    benchmark.extra_info.update(
        peer=f"{peer.repository}, eager fp32 at {size[0]}x{size[1]}",
        ratio_to_peer=ratio,
        target=TARGET,
        own_s=float(np.median(own_s[1:])),
        peer_s=float(np.median(peer_s[1:])),
    )
    assert ratio >= TARGET
