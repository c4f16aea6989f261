"""A classical segmenter, scored as a network is: `python experiments/baseline.py method=kmeans`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="baseline")
@friendly
def main(cfg: DictConfig) -> None:
    """Fit, segment, score and report, without a GPU or a network."""
    from lightning_brats.baselines.command import run

    run(cfg)


if __name__ == "__main__":
    main()
