"""NiiVue in the page: its script is the one that comes with nilearn, so nothing is fetched.

Hanayik et al., NiiVue, https://github.com/niivue/niivue (BSD-2).
"""

from __future__ import annotations

import shutil
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from lightning_brats.app.drawing import Drawn, specify
from lightning_brats.errors import ConfigError

SCRIPT = "niivue.umd.js"


def static_folder(parent: Path) -> Path:
    """Make the folder that the browser loads the viewer from.

    Args:
        parent: Exists as long as the app runs.

    Raises:
        ConfigError: The installed nilearn has no NiiVue.
    """
    folder = parent / "viewer"
    if (folder / SCRIPT).is_file():
        return folder
    script = files("nilearn").joinpath("_assets", "js", SCRIPT)
    if not script.is_file():
        raise ConfigError(
            "nilearn's copy of NiiVue was not found", remedy="pip install -U 'nilearn>=0.13'"
        )
    folder.mkdir(exist_ok=True)
    for own in files("lightning_brats.app").joinpath("static").iterdir():
        (folder / own.name).write_bytes(own.read_bytes())
    partial = folder / f".{SCRIPT}"
    with script.open("rb") as source, partial.open("wb") as target:
        shutil.copyfileobj(source, target)
    partial.replace(folder / SCRIPT)
    return folder


@cache
def _component(folder: Path) -> Any:
    from streamlit.components.v1 import declare_component

    return declare_component("niivue", path=str(folder))


def show(
    folder: Path, name: str, panels: dict[str, Drawn], regions: tuple[str, ...]
) -> dict[str, str] | None:
    """Show one result, or two side by side and synchronised.

    Args:
        folder: From `static_folder`.
        name: Of what is shown; the browser loads anew when it changes.
        panels: Title → result.
        regions: That can be switched.

    Returns:
        `failed` → reason where the browser cannot show it, else `None`.
    """
    first = next(iter(panels.values()))
    data = {**first.images.data}
    for drawn in panels.values():
        data |= drawn.masks.data
    key = f"viewer-{len(panels)}"
    return _component(folder)(spec=specify(name, panels, regions), key=key, default=None, **data)
