"""What a trial runs: `experiments/run.py`, from wherever the package is installed."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="run")
@friendly
def main(cfg: DictConfig) -> None:
    """Run the experiment that the configuration describes."""
    from lightning_brats.experiment import run

    run(cfg)


if __name__ == "__main__":
    main()
