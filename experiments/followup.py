"""Follow a patient: `python experiments/followup.py 'input=[VISIT1,VISIT2]' output=DIR`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="followup")
@friendly
def main(cfg: DictConfig) -> None:
    """Write volumes and growth by region, change maps, pictures and a page."""
    from lightning_brats.followup.command import run

    run(cfg)


if __name__ == "__main__":
    main()
