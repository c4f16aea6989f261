"""Segment new cases: `python experiments/predict.py checkpoint=… input=DIR output=DIR`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="predict")
@friendly
def main(cfg: DictConfig) -> None:
    """Write a mask for every case on its own grid, and a table of volumes and expected Dice."""
    from lightning_brats.prediction import predict

    predict(cfg)


if __name__ == "__main__":
    main()
