"""Settings that do not go together are refused before anything is trained."""

from __future__ import annotations

import pytest
from omegaconf import DictConfig

from lightning_brats.compatible import check_compatible
from lightning_brats.errors import ConfigError
from lightning_brats.experiment import configure

FSDP = ("trainer.strategy=fsdp", "trainer.gradient_clip_val=null")


def config(*overrides: str) -> DictConfig:
    return configure("model=unet", *overrides)


@pytest.mark.parametrize(
    ("overrides", "remedies"),
    [
        (("trainer.gradient_clip_val=1",), ["gradient_clip_val=null"]),
        (("trainer.ema=0.999",), ["trainer.ema=null"]),
        (("trainer.compile=true",), ["trainer.compile=false"]),
        (("model=seg_gan",), ["trainer.strategy=ddp"]),
        (("model=mask2mri",), ["trainer.strategy=ddp"]),
        (
            ("trainer.gradient_clip_val=1", "trainer.ema=0.9", "trainer.strategy=fsdp_cpu_offload"),
            ["trainer.ema=null", "gradient_clip_val=null"],
        ),
    ],
)
def test_what_shares_of_weights_do_not_allow(
    overrides: tuple[str, ...], remedies: list[str]
) -> None:
    with pytest.raises(ConfigError, match="leaves each process a share") as error:
        check_compatible(config(*FSDP, *overrides))
    assert error.value.remedy is not None
    assert all(remedy in error.value.remedy for remedy in remedies)
    assert error.value.remedy.count(";") == len(remedies) - 1


def test_what_shares_of_weights_allow() -> None:
    check_compatible(config(*FSDP))
    by_value = "+trainer.gradient_clip_algorithm=value"
    check_compatible(config("trainer.strategy=fsdp", by_value))
    check_compatible(config("trainer.strategy=ddp", "trainer.ema=0.999", "trainer.compile=true"))


def test_batch_norms_that_run_twice_are_not_compiled() -> None:
    both = ("trainer.compile=true", "trainer.recompute=true")
    with pytest.raises(ConfigError, match=r"batch norms[\s\S]*trainer\.recompute=false"):
        check_compatible(config(*both, "model.norm=batch"))
    check_compatible(config(*both))
    check_compatible(config("trainer.recompute=true", "model.norm=batch"))
    check_compatible(config("trainer.compile=true", "model.norm=batch"))
