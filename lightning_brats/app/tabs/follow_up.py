"""Several time points of a patient: volumes, growth, and what changed where."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Any

import streamlit as st

from lightning_brats.app.following import Followed, Visit, follow, proposed_coding
from lightning_brats.app.services import services, session
from lightning_brats.app.settings import UNFOLDED
from lightning_brats.app.tabs.shared import choose_trained, show_error, show_problem, start, wait
from lightning_brats.app.uploads import example, one_at_a_time, receive_each
from lightning_brats.errors import BratsError
from lightning_brats.labels import SCHEMES, LabelScheme

SLOT = "follow-up"
VISITS = "visits"
EXAMPLE = {"layout": "brats2024-gli", "cases": 2, "seed": 7}
"""Two visits of one made-up patient, in whom a tumour grows back."""
GROWTH = {
    "start": "from",
    "end": "to",
    "ml_start": "before (ml)",
    "ml_end": "after (ml)",
    "change_ml": "change (ml)",
    "change_percent": "change (%)",
    "ml_per_day": "ml a day",
    "doubling_days": "doubles in (days)",
}
"""Column of the table of growth → its heading."""


def follow_patient() -> None:
    """Draw the part."""
    visitor = session()
    found: Followed | None = services().kept.get(visitor.name, SLOT)
    with st.expander("Examinations", expanded=found is None):
        _give()
        visits = _ordered(visitor.prepared.get(VISITS) or [])
        if len(visits) == 1:
            st.info("One examination was recognised; two or more are needed.")
        by_network = not all(visit.has_mask for visit in visits) or st.toggle(
            "Let a network make the masks", value=False, key="by-network"
        )
        chosen = choose_trained("Network", "follow-networks") if visits and by_network else ()
        coding = None if by_network else _coding(visits)
        ready = len(visits) > 1 and SLOT not in visitor.jobs and bool(chosen or not by_network)
        if st.button("Compare the examinations", type="primary", disabled=not ready):
            folder = visitor.fresh("followup")
            start(SLOT, partial(follow, visits=visits, chosen=chosen, folder=folder, coding=coding))
    made = wait(SLOT)
    if made is not None:
        services().kept.put(visitor.name, SLOT, made)
        st.rerun()
    show_problem()
    if found is not None and SLOT not in visitor.jobs:
        _show(found)


def _give() -> None:
    visitor = session()
    uploads: Any = st.file_uploader(
        "A zip with a folder for each examination of one patient, or several zips; with masks, or "
        "for a network to make them",
        type=["zip"],
        accept_multiple_files=True,
        key=f"follow-{visitor.uploads}",
    )
    wanted = st.button("Use the built-in example", key="follow-example")
    if not uploads and not wanted:
        return
    visitor.clear()
    visitor.uploads += 1
    most = UNFOLDED * services().settings.upload_mb * 1_000_000
    try:
        with st.spinner("reading the examinations"), one_at_a_time():
            visitor.prepared[VISITS] = (
                example(2.0, **EXAMPLE)
                if wanted
                else receive_each(uploads, visitor.folder / "visits", most)
            )
    except BratsError as error:
        visitor.prepared[VISITS] = []
        visitor.fail(error)
    st.rerun()


def _ordered(given: Any) -> list[Visit]:
    """Let the visitor say when each was; without all dates they stay in the order of names."""
    if not given:
        return []
    columns = st.columns(min(len(given), 4))
    visits = []
    for number, each in enumerate(given):
        with columns[number % len(columns)]:
            day: date | None = st.date_input(
                f"{each.name}: date, if known",
                value=None,
                key=f"day-{session().uploads}-{number}",
            )
        visits.append(Visit(each, day))
    days = [visit.day for visit in visits]
    if all(day is not None for day in days):
        return sorted(visits, key=lambda visit: visit.day or date.min)
    return [Visit(visit.given, None) for visit in visits]


def _coding(visits: list[Visit]) -> LabelScheme | None:
    """Have the visitor say how masks are coded that do not tell; all of a patient's alike."""
    if all(visit.given.scheme is not None for visit in visits):
        return None
    visitor, names = session(), list(SCHEMES)
    of = visitor.uploads
    likely: str | None = visitor.remembered("coding", of)
    if likely is None:
        try:
            with one_at_a_time():
                likely = proposed_coding(visits).name
        except BratsError as error:
            show_error(error.problem, error.remedy)
            return None
    visitor.remember("coding", of, likely)
    name = st.selectbox(
        "Labels of the masks",
        names,
        index=names.index(likely),
        format_func=lambda each: f"{each}: {SCHEMES[each].describe()}",
        key=f"follow-coding-{of}",
    )
    return SCHEMES[name]


def _show(found: Followed) -> None:
    for name, text in found.sentences.items():
        st.markdown(f"**{name.capitalize()}**: {text}")
    for note in found.notes:
        st.warning(note)
    st.image(found.chart)
    st.image(found.changes)
    # Without dates there is no pace.
    growth = found.growth.dropna(axis="columns", how="all").rename(columns=GROWTH)
    st.dataframe(growth.round(2), hide_index=True, width="content")
