"""What is deployed around a network: `uint8` image in, `uint8` label map out, as one module.

Three sizes, three names: `image_size` (the frame as it comes), `input_size` (what the network is asked to see) and
`output_size` (the label map). All are `(height, width)`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.resample import resize_by_products
from zoo.spec import ModelSpec, Resize, Size
from zoo.units import show_size
from zoo.upsample import upsample_argmax


class Pipeline(nn.Module):
    """Normalise, resize and pad → network → upsample and argmax.

    Shapes: `(N, *image_size, 3)` `uint8` RGB → `(N, *output_size)` `uint8` class ids (255: no class of the dataset).

    A frame is resized keeping its aspect (`"fit"`), stretched (`"stretch"`) or taken as it is (`"none"`), with the same
    antialiased bilinear filter as Pillow and torchvision. What is left of `input_size`, and of the next multiples of
    the network's divisor, is padded at the right and at the bottom with the mean.

    Labels are read from the logits in one step: bilinear from the network's own stride to the padded grid at output
    resolution, cropped to `output_size`, argmax. Where the frame was not resized that is, bit for bit, the library's
    own pad → forward → upsample → crop → argmax. Where it was, the logits are not brought to the input's resolution
    first and resized a second time; the padded grid at output resolution is rounded to whole pixels.

    Args:
        model: `(N, 3, H, W)` normalised images → `(N, K, h, w)` logits.
        spec: how the model is fed and read: `mean`, `std`, `channel_order`, `divisor`, `align_corners`, `train_ids`.
        image_size: of the frames as they come.
        input_size: what the network sees, before padding to the divisor.
        output_size: of the label maps.
        resize: how a frame is brought from `image_size` to `input_size`.

    Attributes:
        dtype: what the network computes in; `cast` changes it.
        memory_format: of the network's input; likewise.
        fitted_size: of the resized frame inside the network's input.
        padded_size: of the network's input.

    Raises:
        UserError: `resize` is `"none"` and `image_size` differs from `input_size`.
    """

    gain: Tensor
    offset: Tensor
    classes: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        spec: ModelSpec,
        *,
        image_size: Size,
        input_size: Size,
        output_size: Size,
        resize: Resize,
    ) -> None:
        super().__init__()
        if resize == "none" and image_size != input_size:
            raise UserError(
                f"resize = none needs frames of the input's size; frames are {show_size(image_size)}, the input is "
                f"{show_size(input_size)}: choose resize = fit or stretch, or leave the input size away"
            )
        self.model = model
        self.spec = spec
        self.image_size = image_size
        self.input_size = input_size
        self.output_size = output_size
        self.resize = resize
        self.fitted_size = _fit(image_size, input_size) if resize == "fit" else input_size
        self.padded_size = spec.padded(input_size)
        self.grid_size = (
            round(self.padded_size[0] * output_size[0] / self.fitted_size[0]),
            round(self.padded_size[1] * output_size[1] / self.fitted_size[1]),
        )
        mean, std = (torch.tensor(triple).view(3, 1, 1) for triple in (spec.mean, spec.std))
        self.dtype = torch.float32
        self.memory_format = torch.preserve_format
        self.register_buffer("gain", 1 / (255 * std), persistent=False)
        self.register_buffer("offset", -mean / std, persistent=False)
        classes = None if spec.train_ids is None else torch.tensor(spec.train_ids, dtype=torch.uint8)
        self.register_buffer("classes", classes, persistent=False)

    def cast(self, dtype: torch.dtype, memory_format: torch.memory_format) -> None:
        """Bring the network's weights and input to a type and a layout, in place; the labels are read in `float32`."""
        self.dtype, self.memory_format = dtype, memory_format
        self.model.to(dtype).to(memory_format=memory_format)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, *image_size, 3)` `uint8` RGB → `(N, *output_size)` `uint8` class ids."""
        return self.postprocess(self.network(self.preprocess(images)))

    def preprocess(self, images: Tensor) -> Tensor:
        """`(N, *image_size, 3)` `uint8` RGB → `(N, 3, *padded_size)` normalised, as the network takes it."""
        assert images.shape[1:] == (*self.image_size, 3), f"{tuple(images.shape)} is not (N, *{self.image_size}, 3)"
        x = self.channels_first(images)
        if self.fitted_size != self.image_size:
            if torch.compiler.is_exporting():
                x = resize_by_products(x, self.fitted_size)
            else:
                x = F.interpolate(x, self.fitted_size, mode="bilinear", antialias=True)
        x = torch.addcmul(self.offset, x, self.gain)  # 8x the speed of (x - mean) / std on a CPU, in this memory format
        bottom, right = self.padded_size[0] - self.fitted_size[0], self.padded_size[1] - self.fitted_size[1]
        x = F.pad(x, (0, right, 0, bottom)) if bottom or right else x  # 0 is the mean here
        return x.to(dtype=self.dtype, memory_format=self.memory_format)

    def channels_first(self, images: Tensor) -> Tensor:
        """`(N, H, W, 3)` `uint8` RGB → `(N, 3, H, W)` `float32` in the network's order; its memory stays NHWC."""
        x = images.to(torch.float32).permute(0, 3, 1, 2)
        return x.flip(1) if self.spec.channel_order == "bgr" else x

    def network(self, x: Tensor) -> Tensor:
        """`(N, 3, *padded_size)` → `(N, K, h, w)` logits."""
        logits: Tensor = self.model(x)
        return logits

    def postprocess(self, logits: Tensor) -> Tensor:
        """`(N, K, h, w)` logits → `(N, *output_size)` `uint8` class ids."""
        return self.named(upsample_argmax(logits, self.grid_size, self.output_size, self.spec.align_corners))

    def named(self, channels: Tensor) -> Tensor:
        """`(N, H, W)` `uint8` indices of the network's channels → `uint8` class ids."""
        if self.classes is None:
            return channels
        found = self.classes.index_select(0, channels.flatten().int())  # `classes[…]` is no valid ONNX
        return found.reshape(channels.shape)


def _fit(size: Size, box: Size) -> Size:
    """Largest size of the same aspect inside `box`, at least one pixel."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, min(box[0], round(size[0] * scale))), max(1, min(box[1], round(size[1] * scale)))
