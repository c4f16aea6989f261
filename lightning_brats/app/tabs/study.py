"""Comparison reports of whole studies."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.components.v1 import html

from lightning_brats.app.services import services

PAGE = "compare.html"
HEIGHT = 1400


def study() -> None:
    """Draw the part."""
    found = find_reports(services().runs)
    if not found:
        st.info(
            "No comparison was found beside the runs or among them. "
            "`python experiments/compare.py runs=runs output=runs/comparison` makes one."
        )
        return
    titles = list(found)
    chosen = st.selectbox("Report", titles)
    page = found[chosen].read_text(encoding="utf-8")
    st.download_button("Download", page, "compare.html", "text/html", on_click="ignore")
    html(page, height=HEIGHT, scrolling=True)


def find_reports(runs: Path) -> dict[str, Path]:
    """Folder → its comparison report: below the folder of runs, and beside it; newest first."""
    pages = {*runs.rglob(PAGE), *runs.parent.glob(f"*/{PAGE}")}
    ordered = sorted(pages, key=lambda page: -page.stat().st_mtime)
    return {str(page.parent.relative_to(runs.parent)): page for page in ordered}
