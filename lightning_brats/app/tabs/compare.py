"""Two models on one case, side by side and synchronised."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from lightning_brats.app.jobs import Job
from lightning_brats.app.scoring import Comparison, protocol_of
from lightning_brats.app.scoring import compare as score
from lightning_brats.app.segmenting import nested
from lightning_brats.app.services import Outcome, outcome, services, session
from lightning_brats.app.tabs.shared import (
    NO_CASE,
    choose_trained,
    produce,
    show_error,
    show_panels,
    show_problem,
    start,
    trained,
    wait,
)
from lightning_brats.app.trained import Trained
from lightning_brats.app.uploads import one_at_a_time
from lightning_brats.data.case import Case
from lightning_brats.errors import BratsError
from lightning_brats.labels import REGION_NAMES
from lightning_brats.report.wording import number

SLOTS = ("compare-left", "compare-right")


def compare() -> None:
    """Draw the part."""
    visitor = session()
    if visitor.case is None or len(trained(services().settings.runs)) < 2:
        st.info(NO_CASE if visitor.case is None else "A comparison needs two trained runs.")
        return
    left, right = st.columns(2)
    with left:
        first = choose_trained("Left", "left", several=False)
    with right:
        second = choose_trained("Right", "right", several=False, place=1)
    ready = SLOTS[0] not in visitor.jobs and first != second
    if st.button("Compare", type="primary", disabled=not ready):
        work = partial(
            _both, pair=(first, second), case=visitor.case, folder=visitor.fresh("compare")
        )
        start(SLOTS[0], work)
    made: tuple[Outcome, Outcome] | None = wait(SLOTS[0])
    if made is not None:
        for slot, each in zip(SLOTS, made, strict=True):
            services().kept.put(visitor.name, slot, each)
        st.rerun()
    show_problem()
    found = [kept for slot in SLOTS if (kept := outcome(slot)) is not None]
    if len(found) == len(SLOTS) and SLOTS[0] not in visitor.jobs:
        _show(found)


def _both(
    job: Job, pair: tuple[tuple[Trained, ...], tuple[Trained, ...]], case: Case, folder: Path
) -> tuple[Outcome, Outcome]:
    found = []
    for place, (prefix, chosen) in enumerate(zip("ab", pair, strict=True)):
        job.part = (place, len(pair))
        own = folder / prefix
        own.mkdir(parents=True, exist_ok=True)
        found.append(produce(job, chosen, case, False, own, prefix))
    return found[0], found[1]


def _show(found: list[Outcome]) -> None:
    results = [each.result for each in found]
    regions = nested(list(dict.fromkeys(r for each in results for r in each.regions)))
    rows = {}
    for region in regions:
        rows[f"{region} {REGION_NAMES[region]} (ml)"] = [
            number(each.volumes.get(region), 1) for each in results
        ]
        rows[f"{region} expected Dice"] = [number(each.dice.get(region), 2) for each in results]
    rows |= _scores(found)
    names = [f"{side}: {each.model}" for side, each in zip(("left", "right"), results, strict=True)]
    st.dataframe(pd.DataFrame.from_dict(rows, orient="index", columns=names))
    name = "-".join(("compare", *(each.key for each in results)))
    show_panels(name, dict(zip(names, found, strict=True)))


def _scores(found: list[Outcome]) -> dict[str, list[str]]:
    """Main score of each region, where there is a reference."""
    if found[0].result.case.mask is None:
        return {}
    protocol = protocol_of(found[0].result.case.scheme)
    of = tuple(each.result.key for each in found)
    scored: list[Comparison] | None = session().remembered(SLOTS[0], of)
    try:
        if scored is None:
            with st.spinner("scoring"), one_at_a_time():
                scored = [score(each.result, protocol) for each in found]
    except BratsError as error:
        show_error(error.problem, error.remedy)
        return {}
    session().remember(SLOTS[0], of, scored)
    return {
        f"{region} lesion-wise Dice ({protocol})": [
            number(each.scores.get(region, {}).get("lesion_dice"), 3) for each in scored
        ]
        for region in dict.fromkeys(region for each in scored for region in each.scores)
    }
