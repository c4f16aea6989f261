"""`experiments/augmentation_gallery.py`: a case under every transform and preset, as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from lightning_brats import console
from lightning_brats.data.audit import check_writable
from lightning_brats.data.cache import Cache
from lightning_brats.data.case import Case
from lightning_brats.data.entry import CachedCase
from lightning_brats.data.sources import CaseSource
from lightning_brats.errors import ConfigError
from lightning_brats.figures.style import REGION_COLOURS
from lightning_brats.gallery.applying import Applied, apply, places
from lightning_brats.gallery.items import Item, items
from lightning_brats.gallery.page import Row, row, section, write_gallery
from lightning_brats.gallery.sheet import write_sheet
from lightning_brats.gallery.views import Frame, view, view_after
from lightning_brats.gallery.words import said
from lightning_brats.labels import REGION_NAMES
from lightning_brats.parts import build
from lightning_brats.preparation import cache_root, find_source

MOST_DRAWS = 60
"""Seeds looked at for draws in which a preset does something."""


def run(cfg: DictConfig) -> Path:
    """Draw the gallery; returns the page.

    Args:
        cfg: `configs/gallery.yaml`.

    Raises:
        BratsError: Something the user can put right.
    """
    console.quieten()
    shown = items(cfg)
    check_writable(Path(cfg.output))
    source = find_source(cfg)
    case = chosen_case(source, cfg.case)
    entry = Cache(cache_root(cfg), build(cfg.preprocess).provisional).get(case)
    frame = Frame.of(entry, source.modalities, cfg.slice)
    sections = []
    with console.counting("drawing", "transforms and presets") as progress:
        for number, item in enumerate(shown):
            progress(number, len(shown))
            sections.append(_drawn(item, entry, frame, cfg))
        progress(len(shown), len(shown))
    page = write_gallery(Path(cfg.output), _context(source, case, entry, frame, sections))
    console.console.print(f"  {console.shown(page)}")
    return page


def chosen_case(source: CaseSource, name: str | None) -> Case:
    """A case by its name, or the first one.

    Raises:
        ConfigError: There is none of this name.
    """
    names = [case.case for case in source.outline()]
    if name is not None and name not in names:
        listed = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise ConfigError(f"the data have no case {name}", remedy=f"case= one of {listed}")
    return source.cases[0 if name is None else names.index(name)]


def _drawn(item: Item, entry: CachedCase, frame: Frame, cfg: DictConfig) -> dict[str, Any]:
    """A transform or preset for the page, and as a picture where pictures are wanted."""
    before = np.asarray(entry.image, np.float32), np.asarray(entry.mask)
    rows, seen, on_device = [], [("before", view(frame, *before))], []
    for label, transform, seed, one in _applied(item, entry, cfg):
        ruled: Sequence[np.ndarray] = ()
        if one.warped:
            ruled = [places(entry, transform, seed, axis) for axis in (0, 1)]
        after = view_after(frame, before, one, ruled)
        rows.append(row(label, said(one.steps, frame.modalities) if item.preset else "", after))
        seen.append((f"{label}\n{rows[-1]['note']}".strip(), after))
        on_device.append(one.on_device)
    if cfg.png:
        path, size = Path(cfg.output) / f"{item.key}.png", frame.size(entry.shape)
        write_sheet(path, item.title, seen, frame.modalities, size)
    return section(item, rows, on_device)


def _applied(
    item: Item, entry: CachedCase, cfg: DictConfig
) -> Iterator[tuple[str, Any, int, Applied]]:
    """Label, transform, seed and result of every strength, or of draws that do something."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not item.preset:
        for label, transform in item.transforms.items():
            yield label, transform, cfg.seed, apply(entry, transform, cfg.seed, device)
        return
    (transform,) = item.transforms.values()
    found = 0
    for seed in range(cfg.seed, cfg.seed + MOST_DRAWS):
        one = apply(entry, transform, seed, device)
        if said(one.steps, list(entry.meta["modalities"])) != "nothing":
            found += 1
            yield f"seed {seed}", transform, seed, one
        if found == cfg.draws:
            return


def _context(
    source: CaseSource,
    case: Case,
    entry: CachedCase,
    frame: Frame,
    sections: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    before = np.asarray(entry.image, np.float32), np.asarray(entry.mask)
    start: Row = row("", "", view(frame, *before))
    across, up = frame.size(entry.shape)
    regions = [name for name in start["outlines"] if name in REGION_COLOURS]
    return {
        "case": case.case,
        "data": source.name,
        "phantom": source.phantom,
        "shape": "×".join(str(size) for size in entry.shape),
        "spacing": "×".join(f"{size:g}" for size in dict.fromkeys(frame.spacing)),
        "slice": frame.index,
        "modalities": frame.modalities,
        "width": round(across, 1),
        "height": round(up, 1),
        "before": start,
        "regions": [(name, REGION_NAMES[name]) for name in regions],
        "sections": sections,
    }
