"""Parts from configs, and which of them a file from elsewhere may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from lightning_brats.errors import ConfigError
from lightning_brats.parts import check_arguments, check_stored

FILE = Path("best.ckpt")


class Own(nn.Module):
    """Somebody's network."""


@pytest.mark.parametrize(
    "target",
    [
        "lightning_brats.models.UNet",
        "lightning_brats.models.nnunet.plain_conv_unet",
        "lightning_brats.inference.SlidingWindow",
        "monai.networks.nets.UNet",
        "torch.optim.Adam",
        f"{__name__}.Own",
    ],
)
def test_networks_may_be_built(target: str) -> None:
    check_stored({"net": {"_target_": target, "parts": [{"width": 8}]}}, FILE)


@pytest.mark.parametrize(
    "target", ["os.system", "subprocess.Popen", "builtins.eval", "torch.load", "torch.hub.load"]
)
def test_anything_else_may_not(target: str) -> None:
    hidden = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": target, "command": "x"}]}
    with pytest.raises(ConfigError, match=rf"asks for {target}"):
        check_stored({"net": hidden}, FILE)


def test_what_is_not_installed_may_not() -> None:
    with pytest.raises(ConfigError, match="can be imported here"):
        check_stored({"net": {"_target_": "no_such_package.Net"}}, FILE)


def test_settings_that_a_part_does_not_take_are_told_before_any_work() -> None:
    own = {"_target_": "lightning_brats.losses.ce", "batch": True}
    remedy = r"losses\.ce, which takes no batch[\s\S]*'~loss\.batch'"
    with pytest.raises(ConfigError, match=remedy):
        check_arguments({"loss": own}, ["loss"])


def test_parts_without_a_target_or_with_open_arguments_pass() -> None:
    free = {"_target_": "lightning_brats.errors.ConfigError"}
    check_arguments(
        {"model": None, "loss": {"_target_": "no.such"}, "other": free}, ["model", "loss"]
    )
