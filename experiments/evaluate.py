"""Score masks: `python experiments/evaluate.py predictions=DIR references=DIR`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="evaluate")
@friendly
def main(cfg: DictConfig) -> None:
    """Score a folder of masks against references; write a tidy table and a summary."""
    from lightning_brats.evaluation.command import run

    run(cfg)


if __name__ == "__main__":
    main()
