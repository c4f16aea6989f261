"""See and use a model in the browser: `python experiments/app.py runs=runs port=8501`."""

import hydra
from omegaconf import DictConfig

from lightning_brats.cli import CONFIGS, friendly


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="app")
@friendly
def main(cfg: DictConfig) -> None:
    """Serve the web app on this machine until Ctrl-C."""
    from lightning_brats.app.command import serve

    serve(cfg)


if __name__ == "__main__":
    main()
