"""Giving scans: files, a zip, a folder or the example; what each is can be corrected by hand."""

from __future__ import annotations

import shutil
from typing import Any

import streamlit as st

from lightning_brats.app.intake import MASK, Given, Scan, adopt, coding_of, roles
from lightning_brats.app.services import services, session
from lightning_brats.app.settings import UNFOLDED
from lightning_brats.app.trained import Trained
from lightning_brats.app.uploads import example, one_at_a_time, receive
from lightning_brats.errors import BratsError
from lightning_brats.labels import MODALITIES, SCHEMES

OUT, REFERENCE = "leave out", "reference mask"
ROLES: dict[str | None, str] = {None: OUT, **{m: m for m in MODALITIES}, MASK: REFERENCE}
TITLES = {"t1n": "T1", "t1c": "T1 with contrast", "t2w": "T2", "t2f": "FLAIR"}
WAYS = ("Files or a zip", "A case's folder", "The built-in example")


def choose_scans(chosen: tuple[Trained, ...]) -> None:
    """Have the visitor give a case."""
    visitor = session()
    way = st.segmented_control("Scans", WAYS, default=WAYS[0], key="way") or WAYS[0]
    if way == WAYS[2]:
        _example(chosen)
    else:
        _upload(way == WAYS[1])
    if len(visitor.given) > 1:
        names = [given.name for given in visitor.given]
        place = st.selectbox("Case", range(len(names)), format_func=names.__getitem__)
        _correct(visitor.given[place])
    elif visitor.given:
        _correct(visitor.given[0])


def _upload(folder: bool) -> None:
    visitor = session()
    uploads: Any = st.file_uploader(
        "Four NIfTI files (T1, T1 with contrast, T2, FLAIR), or a zip of a case; a reference mask "
        "if there is one",
        type=None if folder else ["nii", "gz", "zip"],
        accept_multiple_files="directory" if folder else True,
        key=f"upload-{visitor.uploads}-{folder}",
    )
    if not uploads:
        return
    most = UNFOLDED * services().settings.upload_mb * 1_000_000
    _take(lambda: receive(uploads, visitor.folder / "raw", most))


def _example(chosen: tuple[Trained, ...]) -> None:
    spacing = next((each.phantom for each in chosen if each.phantom), 1.0)
    if st.button("Use the example", help=f"A digital phantom with voxels of {spacing:g} mm."):
        _take(lambda: example(spacing))


def _take(read: Any) -> None:
    """Read what was given; the widget that holds it in memory is then replaced."""
    visitor = session()
    visitor.clear()
    visitor.uploads += 1
    try:
        with st.spinner("reading the scans"), one_at_a_time():
            visitor.given = read()
        if len(visitor.given) == 1:
            given = visitor.given[0]
            _adopt(given, roles(given.scans), given.scheme.name if given.scheme else None)
    except BratsError as error:
        visitor.fail(error)
    st.rerun()


def _correct(given: Given) -> None:
    """Show what each volume is taken for, to be corrected, and take them so."""
    visitor = session()
    proposed = roles(given.scans)
    wanted: list[str | None] = []
    columns = st.columns(min(len(given.scans), 5))
    for number, (scan, role) in enumerate(zip(given.scans, proposed, strict=True)):
        with columns[number % len(columns)]:
            wanted.append(_role(scan, role, number))
    coding = _coding(given, wanted)
    shown = (given.name, tuple(wanted), coding)
    if visitor.case is None or visitor.prepared.get("shown") != shown:
        case, first = visitor.case, "shown" not in visitor.prepared
        as_read = case is not None and coding in (None, case.scheme.name) and wanted == proposed
        if not (first and as_read):
            visitor.forget()
        visitor.prepared["shown"] = shown
        if first and as_read:
            return
        try:
            with one_at_a_time():
                _adopt(given, wanted, coding)
            visitor.problem = None
        except BratsError as error:
            visitor.case = None
            visitor.fail(error)


def _role(scan: Scan, role: str | None, number: int) -> str | None:
    options = list(ROLES)
    return st.selectbox(
        scan.title,
        options,
        index=options.index(role) if role in options else 0,
        format_func=lambda each: TITLES.get(each, ROLES[each]),
        key=f"role-{session().uploads}-{number}-{scan.title}",
    )


def _coding(given: Given, wanted: list[str | None]) -> str | None:
    if MASK not in wanted or given.scheme is not None:
        return given.scheme.name if given.scheme else None
    names = list(SCHEMES)
    scan = given.scans[wanted.index(MASK)]
    key = f"coding-{session().uploads}-{scan.title}"
    return st.selectbox(
        "Labels of the reference mask",
        names,
        index=names.index(_likely_coding(scan)),
        key=key,
        format_func=lambda name: f"{name}: {SCHEMES[name].describe()}",
    )


def _likely_coding(scan: Scan) -> str:
    """What a mask looks like, found out once."""
    visitor = session()
    of = (visitor.uploads, scan)
    likely: str | None = visitor.remembered(REFERENCE, of)
    if likely is None:
        try:
            with one_at_a_time():
                likely = coding_of(scan).name
        except BratsError:
            likely = "brats2023"  # adopting the mask will say what is wrong with it
    return visitor.remember(REFERENCE, of, likely)


def _adopt(given: Given, wanted: list[str | None], coding: str | None) -> None:
    visitor = session()
    twice = [role for role in set(wanted) if role and wanted.count(role) > 1]
    if twice:
        raise BratsError(
            f"two volumes are taken for {', '.join(map(str, twice))}", remedy="correct one of them"
        )
    chosen = {role: scan for role, scan in zip(wanted, given.scans, strict=True) if role}
    scheme = given.scheme or SCHEMES[coding or "brats2023"]
    before, visitor.case = visitor.case, None
    if before is not None:
        shutil.rmtree(before.files[0].parent, ignore_errors=True)
    visitor.case = adopt(chosen, scheme, visitor.fresh("case"))
