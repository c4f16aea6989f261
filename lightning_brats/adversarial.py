"""Training a network against a discriminator of its masks.

Each step is one of both networks, taken from where the other stood before it (simultaneous
gradient descent, Mescheder et al. 2017). So one pass of the generator does, and one backward pass
of all losses, of which each reaches only the network that it is for; that is what lets it train
on several GPUs, in 16 bits and within little memory.

Shapes: `B` batch, `C` modalities, `K` outputs, `px py pz` a patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_brats.clock import share_done, total_steps
from lightning_brats.errors import ConfigError
from lightning_brats.losses.terms import probabilities
from lightning_brats.models import SegGAN
from lightning_brats.models.gan import frozen
from lightning_brats.optim import make_optimizer
from lightning_brats.task import Part, SegmentationTask

CLIPPING = ("gradient_clip_val", "gradient_clip_algorithm")
"""Settings of Lightning's trainer that this task takes instead."""
TARGET = "lightning_brats.models.SegGAN"


class AdversarialTask(SegmentationTask):
    """Trains a `SegGAN`; in everything but training it is a `SegmentationTask`.

    `train/loss` is the segmentation loss, as elsewhere; `train/loss_adversarial`, unweighted, and
    `train/loss_discriminator` stand beside it.

    Args:
        net: A `SegGAN`.
        clipping: `gradient_clip_val` and `gradient_clip_algorithm`, as Lightning's trainer takes
            them where it optimises by itself; each network's gradients are clipped for themselves.
        parts: All else that a `SegmentationTask` takes.

    Raises:
        ConfigError: The network has no discriminator.
    """

    def __init__(
        self, net: nn.Module | Part, clipping: Mapping[str, Any] | None = None, **parts: Any
    ) -> None:
        super().__init__(net, **parts)
        if not isinstance(self.net, SegGAN):
            raise ConfigError(f"{type(self.net).__name__} has no discriminator to train against")
        self.automatic_optimization = False
        self.clipping = dict(clipping or {})
        self._steps = 1

    @property
    def gan(self) -> SegGAN:
        """The network."""
        assert isinstance(self.net, SegGAN)
        return self.net

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step of both networks; the segmentation loss of one batch of patches."""
        image, target = batch["image"].float(), self.target(batch["mask"])
        logits = self(image)
        loss = self.loss(logits, target)
        adversarial, discriminator = self.judged(image, _finest(logits, image), target)
        weight = self.gan.adversary.weight_at(share_done(self.trainer, self._steps))
        self.manual_backward(loss + weight * adversarial + discriminator)
        generator, _ = self._wrapped()
        generator.step()  # and the discriminator's, in `on_before_optimizer_step`
        self.zero_grad()
        for schedule in self._schedules():
            schedule.step()
        self._log_losses(
            {"": loss, "_adversarial": adversarial, "_discriminator": discriminator}, len(image)
        )
        return loss.detach()

    def judged(self, image: Tensor, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The adversarial losses of the generator and of the discriminator.

        The gradient of the first reaches the generator alone, that of the second the discriminator.

        Args:
            image: (B, C, px, py, pz).
            logits: Of the generator, (B, K, px, py, pz).
            target: What the segmentation loss compares them with.
        """
        gan, adversary = self.gan, self.gan.adversary
        real = adversary.shown(target, self.head, logits.shape[1])
        fake = probabilities(self.head, logits.float())
        with frozen(gan.discriminator):
            heard = adversary.generator_loss(gan.judge(image, fake))
        both = gan.judge(torch.cat((image, image)), torch.cat((real, fake.detach())))
        return heard, adversary.discriminator_loss(*both.chunk(2))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip, and let the discriminator step with the generator.

        Callbacks have seen all gradients by now. With fp16 the scale was the same for both, and
        changes when the generator has stepped.
        """
        discriminator, scaler = self.trainer.optimizers[1], self.trainer.scaler
        if scaler is not None:
            scaler.unscale_(discriminator)
        for one in (optimizer, discriminator):
            self.clip_gradients(one, **self.clipping)
        if scaler is not None:
            scaler.step(discriminator)
            return
        if hasattr(optimizer, "found_inf"):  # a fused step that is to be left out
            discriminator.found_inf = optimizer.found_inf  # type: ignore[attr-defined]
        discriminator.step()

    def configure_optimizers(self) -> Any:
        """The generator's optimiser and the discriminator's, under the same kind of schedule.

        Raises:
            ConfigError: The schedule follows a score, all of a network is frozen, or the training
                has no end.
        """
        self._steps = total_steps(self.trainer)
        gan, found = self.gan, []
        for factory, module in (
            (self.optimizer, gan.generator),
            (gan.adversary.optimizer, gan.discriminator),
        ):
            if not any(parameter.requires_grad for parameter in module.parameters()):
                raise ConfigError(
                    f"every parameter of the {type(module).__name__} is frozen",
                    remedy="freeze parts of the generator alone, as in freeze=['generator.enc*']",
                )
            optimizer = make_optimizer(factory, module)
            schedule = self.scheduler(optimizer, self._steps)
            if schedule["interval"] != "step":
                raise ConfigError(
                    "a network with a discriminator cannot train by a schedule that follows scores",
                    remedy="scheduler=poly, cosine, one_cycle or constant",
                )
            found.append({"optimizer": optimizer, "lr_scheduler": schedule})
        return found

    def _wrapped(self) -> list[Any]:
        found = self.optimizers()
        assert isinstance(found, list)
        return found

    def _schedules(self) -> list[Any]:
        found = self.lr_schedulers()
        assert isinstance(found, list)
        return found

    def _log_losses(self, losses: Mapping[str, Tensor], batch_size: int) -> None:
        self.log_dict(
            {f"train/loss{name}": value.detach() for name, value in losses.items()},
            on_step=False,
            on_epoch=True,
            batch_size=batch_size,
            sync_dist=self.trainer.world_size > 1,
        )


def is_adversarial(model: Mapping[str, Any]) -> bool:
    """Whether a network's configuration has a discriminator."""
    return model.get("_target_") == TARGET


def check_trainer(trainer: Mapping[str, Any]) -> None:
    """Refuse what Lightning does by itself and this task does not do by hand.

    Args:
        trainer: The configuration's group.

    Raises:
        ConfigError: Such a setting.
    """
    if trainer["accumulate_grad_batches"] != 1:
        raise ConfigError(
            f"trainer.accumulate_grad_batches={trainer['accumulate_grad_batches']}: a network with "
            "a discriminator steps after every batch",
            remedy="trainer.accumulate_grad_batches=1; trainer.recompute=true makes room for a "
            "larger queue.batch_size",
        )
    if trainer["auto_fit"]:
        raise ConfigError(
            "trainer.auto_fit=true counts a network without its discriminator",
            remedy="trainer.auto_fit=false, and give queue.patch_size and queue.batch_size",
        )


def _finest(logits: Any, image: Tensor) -> Tensor:
    """The output at full size of a deeply supervised network."""
    if not isinstance(logits, Tensor):
        return logits[0]
    return logits[:, 0] if logits.ndim > image.ndim else logits
