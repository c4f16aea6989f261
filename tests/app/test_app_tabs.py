"""The parts beside Segment, without a browser: what they tell, and how they treat memory."""

from __future__ import annotations

import sys
import tracemalloc
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from conftest import LPS, write_case
from test_app_results import save_run

from lightning_brats.app import augmenting, uploads
from lightning_brats.app.augmenting import EFFECTS, Sample, apply
from lightning_brats.app.following import Visit, follow
from lightning_brats.app.intake import MASK, Given, Scan, coding_of
from lightning_brats.app.jobs import Job
from lightning_brats.app.kept import Kept
from lightning_brats.app.segmenting import Result, measure, segment
from lightning_brats.app.services import Outcome, Session
from lightning_brats.app.settings import Settings
from lightning_brats.app.trained import Trained, find_trained
from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Geometry
from lightning_brats.errors import DataError
from lightning_brats.labels import RC, SCHEMES

pytest.importorskip("streamlit")
PARTS = ("compare", "explain", "findings", "follow_up", "reference", "scans", "shared")
# By name: the package has functions that are called like some of its modules.
compare, explain, findings, follow_up, reference, scans, shared = (
    import_module(f"lightning_brats.app.tabs.{part}") for part in PARTS
)


def job() -> Job:
    return Job("a", lambda job: None)


def visit(folder: Path, name: str, seed: int) -> Visit:
    """An examination in the coding of 2024, with a mask."""
    case = write_case(folder, name, seed=seed, scheme=SCHEMES["brats2024"])
    scans = [Scan(ref.path, None, m, ref.path.name) for m, ref in case.images.items()]
    assert case.mask is not None
    scans.append(Scan(case.mask, None, MASK, case.mask.name))
    return Visit(Given(name, tuple(scans), case.scheme), None)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, ...]:
    root = tmp_path_factory.mktemp("runs")
    save_run(root / "run", 1, 0.8)
    return tuple(find_trained(root))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_case(tmp_path_factory.mktemp("case"), "case")


@pytest.fixture(scope="module")
def result(
    chosen: tuple[Trained, ...], case: Case, tmp_path_factory: pytest.TempPathFactory
) -> Result:
    return segment(job(), chosen, case, False, tmp_path_factory.mktemp("result"))


