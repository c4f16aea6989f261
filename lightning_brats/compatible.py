"""Settings of the trainer that do not go together, refused before training."""

from __future__ import annotations

from omegaconf import DictConfig

from lightning_brats.adversarial import is_adversarial
from lightning_brats.errors import ConfigError
from lightning_brats.synthesis.building import synthesises


def check_compatible(cfg: DictConfig) -> None:
    """Refuse what would fail in the first steps, or quietly do something else.

    Args:
        cfg: Of a run.

    Raises:
        ConfigError: Such settings.
    """
    _check_recomputed(cfg)
    if str(cfg.trainer.strategy).startswith("fsdp"):
        _check_sharded(cfg)


def _check_recomputed(cfg: DictConfig) -> None:
    """Running averages must not see a batch twice; what holds them back cannot be compiled."""
    net = cfg.model.get("generator") or cfg.model
    if cfg.trainer.recompute and cfg.trainer.compile and net.get("norm") == "batch":
        raise ConfigError(
            "trainer.compile cannot compile blocks with batch norms that trainer.recompute=true "
            "runs twice",
            remedy="trainer.recompute=false, trainer.compile=false, or another norm, such as "
            "model.norm=instance",
        )


def _check_sharded(cfg: DictConfig) -> None:
    """FSDP leaves each process a share of the weights and of their gradients."""
    trainer = cfg.trainer
    by_norm = (trainer.get("gradient_clip_algorithm") or "norm") == "norm"
    clipping = f"trainer.gradient_clip_val={trainer.gradient_clip_val}"
    refused = {
        "trainer.ema averages whole weights": (trainer.ema, "trainer.ema=null"),
        "trainer.compile tries the network as a whole": (trainer.compile, "trainer.compile=false"),
        f"{clipping} clips by the norm of all gradients": (
            trainer.gradient_clip_val and by_norm,
            "trainer.gradient_clip_val=null, or trainer.gradient_clip_algorithm=value",
        ),
        f"model={cfg.model_name} trains two networks": (
            is_adversarial(cfg.model) or synthesises(cfg),
            "trainer.strategy=ddp",
        ),
    }
    found = [(problem, remedy) for problem, (given, remedy) in refused.items() if given]
    if found:
        problems, remedies = zip(*found, strict=True)
        raise ConfigError(
            f"trainer.strategy={trainer.strategy} leaves each process a share of the weights; "
            + "; ".join(problems),
            remedy="; ".join(remedies),
        )
