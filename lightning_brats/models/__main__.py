"""`python -m lightning_brats.models` prints what every network of `configs/model` costs."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table

import lightning_brats
from lightning_brats.models import SIZES, describe

CONFIGS = Path(lightning_brats.__file__).parent / "configs"
PATCH = (4, 128, 128, 128)  # four modalities, the usual patch of BraTS winners
REGIONS = 3


def main() -> None:
    """Print one row a config, and one for each other size of the U-Net."""
    table = Table(title=f"One patch of {'×'.join(map(str, PATCH))}, {REGIONS} regions")
    table.add_column("model", no_wrap=True)
    for heading in ("parameters", "GFLOP forward", "GiB to train, fp32"):
        table.add_column(heading, justify="right")
    rows = [(path.stem, "") for path in sorted((CONFIGS / "model").glob("*.yaml"))]
    rows += [("unet", f"model.size={size}") for size in SIZES if size != "small"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for name, override in rows:
            cfg = compose(f"model/{name}", overrides=[override] if override else [])
            net = instantiate(
                cfg.model, in_channels=PATCH[0], out_channels=REGIONS, _convert_="all"
            )
            cost = describe(net, PATCH)
            table.add_row(
                f"{name} {override}".strip(),
                f"{cost['parameters']:,}",
                f"{cost['gflops']:,.0f}",
                f"{cost['activation_gib']:.1f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
