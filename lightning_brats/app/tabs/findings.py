"""Volumes, doubts and downloads of a result."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lightning_brats.app.report import region_rows, voxel_rows, write_report
from lightning_brats.app.scoring import Comparison
from lightning_brats.app.segmenting import Result
from lightning_brats.app.services import services, session
from lightning_brats.app.tabs.shared import show_error, trained
from lightning_brats.app.uploads import one_at_a_time
from lightning_brats.errors import BratsError
from lightning_brats.report.wording import duration

REPORT, SCORES = "report", "scores"
"""What a result's page and scores are kept under."""


def show_findings(result: Result) -> None:
    """Volumes by region, voxels by class, and what should be looked at."""
    rows = region_rows(result)
    columns = st.columns(len(rows) + 1)
    for column, row in zip(columns, rows, strict=False):
        column.metric(
            f"{row['region']} · {row['name']}",
            f"{row['ml']} ml",
            f"expected Dice {row['dice']}",
            delta_color="off",
            delta_arrow="off",
        )
    columns[-1].metric("Took", duration(result.seconds))
    if result.doubts:
        lines = "\n".join(f"- {text[0].upper()}{text[1:]}." for text in result.doubts)
        st.warning(f"**To be looked at**\n\n{lines}")
    with st.expander("Voxels by class"):
        table = pd.DataFrame(voxel_rows(result)).rename(
            columns={"value": "value in the mask", "tissue": "class"}
        )
        st.dataframe(table, hide_index=True, width="content")


def show_downloads(result: Result) -> None:
    """The mask, and a report that is made when it is asked for."""
    left, right = st.columns(2)
    left.download_button(
        "Download the mask (NIfTI)",
        result.mask.read_bytes(),
        "segmentation.nii.gz",
        "application/gzip",
        width="stretch",
        on_click="ignore",
    )
    made: bytes | None = session().remembered(REPORT, result.key)
    if made is None and right.button("Make a report (HTML)", width="stretch"):
        with st.spinner("making the report"):
            made = session().remember(REPORT, result.key, _report(result))
        if made is not None:
            st.rerun()  # its place is the download's
    if made is not None:
        right.download_button(
            "Download the report (HTML)",
            made,
            "report.html",
            "text/html",
            width="stretch",
            on_click="ignore",
        )


def _report(result: Result) -> bytes | None:
    scored: Comparison | None = session().remembered(SCORES, result.key)
    known = {each.name: each for each in trained(services().settings.runs)}
    phantom = any(known[name].phantom for name in result.model.split(" + ") if name in known)
    try:
        with one_at_a_time():
            path = write_report(session().fresh("report"), result, scored, phantom)
    except BratsError as error:
        show_error(error.problem, error.remedy)
        return None
    return path.read_bytes()
