"""What a reference mask says: scores by the challenges' rules, errors, distances of the borders."""

from __future__ import annotations

import streamlit as st

from lightning_brats.app.scoring import PLAIN, Comparison, compare, protocol_of
from lightning_brats.app.services import Outcome, session
from lightning_brats.app.tabs.findings import REPORT, SCORES
from lightning_brats.app.tabs.shared import show_error
from lightning_brats.app.uploads import one_at_a_time
from lightning_brats.errors import BratsError
from lightning_brats.figures.errors import profile_chart
from lightning_brats.metrics import PROTOCOLS


def show_reference(found: Outcome) -> None:
    """Scores and errors; the viewer shows the map of errors."""
    result = found.result
    st.subheader("Against the reference")
    names = list(PROTOCOLS)
    likely = names.index(protocol_of(result.case.scheme))
    protocol = st.selectbox(
        "Rules",
        names,
        index=likely,
        format_func=lambda name: f"{name} (whole volumes)" if name == PLAIN else name,
        key=f"protocol-{result.key}",
    )
    scored = _scored(found, protocol)
    if scored is None:
        return
    left, right = st.columns(2)
    left.caption("Scores")
    left.dataframe(scored.table(), height=390)
    right.caption("Where it errs: missed and false voxels, distances of the surfaces")
    right.dataframe(scored.boundary())
    profiles = scored.profiles(result)
    if profiles:
        right.plotly_chart(profile_chart(profiles), key=f"profile-{result.key}-{protocol}")
    st.caption(
        "In the viewer, *Show: missed and false* maps the errors: grey in both, yellow missed, "
        "blue false. Distances are negative where the segmentation is too small."
    )


def _scored(found: Outcome, protocol: str) -> Comparison | None:
    """Scores by a protocol, made once."""
    visitor, of = session(), found.result.key
    known: Comparison | None = visitor.remembered(SCORES, of)
    if known is not None and known.protocol == protocol:
        return known
    try:
        with st.spinner("scoring"), one_at_a_time():
            made = compare(found.result, protocol)
    except BratsError as error:
        show_error(error.problem, error.remedy)
        return None
    visitor.prepared.pop(REPORT, None)  # it has other scores
    return visitor.remember(SCORES, of, made)
