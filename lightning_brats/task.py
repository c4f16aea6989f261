"""The Lightning module: what one training step, one validation volume and one prediction are.

It knows tensors, not files. Shapes: `B` batch, `C` modalities, `K` outputs (regions, or background
and labels), `R` regions, `px py pz` a patch, `x y z` a whole cropped volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_brats.clock import total_steps
from lightning_brats.errors import ConfigError
from lightning_brats.inference import SlidingWindow
from lightning_brats.labels import REGIONS, TISSUES
from lightning_brats.losses import DeepSupervision, dice_ce
from lightning_brats.optim import make_optimizer, mark_decaying, poly
from lightning_brats.parts import build

Head = Literal["regions", "labels"]
Part = Mapping[str, Any]
"""A part described by a config with `_target_`, instead of the built part."""


class SegmentationTask(pl.LightningModule):
    """Trains one network.

    Every part may be given built, or as its config (a mapping with `_target_`). Parts given as
    configs, and networks that carry their `config`, are stored in the checkpoint, so that
    `load_from_checkpoint(path)` needs nothing else.

    Args:
        net: (B, C, ...) → logits (B, K, ...), or a list of them, finest first (deep supervision).
            Slices with neighbours have a channel for each slice of each modality.
        loss: (logits, target) → scalar; Dice + cross-entropy when not given.
        head: `regions`, one sigmoid a region, or `labels`, a softmax over background and labels.
        regions: Regions to train and validate.
        optimizer: Called with parameter groups; AdamW when not given.
        scheduler: Called with (optimizer, total_steps); polynomial decay when not given.
        inference: Sliding window for whole volumes.
        context: Plain facts for whoever loads the weights (modalities, coding, preprocessing).
    """

    def __init__(
        self,
        net: nn.Module | Part,
        loss: nn.Module | Part | None = None,
        head: Head = "regions",
        regions: Sequence[str] = ("WT", "TC", "ET"),
        optimizer: Any = None,
        scheduler: Any = None,
        inference: SlidingWindow | Part | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.head, self.regions, self.context = head, tuple(regions), dict(context or {})
        self.recipe = {
            "net": _config(net),
            "loss": _config(loss),
            "head": head,
            "regions": list(regions),
            "optimizer": _config(optimizer),
            "scheduler": _config(scheduler),
            "inference": _config(inference),
            "context": self.context,
        }
        self.net: nn.Module = build(net)
        mark_decaying(self.net)
        built = build(loss, head=head) or dice_ce(head=head)
        self.loss = built if isinstance(built, DeepSupervision) else DeepSupervision(built)
        self.optimizer = build(optimizer) or _default_optimizer
        self.scheduler = build(scheduler) or poly
        self.inference: SlidingWindow = build(inference) or SlidingWindow((48, 48, 48))
        self.spatial_dims = _spatial_dims(self.net)
        table = torch.zeros(len(self.regions), len(TISSUES), dtype=torch.bool)
        for row, region in enumerate(self.regions):
            table[row, list(REGIONS[region])] = True
        self._membership: Tensor
        self.register_buffer("_membership", table, persistent=False)
        self._scores: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Logits (B, K, px, py, pz) of patches (B, C, px, py, pz).

        Two-dimensional networks take patches with one axis of length 1, whichever it is.

        Raises:
            ConfigError: A two-dimensional network was given anything else.
        """
        if self.spatial_dims == 3:
            return self.net(image)
        thin = [axis for axis, size in enumerate(image.shape) if axis >= 2 and size == 1]
        if len(thin) != 1:
            raise ConfigError(
                f"a 2-D network was given patches of {tuple(image.shape[2:])}",
                remedy="make exactly one axis 1, as in queue.patch_size=[192,192,1] and "
                "inference.patch_size=[192,192,1]",
            )
        axis = thin[0] - image.ndim  # from the end, which holds for stacked outputs as well
        logits = self.net(image.squeeze(axis))
        if isinstance(logits, Tensor):
            return logits.unsqueeze(axis)
        return [level.unsqueeze(axis) for level in logits]

    def target(self, mask: Tensor) -> Tensor:
        """Internal labels (B, 1, ...) → what the loss wants: (B, R, ...) bool, or the labels."""
        if self.head == "labels":
            return mask
        return self.region_masks(mask[:, 0])

    def region_masks(self, labels: Tensor) -> Tensor:
        """Internal labels (B, ...) → (B, R, ...) bool."""
        return self._membership[:, labels.long()].transpose(0, 1)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of one batch of patches."""
        logits = self(batch["image"].float())
        loss = self.loss(logits, self.target(batch["mask"]))
        self.log(
            "train/loss",
            loss.detach(),
            on_step=False,
            on_epoch=True,
            batch_size=len(batch["image"]),
            sync_dist=self.trainer.world_size > 1,
        )
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Dice of each region of one whole volume."""
        probabilities = self.probabilities(batch["image"])
        predicted = self._thresholded(probabilities)
        reference = self.region_masks(batch["mask"][:, 0].to(predicted.device))[0]
        if batch.get("counted", True):
            self._scores.append(_dice(predicted, reference))

    def on_validation_epoch_end(self) -> None:
        """Log the mean Dice over all ranks' volumes."""
        self._log_scores("val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """As in validation, under `test/`; a run's report scores the saved masks instead."""
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log the mean Dice over all ranks' volumes."""
        self._log_scores("test")

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Probabilities (K, x, y, z) of one whole volume."""
        return self.probabilities(batch["image"])

    def probabilities(self, image: Tensor) -> Tensor:
        """Probabilities (K, x, y, z) of a volume (1, C, x, y, z), by sliding window."""
        return self.inference(self, image[0].to(self.device), head=self.head)

    def configure_optimizers(self) -> Any:
        """Optimiser over parameter groups, and its schedule.

        Raises:
            ConfigError: The training has no end.
        """
        optimizer = make_optimizer(self.optimizer, self.net)
        steps = total_steps(self.trainer)
        return {"optimizer": optimizer, "lr_scheduler": self.scheduler(optimizer, steps)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store how to rebuild the parts, in plain types."""
        checkpoint["hyper_parameters"] = {k: v for k, v in self.recipe.items() if v is not None}

    def _log_scores(self, stage: str) -> None:
        total = torch.zeros(len(self.regions) + 1, device=self.device)
        for scores in self._scores:
            total[:-1] += scores.to(self.device)
            total[-1] += 1
        self._scores = []
        total = self.trainer.strategy.reduce(total, reduce_op="sum")
        means = total[:-1] / total[-1]
        values = dict(zip((f"{stage}/dice_{r}" for r in self.regions), means, strict=True))
        # Equal on all ranks already; said all the same, because Lightning cannot know.
        shared = self.trainer.world_size > 1
        self.log_dict({**values, f"{stage}/dice_mean": means.mean()}, sync_dist=shared)

    def _thresholded(self, probabilities: Tensor) -> Tensor:
        if self.head == "labels":
            return self.region_masks(probabilities.argmax(0)[None])[0]
        return probabilities > 0.5


def _dice(predicted: Tensor, reference: Tensor) -> Tensor:
    """Dice of (R, ...) bool masks; 1 where both are empty."""
    predicted, reference = predicted.flatten(1), reference.flatten(1)
    total = predicted.sum(1) + reference.sum(1)
    both = (predicted & reference).sum(1)
    return torch.where(total > 0, 2 * both / total.clamp(min=1), torch.ones_like(both).float())


def _config(part: Any) -> dict[str, Any] | None:
    if isinstance(part, Mapping):
        return dict(part)
    return getattr(part, "config", None)


def _default_optimizer(groups: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=5e-3)


def _spatial_dims(net: nn.Module) -> int:
    """2 or 3, from the first convolution's kernel."""
    weights = (p for p in net.parameters() if p.dim() in (4, 5))
    return next((w.dim() - 2 for w in weights), 3)
