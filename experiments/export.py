"""Export a trained network: `python experiments/export.py checkpoint=… format=onnx output=DIR`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="export")
@friendly
def main(cfg: DictConfig) -> None:
    """Write the network's graph, what its use takes, and its model card into one folder."""
    from lightning_brats.export.command import export

    export(cfg)


if __name__ == "__main__":
    main()
