"""The files of a comparison."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from lightning_brats.comparison.result import FRAMES, Comparison
from lightning_brats.comparison.tables import PaperTable
from lightning_brats.comparison.verdict import joined


def write_files(comparison: Comparison, folder: Path) -> list[str]:
    """Write `verdict.md`, `table.md`, `table.tex`, `table.csv`, the tables, and `comparison.json`.

    Returns:
        Names of the files made for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = PaperTable.of(comparison)
    texts = {
        "verdict.md": _verdict(comparison),
        "table.md": table.markdown(),
        "table.tex": table.latex(),
        "comparison.json": json.dumps(as_json(comparison), indent=1) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    table.frame().to_csv(folder / "table.csv", index=False)
    for name in FRAMES:
        getattr(comparison, name).to_csv(folder / f"{name}.csv", index=False)
    return ["verdict.md", "table.md", "table.tex", "pairs.csv"]


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything but scores and curves, which have tables of their own, as plain JSON values."""
    frames = [name for name in FRAMES if name not in ("scores", "histories")]
    return {
        "choices": list(comparison.choices),
        "baseline": comparison.baseline,
        "warnings": list(comparison.warnings),
        "notes": list(comparison.notes),
        "verdicts": list(comparison.verdicts),
        "critical": _plain(dict(comparison.critical)),
        "settings": asdict(comparison.settings),
        "entries": [
            {
                "name": entry.name,
                "folder": str(entry.folder),
                "choice": entry.choice,
                "seed": entry.seed,
                "fold": entry.fold,
            }
            for entry in comparison.entries
        ],
        **{name: _records(getattr(comparison, name)) for name in frames},
    }


def _verdict(comparison: Comparison) -> str:
    parts = [f"# {', '.join(comparison.choices)}\n", joined(comparison.verdicts)]
    for title, sentences in (("Beware", comparison.warnings), ("Methods", comparison.notes)):
        if sentences:
            parts.append(f"## {title}\n\n{joined(sentences)}")
    return "\n".join(parts)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [_plain(row) for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: unknown is `null`, infinite the word."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "infinite"
    return value
