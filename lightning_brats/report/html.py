"""From a template and what it shows to one HTML file that needs no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from lightning_brats.figures.style import REGION_COLOURS


def write_page(path: Path, template: str, context: Mapping[str, Any]) -> Path:
    """Render a template that extends `page.html.j2`; texts are escaped."""
    environment = Environment(
        loader=PackageLoader("lightning_brats"), autoescape=True, undefined=StrictUndefined
    )
    shared = {"colours": REGION_COLOURS, "plotly": Markup(get_plotlyjs())}
    page = environment.get_template(template).render(**shared, **context)
    path.write_text(page, encoding="utf-8")
    return path


def embedded(png: Path) -> str:
    """A picture as the address of itself."""
    return "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode()


def as_json(figure: go.Figure) -> Markup:
    """A figure as JSON; Plotly spells `<` as a code, so no text in it can end the `<script>`."""
    return Markup(figure.to_json())
