"""Prepare a data set for all later runs: `python experiments/prepare.py data.root=/path`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="prepare")
@friendly
def main(cfg: DictConfig) -> None:
    """Index, check, preprocess and cache every case in parallel, and write an audit."""
    from lightning_brats.preparation_command import run

    run(cfg)


if __name__ == "__main__":
    main()
