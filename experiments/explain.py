"""Explain a segmentation: `python experiments/explain.py checkpoint=… input=CASE output=DIR`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="explain")
@friendly
def main(cfg: DictConfig) -> None:
    """Write where the network looked, what each modality contributed, pictures and a page."""
    from lightning_brats.explain.command import explain

    explain(cfg)


if __name__ == "__main__":
    main()
