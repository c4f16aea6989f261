"""Where a study stands, live: `python sweeps/status.py sweep=architectures`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import friendly

CONFIGS = "pkg://lightning_brats.sweeps.configs"


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="run")
@friendly
def main(cfg: DictConfig) -> None:
    """Show a study's trials; watch=false prints them once."""
    from lightning_brats.sweeps.command import status

    status(cfg)


if __name__ == "__main__":
    main()
