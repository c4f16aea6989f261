"""Compare choices: `python experiments/compare.py 'runs=[runs/unet,runs/attention_unet]'`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="compare")
@friendly
def main(cfg: DictConfig) -> None:
    """Say which choice is better, by how much, and how sure that is; write tables and a page."""
    from lightning_brats.comparison.command import run

    run(cfg)


if __name__ == "__main__":
    main()
