"""What the training's transforms do to a case, live."""

from __future__ import annotations

import streamlit as st
import torchio as tio

from lightning_brats.app.augmenting import EFFECTS, Effect, Sample, apply, preset, presets
from lightning_brats.app.pictures import before_and_after
from lightning_brats.app.services import outcome, session
from lightning_brats.app.tabs.scans import TITLES
from lightning_brats.app.tabs.segment import SLOT
from lightning_brats.app.tabs.shared import NO_CASE, show_error
from lightning_brats.app.uploads import one_at_a_time
from lightning_brats.errors import BratsError

WHOLE = "as in training: "
MOST_SEEDS = 99
SAMPLE = "sample"


def augment() -> None:
    """Draw the part."""
    try:
        sample = _sample()
    except BratsError as error:
        show_error(error.problem, error.remedy)
        return
    if sample is None:
        st.info(NO_CASE)
        return
    _play(sample)


@st.fragment
def _play(sample: Sample) -> None:
    left, right = st.columns([1, 2.4])
    with left:
        names = [*EFFECTS, *(WHOLE + name for name in presets())]
        name = st.selectbox("Transform", names)
        modality = st.selectbox(
            "Modality", sample.modalities, format_func=lambda each: TITLES.get(each, each)
        )
        chance = name.startswith(WHOLE) or EFFECTS[name].chance
        seed = (
            st.slider("Draw", 0, MOST_SEEDS, 0, help="Of what is left to chance.") if chance else 0
        )
        transform = (
            _preset(name, sample) if name.startswith(WHOLE) else _made(EFFECTS[name], name, sample)
        )
    changed = apply(sample, transform, seed)
    right.image(before_and_after(sample, changed, modality), width="stretch")


def _made(effect: Effect, name: str, sample: Sample) -> tio.Transform:
    values: list[float] = []
    for slider in effect.sliders:
        whole = slider.step == 1
        kind = int if whole else float
        limits = (kind(slider.low), kind(slider.high), kind(slider.start), kind(slider.step))
        values.append(st.slider(slider.name.capitalize(), *limits, key=f"{name}-{slider.name}"))
    return effect.build(values, len(sample.modalities))


def _preset(name: str, sample: Sample) -> tio.Transform | None:
    st.caption("Each transform acts by chance, as in training: try several draws.")
    if max(sample.steps) > 1:
        steps = " × ".join(map(str, sample.steps))
        st.caption(
            f"One of {steps} voxels is shown: what acts by voxels, such as blur and bending, looks "
            "stronger here than in training."
        )
    return preset(name.removeprefix(WHOLE))


def _sample() -> Sample | None:
    """The case with its segmentation, or its reference, made once."""
    visitor = session()
    case = visitor.case
    if case is None:
        return None
    found = outcome(SLOT)
    folder = case.files[0].parent
    result = found.result if found is not None else None
    if result is not None and result.case.files[0].parent != folder:
        result = None
    of = (folder, result.key if result else None)
    made: Sample | None = visitor.remembered(SAMPLE, of)
    if made is None:
        with st.spinner("preparing the scans"), one_at_a_time():
            made = Sample.read(result.segmented if result else case)
    return visitor.remember(SAMPLE, of, made)
