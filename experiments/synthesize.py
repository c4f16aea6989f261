"""New cases from masks: `python experiments/synthesize.py checkpoint=RUN count=20 output=DIR`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="synthesize")
@friendly
def main(cfg: DictConfig) -> None:
    """Write synthetic cases in BraTS layout, marked as such."""
    from lightning_brats.synthesis.command import run

    run(cfg)


if __name__ == "__main__":
    main()
