"""Many runs as one study: `python sweeps/run.py sweep=architectures workers=4`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import friendly

CONFIGS = "pkg://lightning_brats.sweeps.configs"


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="run")
@friendly
def main(cfg: DictConfig) -> None:
    """Compare or search as the configuration describes, or go on with it."""
    from lightning_brats.sweeps.command import run

    run(cfg)


if __name__ == "__main__":
    main()
