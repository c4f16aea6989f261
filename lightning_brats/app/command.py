"""`experiments/app.py`: serve the app on this machine."""

from __future__ import annotations

import ipaddress
import socket
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from lightning_brats.app.settings import Settings
from lightning_brats.errors import ConfigError

PAGE = Path(__file__).with_name("page.py")
LOCAL = "127.0.0.1"


def serve(cfg: DictConfig) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        cfg: `configs/app.yaml`.

    Raises:
        ConfigError: Streamlit is missing, the port is taken, or a setting cannot be.
    """
    if find_spec("streamlit") is None:
        raise ConfigError("the app needs Streamlit", remedy="pip install -e '.[app]'")
    runs = Path(cfg.runs).expanduser().absolute()
    chosen = Settings(str(runs), int(cfg.upload_mb), int(cfg.waiting), int(cfg.results))
    _check(cfg, chosen)
    where = f"http://{'localhost' if cfg.address == LOCAL else cfg.address}:{cfg.port}"
    print(f"the app runs at {where}; Ctrl-C stops it", flush=True)
    if not _is_local(cfg.address):
        print(
            f"address={cfg.address}: everybody who reaches this machine can use the app, without a "
            "password",
            flush=True,
        )
    from streamlit.web import cli

    GlobalHydra.instance().clear()  # the page composes configurations of its own
    import_module("lightning_brats.app.services")  # once now, instead of at the first visit
    arguments = ["run", str(PAGE), *_flags(cfg), "--", chosen.to_argument()]
    cli.main(arguments, standalone_mode=False)


def _flags(cfg: DictConfig) -> list[str]:
    flags = {
        "server.address": cfg.address,
        "server.port": cfg.port,
        "server.headless": not cfg.browser,
        "server.maxUploadSize": cfg.upload_mb,
        "server.maxMessageSize": 1000,
        "server.fileWatcherType": "none",
        "server.disconnectedSessionTTL": 30,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "global.developmentMode": False,
        "theme.primaryColor": "#0b6e99",
        "logger.level": "warning",
    }
    return [f"--{name}={str(value).lower()}" for name, value in flags.items()]


def _check(cfg: DictConfig, chosen: Settings) -> None:
    for name in ("upload_mb", "waiting", "results"):
        if getattr(chosen, name) < 1:
            raise ConfigError(f"{name}={getattr(chosen, name)}: must be 1 or more")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((cfg.address, int(cfg.port)))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"the app cannot listen at {cfg.address}:{cfg.port} ({error})",
                remedy="choose another port, such as port=8502, or an address of this machine",
            ) from error


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
