"""A published checkpoint of the test's own, of a network of the table."""

import io

import torch

from zoo.models.build import create_model
from zoo.published.facts import Published
from zoo.spec import Feeding

NETWORK = "encoder_decoder"


def make_file(seed=0):
    """Bytes of a checkpoint as training wrote it, some MiB: in a wrapper, and under other names."""
    torch.manual_seed(seed)
    state = {f"net.{name}": tensor for name, tensor in create_model(NETWORK).state_dict().items()}
    stream = io.BytesIO()
    torch.save({"state_dict": state, "optimizer": {"momentum": torch.zeros(600_000)}}, stream)
    return stream.getvalue()


CONTENT = make_file()


def make(url, **facts):
    """Its row."""
    return Published(
        model=NETWORK,
        tag="lab",
        file_name="lab-net.pth",
        url=url,
        key_map=((r"^net\.", ""),),
        feeding=Feeding(),
        **facts,
    )
