"""What each augmentation does to a case, as one page: `experiments/augmentation_gallery.py`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="gallery")
@friendly
def main(cfg: DictConfig) -> None:
    """Draw a case before and after every transform and preset."""
    from lightning_brats.gallery.command import run

    run(cfg)


if __name__ == "__main__":
    main()