@pytest.fixture
def visitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The visitor of every part."""
    made = Session("one", tmp_path)
    services = SimpleNamespace(kept=Kept(1), settings=Settings(runs=str(tmp_path)), viewer=tmp_path)
    for module in (compare, findings, follow_up, reference, scans, shared):
        monkeypatch.setattr(module, "session", lambda: made, raising=False)
        monkeypatch.setattr(module, "services", lambda: services, raising=False)
    return made


def test_a_network_without_cavities_says_nothing_of_them(
    chosen: tuple[Trained, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_brats.app.segmenting.find_doubts", lambda *_: ["it is dark"])
    visits = [visit(tmp_path, name, seed) for seed, name in enumerate(("before", "after"))]
    by_people = follow(job(), visits, (), tmp_path / "people")
    assert by_people.sentences["resection cavity"] == "RC did not appear."
    by_network = follow(job(), visits, chosen, tmp_path / "network")
    assert set(by_network.sentences) == {"whole tumour", "tumour core", "enhancing tumour"}
    assert set(by_network.growth["region"]) == {"WT", "TC", "ET"}
    doubts = ("examination 1: it is dark.", "examination 2: it is dark.")
    assert by_network.notes[:2] == doubts
    assert by_people.notes == ()


def test_examinations_of_several_patients_are_refused(tmp_path: Path) -> None:
    names = ("BraTS-GLI-00001-100", "BraTS-GLI-00002-100")
    visits = [visit(tmp_path, name, seed) for seed, name in enumerate(names)]
    with pytest.raises(DataError, match="of 2 patients"):
        follow(job(), visits, (), tmp_path / "out")


def test_tissues_that_cannot_be_there_are_not_counted() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0, :2] = (2, 3)
    identity = tuple(map(tuple, np.eye(4).tolist()))
    geometry = Geometry((4, 4, 4), identity, ((0, 4),) * 3)
    regions, scheme = ("WT", "TC", "ET"), SCHEMES["brats2024"]
    _, voxels = measure(labels, geometry, regions, scheme)
    assert voxels == {"background": 62, "NETC": 0, "SNFH": 1, "ET": 1}
    _, voxels = measure(labels, geometry, (*regions, "RC"), scheme)
    assert voxels["RC"] == 0
    labels[0, 1, 0] = RC
    assert measure(labels, geometry, regions, scheme)[1]["RC"] == 1


def test_only_one_examination_is_said_to_be_too_few(
    visitor: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testing = pytest.importorskip("streamlit.testing.v1")
    # A page that is tested takes its place, and processes that are spawned later would run it.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    def page() -> None:
        from lightning_brats.app.tabs.follow_up import follow_patient

        follow_patient()

    visits = [visit(tmp_path, name, 0).given for name in ("before", "after")]
    words = []
    for given in (visits[:1], visits):
        visitor.prepared[follow_up.VISITS] = given
        at = testing.AppTest.from_function(page).run()
        assert not at.exception
        words.append([each.value for each in at.info])
        (button,) = (each for each in at.button if each.label == "Compare the examinations")
        assert button.disabled == (len(given) == 1)
    assert words == [["One examination was recognised; two or more are needed."], []]


def test_what_a_mask_looks_like_takes_little_memory(tmp_path: Path) -> None:
    """Any volume can be named as the mask: it may have as many values as voxels."""
    values = np.random.default_rng(0).random((64, 64, 64), np.float32)
    nib.save(nib.Nifti1Image(values, LPS), tmp_path / "a.nii")
    scan = Scan(tmp_path / "a.nii", None, MASK, "a.nii")
    tracemalloc.start()
    try:
        assert coding_of(scan) is SCHEMES["brats2023"]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5 * values.nbytes


def test_what_a_mask_looks_like_is_found_out_once_and_with_the_lock(
    visitor: Session, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = []

    def looked(scan: Scan) -> Any:
        locked.append(uploads._reading.locked())
        return SCHEMES["brats2018"]

    monkeypatch.setattr(scans, "coding_of", looked)
    assert case.mask is not None
    mask = Scan(case.mask, None, MASK, "mask")
    assert [scans._likely_coding(mask) for _ in range(3)] == ["brats2018"] * 3
    assert locked == [True]
    visitor.uploads += 1  # a file of the same name
    scans._likely_coding(mask)
    assert locked == [True, True]


def test_whole_volumes_are_worked_on_by_one_visitor_at_a_time(
    visitor: Session, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: dict[str, bool] = {}

    def watch(module: Any, name: str, made: Any) -> None:
        def work(*_: Any) -> Any:
            locked[f"{module.__name__.split('.')[-1]}.{name}"] = uploads._reading.locked()
            return made

        monkeypatch.setattr(module, name, work)

    scored, page = SimpleNamespace(protocol="legacy", scores={}), tmp_path / "report.html"
    page.touch()
    picture = np.zeros((4, 4), np.uint8)
    watch(reference, "compare", scored)
    watch(compare, "score", scored)
    watch(findings, "write_report", page)
    watch(shared.pictures, "slices", picture)
    watch(follow_up, "proposed_coding", SCHEMES["brats2018"])
    monkeypatch.setattr(shared.viewer, "show", lambda *_: {"failed": "no WebGL"})
    found = Outcome(result, SimpleNamespace())
    reference._scored(found, "legacy")
    compare._scores([found, found])
    findings._report(result)
    shared.show_panels("x", {"": found})
    follow_up._coding([Visit(Given("a", ()), None)])
    expected = (
        "reference.compare",
        "compare.score",
        "findings.write_report",
        "pictures.slices",
        "follow_up.proposed_coding",
    )
    assert locked == dict.fromkeys(expected, True)
    assert not uploads._reading.locked()


def test_a_reference_that_does_not_fit_is_left_out_of_an_explanation(
    chosen: tuple[Trained, ...], case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("captum")
    monkeypatch.setattr(explain, "STEPS", 2)
    path = tmp_path / "mask.nii"
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), LPS), path)
    other = replace(case, mask=path)
    found = explain._explain(job(), chosen, other, "WT")
    assert found.notes[0].startswith("The reference was left out: the mask has shape (9, 9, 9)")
    assert "dice" not in found.table
    assert found.maps.startswith(b"\x89PNG")


def test_scans_that_cannot_be_used_are_no_matter_of_the_reference(case: Case) -> None:
    tried = []

    def run(given: Case) -> Any:
        tried.append(given.mask)
        raise DataError("the scans are bad")

    with pytest.raises(DataError, match="the scans are bad"):
        explain._with_or_without_reference(run, case)
    assert tried == [case.mask, None]


def test_only_long_axes_are_thinned_out(tmp_path: Path) -> None:
    long = write_case(tmp_path, "long", shape=(240, 28, 20), affine=np.diag([1.0, 1.0, 5.0, 1.0]))
    sample = Sample.read(long)
    # The brain is 214 × 24 × 16 voxels; 214 / 96 is above 2, so every third of them is shown.
    assert sample.steps == (3, 1, 1)
    assert sample.labels.shape == sample.image.shape[1:] == (72, 24, 16)
    assert sample.spacing == pytest.approx((3.0, 1.0, 5.0))


def test_motion_is_in_millimetres() -> None:
    """4 mm in voxels of 2 mm are what 2 mm are in voxels of 1 mm."""
    image = np.random.default_rng(0).normal(size=(2, 16, 18, 20)).astype(np.float32)
    fine = Sample(image, np.ones(image.shape[1:], np.uint8), ("t1n", "t1c"))
    coarse = replace(fine, spacing=(2.0, 2.0, 2.0))
    moved = [
        apply(sample, EFFECTS["motion"].build([0, shift, 1], 2), 3).image
        for sample, shift in ((fine, 2), (coarse, 4), (coarse, 2))
    ]
    assert np.allclose(moved[0], moved[1], atol=1e-4)
    assert not np.allclose(moved[0], moved[2], atol=0.1)
    assert augmenting.LONGEST == 96
