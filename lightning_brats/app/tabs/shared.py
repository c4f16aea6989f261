"""What several parts of the page do: choosing networks, waiting, showing a result."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from lightning_brats.app import pictures, viewer
from lightning_brats.app.demo import MINUTES
from lightning_brats.app.drawing import draw
from lightning_brats.app.jobs import Job
from lightning_brats.app.segmenting import segment as segment_case
from lightning_brats.app.services import Outcome, services, session
from lightning_brats.app.trained import Trained, find_trained
from lightning_brats.app.uploads import one_at_a_time
from lightning_brats.data.case import Case
from lightning_brats.errors import BratsError

POLL = 0.3
"""Seconds between two looks at what is under way."""
NO_CASE = "Give scans in the part **Segment** first."


@st.cache_data(ttl=5, show_spinner=False)
def trained(runs: str) -> list[Trained]:
    """What there is to segment with, best first."""
    return find_trained(Path(runs))


def choose_trained(
    label: str, key: str, several: bool = True, place: int = 0
) -> tuple[Trained, ...]:
    """Let the visitor choose networks; the best, or the one at a place, is chosen already."""
    found = trained(services().settings.runs)
    titles = {each.title: each for each in found}
    names = list(titles)
    if not several:
        one = st.selectbox(label, names, min(place, len(names) - 1) if names else 0, key=key)
        return (titles[one],) if one else ()
    chosen = st.multiselect(
        label,
        names,
        default=names[:1],
        key=key,
        help="Trained runs and ensembles, best first. Several together are averaged.",
    )
    return tuple(titles[name] for name in chosen)


def offer_demo() -> None:
    """Where there is no network yet: train a small one on the phantom."""
    demo = services().demo
    st.info(f"There is no trained run in `{services().runs.name}` yet.")
    if demo.is_running:
        _watch_demo()
        st.rerun()
    if demo.problem:
        st.error("The training failed.")
        st.code(demo.problem)
    label = f"Train a small network on the built-in phantom (about {MINUTES} minutes)"
    if st.button(label, type="primary"):
        demo.start()
        st.rerun()


def _watch_demo() -> None:
    demo, bar = services().demo, st.empty()
    st.button("Stop", on_click=demo.stop)
    while demo.is_running:
        bar.progress(demo.share, f"training on the phantom, about {MINUTES} minutes in all")
        time.sleep(POLL)
    trained.clear()


def produce(
    job: Job, chosen: tuple[Trained, ...], case: Case, flips: bool, folder: Path, prefix: str = "a"
) -> Outcome:
    """Segment a case, and make its picture."""
    result = segment_case(job, chosen, case, flips, folder)
    job.at("drawing", 0.95)
    return Outcome(result, draw(result, prefix))


def start(slot: str, work: Callable[[Job], Any]) -> None:
    """Put work in line for this visitor."""
    visitor = session()
    visitor.problem = None
    try:
        visitor.jobs[slot] = services().queue.submit(visitor.name, work)
    except BratsError as error:
        visitor.fail(error)


def wait(slot: str) -> Any | None:
    """Show how far a part's work is; once it is done, give what came of it, once."""
    visitor = session()
    job = visitor.jobs.get(slot)
    if job is None:
        return None
    _watch(job)
    del visitor.jobs[slot]
    if job.state == "failed":
        visitor.problem = (job.problem, job.remedy)
    elif job.state == "cancelled":
        visitor.problem = ("cancelled", "")
    return job.result


def _watch(job: Job) -> None:
    """Draw a job's progress until it is over.

    A loop, and no fragment with a timer: on a busy machine the timer interrupts the run that is to
    show the result, again and again.
    """
    visitor, place = session(), st.empty()
    with place.container():
        bar = st.empty()
        st.button("Cancel", key="cancel", on_click=services().queue.cancel, args=(visitor.name,))
    while not job.is_over:
        before = services().queue.before(job)
        text = f"waiting: {before} before you" if job.state == "waiting" else job.stage
        bar.progress(job.share, text)
        time.sleep(POLL)
    place.empty()


def show_problem() -> None:
    """The last message, where there is one."""
    problem = session().problem
    if problem:
        show_error(*problem)


def show_error(problem: str, remedy: str | None) -> None:
    """A message, and what to do."""
    sentences = [_plain(text[:1].upper() + text[1:]) + "." for text in (problem, remedy) if text]
    st.error("\n\n".join(sentences))


def show_panels(name: str, panels: dict[str, Outcome]) -> None:
    """The viewer; where the browser cannot, slices drawn here, and why.

    Args:
        name: Of what is shown.
        panels: Title → outcome; all of one case.
    """
    drawn = {title: each.drawn for title, each in panels.items()}
    results = [each.result for each in panels.values()]
    regions = tuple(dict.fromkeys(region for each in results for region in each.regions))
    failed = viewer.show(services().viewer, name, drawn, regions)
    if failed:
        st.warning(f"The interactive viewer cannot start ({failed['failed']}): still slices.")
        modality = st.selectbox("Modality", list(results[0].case.images), key=f"still-{name}")
        columns = st.columns(3)
        places = [
            column.slider(text, 0.0, 1.0, 0.5, 0.01, key=f"{text}-{name}")
            for column, text in zip(columns, ("up–down", "front–back", "left–right"), strict=True)
        ]
        for title, result in zip(panels, results, strict=True):
            with one_at_a_time():
                still = pictures.slices(result, modality, (places[2], places[1], places[0]))
            st.image(still, caption=title or None)


def _plain(text: str) -> str:
    """Text as it is: what files are called is not Markdown."""
    return "".join(
        f"\\{letter}" if letter in "\\`*_{}[]()<>#+-!|$~:" else letter for letter in text
    )
