"""Why the network found what it found: gates, gradients, and what each modality contributed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
import streamlit as st

from lightning_brats.app.jobs import Job
from lightning_brats.app.pictures import png
from lightning_brats.app.segmenting import input_of, with_flips
from lightning_brats.app.services import services, session
from lightning_brats.app.tabs.shared import (
    NO_CASE,
    choose_trained,
    show_error,
    show_problem,
    start,
    wait,
)
from lightning_brats.app.trained import Trained, load
from lightning_brats.data.case import Case
from lightning_brats.errors import BratsError, DataError
from lightning_brats.explain import Explanation, explain_case
from lightning_brats.explain.pictures import map_figure, modality_figure
from lightning_brats.explain.writing import verdict
from lightning_brats.labels import REGION_NAMES

SLOT = "explain"
STEPS = 16
"""Of the integrated gradients: half of what the command takes, for an answer sooner."""
SHARES = {"modalities": (0.05, 0.6), "attention gates": (0.6, 0.7), "gradients": (0.7, 0.95)}
"""Stage → share of the work before and after it."""


@dataclass(frozen=True)
class Explained:
    """What is kept of an explanation: its maps would take ten times a case's memory.

    Args:
        sentence: On the modalities.
        maps: PNG.
        bars: PNG.
        table: See `lightning_brats.explain.occlusion.contributions`.
        notes: What a reader should know.
    """

    sentence: str
    maps: bytes
    bars: bytes
    table: pd.DataFrame
    notes: tuple[str, ...]


def explain() -> None:
    """Draw the part."""
    visitor = session()
    if visitor.case is None:
        st.info(NO_CASE)
        return
    left, right = st.columns(2)
    with left:
        chosen = choose_trained("Network", "explained", several=False)
    if not chosen:
        st.info("There is no trained run yet.")
        return
    with right:
        regions = _regions(chosen)
        region = st.selectbox(
            "Region",
            regions,
            index=max(len(regions) - 1, 0),
            format_func=lambda r: f"{r} {REGION_NAMES[r]}",
        )
    if st.button("Explain", type="primary", disabled=SLOT in visitor.jobs or not regions):
        assert region is not None
        start(SLOT, partial(_explain, chosen=chosen, case=visitor.case, region=region))
    made = wait(SLOT)
    if made is not None:
        services().kept.put(visitor.name, SLOT, made)
        st.rerun()
    show_problem()
    found: Explained | None = services().kept.get(visitor.name, SLOT)
    if found is not None and SLOT not in visitor.jobs:
        _show(found)


def _regions(chosen: tuple[Trained, ...]) -> tuple[str, ...]:
    """Of a network that can be loaded; none, and a message, where it cannot."""
    try:
        return load(chosen)[0].task.regions
    except BratsError as error:
        show_error(error.problem, error.remedy)
        return ()


def _explain(job: Job, chosen: tuple[Trained, ...], case: Case, region: str) -> Explained:
    def progress(doing: str, done: int, total: int) -> None:
        low, high = SHARES.get(doing, (0.0, 1.0))
        job.at(f"{doing}: {done} of {total}", low + (high - low) * done / max(total, 1))

    models = [with_flips(model, False) for model in load(chosen)]
    wanted = replace(input_of(case, models), mask=case.mask, scheme=case.scheme)
    run = partial(explain_case, models, region=region, steps=STEPS, progress=progress)
    found, notes = _with_or_without_reference(run, wanted)
    return Explained(
        verdict(found.contributions, region),
        png(map_figure(found)),
        png(modality_figure(found)),
        found.contributions.round(3),
        (*notes, *found.notes),
    )


def _with_or_without_reference(
    run: Callable[[Case], Explanation], case: Case
) -> tuple[Explanation, tuple[str, ...]]:
    """An explanation, scored where the reference fits the scans; else a note that says why not.

    Raises:
        DataError: The scans cannot be used.
    """
    try:
        return run(case), ()
    except DataError as error:
        if case.mask is None:
            raise
        found = run(replace(case, mask=None))
        return found, (f"The reference was left out: {error.problem}.",)


def _show(found: Explained) -> None:
    st.markdown(found.sentence)
    st.image(found.maps)
    st.image(found.bars)
    for note in found.notes:
        st.caption(note)
    with st.expander("What each modality contributed"):
        st.dataframe(found.table, hide_index=True)
