"""One optimizer step: forward and backward over its pieces, then the update."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.config import TrainConfig
from zoo.data.loading import Batch
from zoo.errors import ModelError
from zoo.models.contract import boundary_weights, training_logits
from zoo.runtimes.base import gains_from_bf16
from zoo.spec import ModelSpec
from zoo.train.distributed import ALONE, Group
from zoo.train.feed import Feed
from zoo.train.losses import SegmentationLoss
from zoo.train.norms import LabelMaps, ModeGap, estimate_statistics, mode_gap
from zoo.train.schedule import family_of, learning_rate, make_optimizer, set_learning_rate


def seed(*words: int) -> None:
    """Seed every generator a network may draw from; batches are drawn by their step alone (`data.loading`)."""
    number = int(np.random.SeedSequence(words).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002  a model of one's own may use it
    torch.manual_seed(number)


def _trains_in_bf16(module: nn.Module, spec: ModelSpec, config: TrainConfig, device: torch.device) -> bool:
    """Whether a step runs under bf16 autocast; `auto` leaves to fp32 what a processor gets wrong.

    Raises:
        ModelError: bf16 is asked for, and the processor would compute other gradients.
    """
    wanted = config.precision == "bf16" or (config.precision == "auto" and gains_from_bf16(device))
    if not wanted or device.type != "cpu" or not any(map(_is_wrong_in_bf16, module.modules())):
        return wanted
    if config.precision == "bf16":
        raise ModelError(
            f"{spec.name} cannot be trained in bf16 on a processor: it has dilated convolutions without whole blocks "
            "of 16 channels a group, whose gradient oneDNN gets wrong there; set precision to auto or fp32"
        )
    return False


def _is_wrong_in_bf16(part: nn.Module) -> bool:
    """Whether, in bf16 and channels last, oneDNN's gradient of its weights holds what lay in memory before.

    Seen with torch 2.15 where a dilated convolution has no whole blocks of 16 channels a group: on a Zen 4 (AVX-512
    BF16) depthwise, grouped, transposed and dense ones on maps 32 wide or more, on a Xeon (AMX) depthwise ones of every
    size. Neither has it in fp32, in whole blocks, or undilated.
    """
    if not isinstance(part, nn.Conv2d | nn.ConvTranspose2d) or max(part.dilation) == 1:
        return False
    return part.transposed or part.in_channels // part.groups % 16 > 0


class TrainingStep:
    """A network with its optimizer, and what one step does to them.

    Weights after a step depend on the step's images alone, not on how they are spread over pieces and processes, but
    for rounding and for what a network computes over the images it sees at once (batch norm, dropout's dice).

    Args:
        module: The network, in training mode on `device`.
        spec: What it is.
        config: The recipe.
        num_classes: K of the dataset.
        device: Where it is.
        weights: Of each output channel in the loss; `None`: all 1.
        group: The processes that train it together.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: ModelSpec,
        config: TrainConfig,
        *,
        num_classes: int,
        device: torch.device,
        weights: Tensor | None = None,
        group: Group = ALONE,
    ) -> None:
        self.module, self.spec, self.config, self.device, self.group = module, spec, config, device, group
        self.num_classes = num_classes
        self.family = family_of(spec, config)
        self.bf16 = _trains_in_bf16(module, spec, config, device)
        self.feed = Feed(spec, num_classes, device)
        self.loss = SegmentationLoss(config, align_corners=spec.align_corners, weights=weights, device=device)
        self.logits = torch.compile(training_logits) if config.compile else training_logits
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.optimizer = make_optimizer(module, config, self.family)
        self.average: AveragedModel | None = None
        if config.ema_decay is not None:
            ema = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(module, multi_avg_fn=ema, use_buffers=True)

    @property
    def trained(self) -> nn.Module:
        """The network that is validated and kept: the averaged one where the recipe asks for it."""
        return self.module if self.average is None else self.average.module

    def rate(self, step: int) -> float:
        """Learning rate of a step, 0 is the first."""
        return learning_rate(step, self.config, self.family)

    def gradients(self, step: int, pieces: Sequence[Batch]) -> tuple[float, float]:
        """Compute one step's gradients, clipped; weights stay as they are.

        Args:
            step: 0 is the first.
            pieces: This process's share of the batch, in one piece or several.

        Returns:
            The loss over the whole batch, and the L2 norm of its gradient before clipping.

        Raises:
            ModelError: the network cannot train on so few images at a time.
        """
        # Dropout: whatever drew before, this step is the same again after a resume, and no process's is another's.
        seed(self.config.seed, step, self.group.rank)
        fed = [self.feed(piece) for piece in pieces]  # N3HW float, NHW int64
        divisor = self.group.total(torch.stack([self.loss.divisor(label) for _, label in fed]).sum())
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for image, label in fed:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                heads = self._heads(image)
            loss = self._loss(heads, label) / divisor.clamp(min=1e-6)  # 0 where nothing counts
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        self.group.add_up([parameter.grad for parameter in self.parameters if parameter.grad is not None])
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.grad_clip or math.inf)
        value, length = torch.stack([self.group.total(total), norm.float()]).tolist()
        return value, length

    def update(self, step: int) -> None:
        """Move the weights by the gradients."""
        set_learning_rate(self.optimizer.param_groups, self.rate(step))
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.module)

    def estimate_statistics(self, batches: Iterable[Batch]) -> None:
        """Estimate anew, over these batches, what the batch norms of the kept network know of the images."""
        with self._as_trained():
            estimate_statistics(self.trained, (self.feed(batch)[0] for batch in batches))

    def mode_gap(self, batches: Sequence[Batch]) -> ModeGap | None:
        """Compare how the kept network labels these batches as deployed and as trained."""
        channel_count = self.num_classes if self.spec.train_ids is None else len(self.spec.train_ids)

        def answers() -> Iterator[tuple[LabelMaps, LabelMaps]]:
            for batch in batches:
                image, label = self.feed(batch)
                logits = training_logits(self.trained, image)[0].float()
                grid = F.interpolate(logits, label.shape[1:], mode="bilinear", align_corners=self.spec.align_corners)
                yield label.byte().numpy(force=True), grid.argmax(1).byte().numpy(force=True)

        with torch.no_grad(), self._as_trained():
            return mode_gap(self.trained, answers, channel_count)

    def _as_trained(self) -> torch.autocast:
        """The precision of training; dice of what draws without being asked."""
        seed(self.config.seed, self.config.steps)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def _loss(self, heads: Sequence[Tensor], label: Tensor) -> Tensor:
        """Sum the losses of all heads over their pixels."""
        boundary, weights = torch.zeros((), device=self.device), boundary_weights(self.module)
        if weights is not None:
            *heads, edge = heads
            boundary = self.loss.boundary(edge, heads[0], label, weights)
        main, *aside = [self.loss(logits, label) for logits in heads]
        return main + self.config.aux_weight * sum(aside) + boundary

    def _heads(self, image: Tensor) -> tuple[Tensor, ...]:
        try:
            return self.logits(self.module, image)
        except ValueError as error:
            if "more than 1 value per channel" in str(error):  # batch norm after global pooling
                raise ModelError(
                    f"{self.spec.name} normalises over the batch what it pooled over the whole image, and cannot train "
                    f"on {len(image)} image at a time; set batch_size to 2 or more for each piece and process"
                ) from error
            raise
