"""The Lightning module that trains a generator and its discriminator.

Both learn in the same step (simultaneous gradient descent, Mescheder et al. 2017) from one sum of
losses, in which each term reaches the network alone that it is meant for. So clipping, mixed
precision, averaging and going on after a stop work as for any other network. The discriminator has
the hinge loss (Lim & Ye 2017).

Shapes: `B` batch, `C` modalities, `T` kinds of tissue, `px py pz` a patch, `x y z` a volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_brats.clock import total_steps
from lightning_brats.losses import Adversary
from lightning_brats.models.gan import PatchDiscriminator, frozen
from lightning_brats.optim import make_optimizer, poly
from lightning_brats.parts import build
from lightning_brats.synthesis.condition import (
    LABELS,
    View,
    healthy_holes,
    judged_channels,
    view,
)
from lightning_brats.synthesis.generating import generate
from lightning_brats.synthesis.network import MaskToImage

ADVERSARY = Adversary(objective="hinge")


class SynthesisTask(pl.LightningModule):
    """Learns to fill in tumours, and holes in healthy tissue, from labels and surroundings.

    The generator starts from the mean intensities of what a voxel holds and learns what differs:
    rare tissues would take long to get their contrast otherwise.

    Args:
        net: The generator, or its config.
        colours: (L + T, C) mean intensities of labels, then of kinds of tissue, fluid first.
        patch_size: (px, py, pz) that whole volumes are filled in by.
        optimizer: Called with parameter groups; AdamW when not given.
        scheduler: Called with (optimizer, total_steps); polynomial decay when not given.
        context: Plain facts (modalities, coding, preprocessing).
    """

    validated = ("val/mae", "val/mae_tumour")
    """Validation metrics, for the table of epochs."""

    def __init__(
        self,
        net: MaskToImage | Mapping[str, Any],
        colours: Sequence[Sequence[float]],
        patch_size: Sequence[int],
        optimizer: Any = None,
        scheduler: Any = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.context, self.patch_size = dict(context or {}), tuple(patch_size)
        self.net: MaskToImage = build(net)
        self.recipe = {
            "net": self.net.config,
            "colours": [list(map(float, colour)) for colour in colours],
            "patch_size": list(self.patch_size),
            "optimizer": dict(optimizer) if isinstance(optimizer, Mapping) else None,
            "scheduler": dict(scheduler) if isinstance(scheduler, Mapping) else None,
            "context": self.context,
        }
        self.colours: Tensor
        self.register_buffer("colours", torch.tensor(self.recipe["colours"]))
        channels = judged_channels(self.colours.shape[1])
        self.critic = (
            PatchDiscriminator(channels, self.net.critic) if self.net.adversarial else None
        )
        self.optimizer = build(optimizer) or _default_optimizer
        self.scheduler = build(scheduler) or poly

    @property
    def centres(self) -> Tensor:
        """(T, C) mean intensities of the kinds of tissue."""
        return self.colours[LABELS:]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of both networks on one batch of patches."""
        image = batch["image"].float()
        holes = healthy_holes(image.shape, image.device)
        seen = view(image, batch["mask"], self.centres, self.net.margin, holes)
        noise = torch.randn_like(image[:, :1])
        generated = self.net(seen.condition(noise)).float() + seen.expected(self.colours)
        filled = seen.filled(generated)
        error = self.error(seen, filled)
        loss = error + self.adversarial(seen, filled)
        for name, value in (("loss", loss), ("l1", error)):
            self.log(
                f"train/{name}",
                value.detach(),
                on_step=False,
                on_epoch=True,
                batch_size=len(image),
                sync_dist=self.trainer.world_size > 1,
            )
        return loss

    def error(self, seen: View, filled: Tensor) -> Tensor:
        """Weighted mean absolute error in the hole."""
        tumour = seen.labels.any(1, keepdim=True)
        weights = seen.hole * (1 + (self.net.tumour_weight - 1) * tumour)
        total = ((filled - seen.image).abs().mean(1, keepdim=True) * weights).sum()
        return total / weights.sum().clamp(min=1)

    def adversarial(self, seen: View, filled: Tensor) -> Tensor:
        """What the generator is told by the discriminator, and what that has to learn."""
        if self.critic is None:
            return filled.new_zeros(())
        with frozen(self.critic):
            fooling = ADVERSARY.generator_loss(self.critic(seen.judged(filled)))
        real = self.critic(seen.judged(seen.image))
        made = self.critic(seen.judged(filled.detach()))
        return ADVERSARY.discriminator_loss(real, made) + self.net.adversarial * fooling

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Mean absolute error of one whole volume, its tumour filled in again.

        Every rank logs for each of its volumes, if with weight 0: the mean is taken over all ranks,
        and who has logged nothing would not take part in it.
        """
        counted, ranks = bool(batch.get("counted", True)), self.trainer.world_size
        image, labels = batch["image"].to(self.device).float(), batch["mask"].to(self.device)
        seen = view(image, labels, self.centres, self.net.margin, None)
        error = (self.fill(seen, seed=0) - image).abs().mean(1, keepdim=True)
        tumour = (labels > 0) & seen.hole
        for name, where in zip(self.validated, (seen.hole, tumour), strict=True):
            voxels = int(where.sum())
            value = error[where].sum() / max(1, voxels)
            # A case without tumour has no error, which is not one of 0. Lightning averages weights
            # over ranks as whole numbers: multiples of the number of ranks stay what they are.
            weight = ranks * int(counted and voxels > 0)
            self.log(name, value, batch_size=weight, sync_dist=ranks > 1)

    @torch.no_grad()
    def fill(self, seen: View, seed: int) -> Tensor:
        """A whole volume (1, C, x, y, z), its hole filled in window by window.

        Args:
            seen: The volume.
            seed: Of the noise.
        """
        source = torch.Generator().manual_seed(seed)
        noise = torch.randn((1, 1, *seen.image.shape[2:]), generator=source)
        condition = seen.condition(noise.to(seen.image.device))
        channels = seen.image.shape[1]
        generated = generate(self.net, condition[0], seen.hole[0, 0], self.patch_size, channels)
        return seen.filled(generated[None] + seen.expected(self.colours))

    def configure_optimizers(self) -> Any:
        """One optimiser over the parameters of both networks, and its schedule.

        Raises:
            ConfigError: The training has no end.
        """
        optimizer = make_optimizer(self.optimizer, self)
        steps = total_steps(self.trainer)
        return {"optimizer": optimizer, "lr_scheduler": self.scheduler(optimizer, steps)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store how to rebuild the parts, in plain types."""
        checkpoint["hyper_parameters"] = {k: v for k, v in self.recipe.items() if v is not None}


def _default_optimizer(groups: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=1e-3)
