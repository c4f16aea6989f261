"""Build a W&B workspace and report: `python experiments/dashboard.py project=lightning_brats`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="dashboard")
@friendly
def main(cfg: DictConfig) -> None:
    """Send the views of a comparison to W&B, or write down offline what would be sent."""
    from lightning_brats.dashboard.command import run

    run(cfg)


if __name__ == "__main__":
    main()
