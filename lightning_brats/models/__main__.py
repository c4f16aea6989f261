"""`python -m lightning_brats.models` prints what every network of `configs/model` costs.

`--markdown` prints the table for a README.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import lightning_brats
from lightning_brats.errors import ConfigError
from lightning_brats.models import SIZES, Cost, describe

CONFIGS = Path(lightning_brats.__file__).parent / "configs"
PATCHES = {3: (4, 128, 128, 128), 2: (4, 192, 192)}  # four modalities, usual edges
REGIONS = 3
SYNTHESIS = "lightning_brats.synthesis."
"""Of what makes images: it has other inputs and outputs, and no region."""
HEADINGS = ("parameters", "GFLOP", "GiB", "GFLOP 2-D", "GiB 2-D")
TITLE = (
    "One training patch of {} (in 2-D {}), four modalities, three regions: arithmetic forward, "
    "and activations kept for the backward pass in single precision"
)


def main(arguments: list[str] | None = None) -> None:
    """Print one row a config, and one for each other size of the U-Net."""
    parser = argparse.ArgumentParser(prog="python -m lightning_brats.models")
    parser.add_argument("--markdown", action="store_true", help="for a README")
    markdown = parser.parse_args(arguments).markdown
    title = TITLE.format(*("×".join(map(str, patch[1:])) for patch in PATCHES.values()))
    missing: list[str] = []
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        found = list(rows(missing))
    if markdown:
        lines = [("model", *HEADINGS), ("---", *["---:"] * len(HEADINGS))]
        lines += [(f"`{name}`", *cells) for name, *cells in found]
        print(f"{title}.\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    else:
        table = Table(title=title, box=SIMPLE_HEAD)
        table.add_column("model", no_wrap=True)
        for heading in HEADINGS:
            table.add_column(heading, justify="right", no_wrap=True)
        for row in found:
            table.add_row(*row)
        Console().print(table)
    print(*missing, sep="\n", end="", file=sys.stderr)


def rows(missing: list[str]) -> Iterator[tuple[str, ...]]:
    """Name and five cells for each network; a dash where it has no 2-D form.

    Args:
        missing: Filled with a line for each network whose package is not installed.
    """
    for name in sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml")):
        for size in SIZES if name == "unet" else [""]:
            overrides = [f"model.size={size}"] if size else []
            model = compose(f"model/{name}", overrides=overrides).model
            if model._target_.startswith(SYNTHESIS):
                continue
            try:
                volume = cost(model, 3)
            except InstantiationException as error:
                if not isinstance(error.__cause__, ConfigError):
                    raise
                missing.append(f"{name} is left out: {error.__cause__}\n")
                continue
            flat = ("–", "–")
            if "spatial_dims" in model:
                model.spatial_dims = 2
                flat = _cells(cost(model, 2))
            label = f"{name} size={size}" if size else name
            yield (label, f"{volume['parameters']:,}", *_cells(volume), *flat)


def cost(model: DictConfig, spatial_dims: int) -> Cost:
    """Of the network that a config describes, on one patch of so many dimensions."""
    patch = PATCHES[spatial_dims]
    net = instantiate(model, in_channels=patch[0], out_channels=REGIONS, _convert_="all")
    return describe(net, patch)


def _cells(found: Cost) -> tuple[str, str]:
    digits = 0 if found["gflops"] >= 10 else 1
    return f"{found['gflops']:,.{digits}f}", f"{found['activation_gib']:.2f}"


if __name__ == "__main__":
    main()
