"""The main part: networks, scans, the segmentation, and what a reference says of it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from lightning_brats.app.segmenting import Result
from lightning_brats.app.services import Outcome, outcome, services, session
from lightning_brats.app.tabs.findings import show_downloads, show_findings
from lightning_brats.app.tabs.reference import show_reference
from lightning_brats.app.tabs.scans import choose_scans
from lightning_brats.app.tabs.shared import (
    choose_trained,
    offer_demo,
    produce,
    show_panels,
    show_problem,
    start,
    trained,
    wait,
)

SLOT = "segment"


def segment() -> None:
    """Draw the part."""
    if not trained(services().settings.runs):
        offer_demo()
        return
    visitor = session()
    found = outcome(SLOT)
    with st.expander("Network and scans", expanded=found is None):
        chosen = choose_trained("Network", "networks")
        flips = st.checkbox(
            "Average over mirror images", key="flips", help="Eight times slower, a little better."
        )
        choose_scans(chosen)
        ready = visitor.case is not None and bool(chosen) and SLOT not in visitor.jobs
        if st.button("Segment", type="primary", disabled=not ready):
            assert visitor.case is not None
            work = partial(
                produce,
                chosen=chosen,
                case=visitor.case,
                flips=flips,
                folder=visitor.fresh("segmentation"),
            )
            start(SLOT, work)
    found = outcome(SLOT)  # none any more where the scans have just become others
    made: Outcome | None = wait(SLOT)
    if made is not None:
        services().kept.put(visitor.name, SLOT, made)
        st.rerun()
    show_problem()
    if found is not None:
        visitor.prepared[SLOT] = True
    elif visitor.prepared.get(SLOT):
        st.info("Your result made room for those of other visitors: segment the scans again.")
    if found is not None and SLOT not in visitor.jobs:
        _show(found)


def _show(found: Outcome) -> None:
    result: Result = found.result
    st.subheader("Segmentation")
    show_findings(result)
    show_panels(f"{SLOT}-{result.key}", {"": found})
    show_downloads(result)
    if result.case.mask is not None:
        show_reference(found)
