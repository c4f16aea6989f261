"""Growth of boxes of known size and phantoms of known growth, and what a known motion leaves."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from test_prediction import checkpoint, write_brats

from lightning_brats.data.case import Case
from lightning_brats.data.phantom import make_case, write_phantom
from lightning_brats.data.preprocess import Prepared
from lightning_brats.data.raw.scan import Scan
from lightning_brats.data.reading import write_mask
from lightning_brats.errors import BratsError, ConfigError, DataError
from lightning_brats.followup import TimePoint, follow_up, write_follow_up
from lightning_brats.followup.command import run
from lightning_brats.followup.course import GONE, NEW, STABLE
from lightning_brats.followup.diameters import bidimensional_product
from lightning_brats.followup.growth import change
from lightning_brats.followup.points import check_patients, regions_to_measure
from lightning_brats.followup.writing import sentence
from lightning_brats.labels import ET, NETC, SCHEMES, SNFH
from lightning_brats.postprocess import DropSmall, Postprocess
from lightning_brats.prediction import Segmenter

sys.path.append(str(Path(__file__).parent / "data" / "raw"))
from made_scans import grid, labels, motion, sample, size

MM = np.diag([-1.0, -1.0, 2.0, 1.0])  # voxels of 2 mm³


def box(name: str, edge: int, day: date | None = None, at: int = 4) -> TimePoint:
    """A cube of ET with so many voxels along an edge."""
    found = np.zeros((40, 40, 30), np.uint8)
    found[at : at + edge, at : at + edge, at : at + edge] = ET
    return TimePoint(name, found, MM, day)


def call(output: Path, **settings: object) -> Path:
    """What `experiments/followup.py` does."""
    overrides = [f"{key}={value}" for key, value in (settings | {"output": output}).items()]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        return run(compose("followup", overrides))


def test_volumes_and_growth_by_hand() -> None:
    days = [date(2024, 1, 1), date(2024, 1, 31), date(2024, 3, 1)]
    found = follow_up([box(n, e, d) for n, e, d in zip("abc", (10, 20, 10), days, strict=True)])
    ml = found.volumes.set_index(["point", "region"])["ml"]
    assert ml["a", "ET"] == ml["a", "WT"] == pytest.approx(2.0)  # 1000 voxels of 2 mm³
    assert ml["b", "ET"] == pytest.approx(16.0)
    growth = found.growth.set_index(["start", "end", "region"])
    assert len(growth) == 3 * 3
    first = growth.loc["a", "b", "ET"]
    assert first["days"] == 30
    assert first["change_ml"] == pytest.approx(14)
    assert first["change_percent"] == pytest.approx(700)
    assert first["ml_per_day"] == pytest.approx(14 / 30)
    assert first["doubling_days"] == pytest.approx(10)  # eight times as large: three doublings
    second = growth.loc["b", "c", "ET"]
    assert second["change_percent"] == pytest.approx(-87.5)
    assert math.isnan(second["doubling_days"])
    assert growth.loc["a", "c", "ET"]["change_ml"] == 0
    assert found.intervals == [("a", "b"), ("b", "c"), ("a", "c")]


def test_what_is_not_known_is_left_open() -> None:
    undated = follow_up([box("a", 10), box("b", 20)]).growth.iloc[0]
    assert undated["change_ml"] == pytest.approx(14)
    assert all(math.isnan(undated[name]) for name in ("days", "ml_per_day", "doubling_days"))
    appeared = change(0.0, 3.0, 10.0)
    assert appeared["ml_per_day"] == pytest.approx(0.3)
    assert math.isnan(appeared["change_percent"])
    assert math.isnan(appeared["doubling_days"])


def test_change_maps_by_hand() -> None:
    found = follow_up([box("a", 10, at=4), box("b", 10, at=6)])
    changed = found.change("a", "b", "ET")
    assert np.bincount(changed.ravel())[1:].tolist() == [8**3, 1000 - 8**3, 1000 - 8**3]
    assert changed[4, 4, 4] == GONE
    assert changed[15, 15, 15] == NEW
    assert changed[8, 8, 8] == STABLE


def test_regions_hold_what_they_should() -> None:
    first, second = box("a", 10), box("b", 10)
    first.labels[4:9, 4:14, 4:14] = SNFH  # half of it
    second.labels[4:6, 4:14, 4:14] = NETC
    ml = follow_up([first, second]).volumes.set_index(["point", "region"])["ml"]
    assert (ml["a", "WT"], ml["a", "TC"], ml["a", "ET"]) == pytest.approx((2, 1, 1))
    assert (ml["b", "WT"], ml["b", "TC"], ml["b", "ET"]) == pytest.approx((2, 2, 1.6))


def test_another_grid_is_measured_as_it_is_and_brought_back_by_the_scanner() -> None:
    """The same box on a finer, turned and cropped grid: nothing is new or gone."""
    first = box("a", 10)
    fine = np.kron(first.labels[2:20, 2:20, 2:20], np.ones((1, 1, 2), np.uint8))[::-1]
    affine = MM @ np.array([[-1, 0, 0, 19], [0, 1, 0, 2], [0, 0, 0.5, 1.75], [0, 0, 0, 1]])
    found = follow_up([first, TimePoint("b", fine, affine)], registration="never")
    assert found.volumes["ml"].tolist() == pytest.approx([2.0] * 6)
    assert np.array_equal(found.aligned["b"], first.labels)
    assert found.notes == ("b was placed by the scanner's coordinates alone.",)


def test_a_moved_head_is_registered() -> None:
    """A sphere that stays where it is in a head that moved, in another scanner's grid."""
    shape, fixed = size((2.5, 2.5, 2.5)), grid((2.5, 2.5, 2.5))
    moved, other = motion((6, -4, 8), (5, -3, 4)), (2.0, 2.5, 3.0)
    points = [
        TimePoint("a", labels(shape, fixed), fixed, None, Scan(sample("t1c", shape, fixed), fixed)),
        TimePoint(
            "b",
            labels(size(other), grid(other), moved),
            grid(other),
            None,
            Scan(sample("t1c", size(other), grid(other), moved), grid(other)),
        ),
    ]
    found = follow_up(points, ["WT"])
    assert found.quality["b"] > 0.6
    changed = np.bincount(found.change("a", "b", "WT").ravel(), minlength=4)
    assert changed[STABLE] > 0.85 * (points[0].labels > 0).sum()
    unregistered = follow_up(points, ["WT"], "never").change("a", "b", "WT")
    assert (unregistered == STABLE).sum() < 0.7 * changed[STABLE]


SLOW = pytest.mark.slow


@pytest.mark.parametrize("index", [0, pytest.param(2, marks=SLOW), pytest.param(3, marks=SLOW)])
def test_phantoms_grow_as_they_were_made_to(index: int) -> None:
    """The core's radius grows by the patient's own factor a visit (`plan.plan_tumour`)."""
    factor = np.random.default_rng((0, index, 1)).uniform(1.05, 1.2)
    visits = [make_case(index, spacing=3.0, visit=visit) for visit in (0, 1, 2)]
    points = [TimePoint(str(i), case.mask, case.affine) for i, case in enumerate(visits)]
    found = follow_up(points, ["TC", "WT"])
    growth = found.growth.set_index(["start", "end", "region"])
    for start, end, count in (("0", "1", 1), ("1", "2", 1), ("0", "2", 2)):
        expected = 100 * (factor ** (3 * count) - 1)
        # Balls would grow by just that; cores stop at the skull and at fluid.
        assert 0.65 * expected < growth.loc[start, end, "TC"]["change_percent"] < 1.1 * expected
        assert growth.loc[start, end, "WT"]["change_ml"] > 0
    changed = found.change("0", "2", "TC")
    assert (changed == NEW).sum() > 20 * (changed == GONE).sum()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.5, 3.0)])
def test_diameters_of_an_ellipse(spacing: tuple[float, float, float]) -> None:
    x, y, z = ((np.arange(round(60 / s)) - round(30 / s)) * s for s in spacing)
    turn = np.deg2rad(25)
    along = x[:, None, None] * np.cos(turn) + y[None, :, None] * np.sin(turn)
    across = y[None, :, None] * np.cos(turn) - x[:, None, None] * np.sin(turn)
    mask = (along / 22) ** 2 + (across / 12) ** 2 + (z / 10) ** 2 < 1
    mask[:4, :4] = True  # a smaller lesion beside it
    assert bidimensional_product(mask, spacing) == pytest.approx(44 * 24, rel=0.09)
    assert bidimensional_product(np.zeros_like(mask), spacing) == 0


def test_diameters_of_a_box_are_its_diagonals() -> None:
    mask = np.zeros((20, 20, 5), bool)
    mask[5:13, 5:11, 2] = True  # 8 × 6 mm: its diagonal is 10, the longest perpendicular chord 7.5
    assert bidimensional_product(mask, (1.0, 1.0, 1.0)) == pytest.approx(75, rel=0.15)


def test_sentences() -> None:
    days = (date(2024, 1, 1), date(2024, 1, 31))
    grown = follow_up([box("a", 10, days[0]), box("b", 20, days[1])])
    assert sentence(grown, "ET") == (
        "ET grew from 2.0 to 16.0 ml (+700 %) in 30 days, 0.467 ml a day; at that rate it "
        "doubles in 10 days."
    )
    shrunk = follow_up([box("a", 20), box("b", 10)])
    assert sentence(shrunk, "ET") == "ET shrank from 16.0 to 2.0 ml (−88 %)."
    same = follow_up([box("a", 10), box("b", 10, at=6)])
    assert sentence(same, "ET") == "ET stayed at 2.0 ml."
    empty = TimePoint("b", np.zeros((40, 40, 30), np.uint8), MM)
    assert sentence(follow_up([empty, box("a", 10)]), "ET") == "ET appeared (2.0 ml)."


@pytest.mark.parametrize(
    ("points", "settings", "words"),
    [
        (["a"], {}, "nothing to compare"),
        (["a", "a"], {}, "share a name"),
        (["a", "b"], {"regions": ["XY"]}, "unknown regions"),
        (["a", "b"], {"registration": "maybe"}, "auto, always or never"),
        (["a", "b"], {"registration": "always"}, "no image to register by"),
    ],
)
def test_what_cannot_be_compared_says_so(points: list, settings: dict, words: str) -> None:
    with pytest.raises(BratsError, match=words):
        follow_up([box(name, 5) for name in points], **settings)


def test_dates_have_to_rise() -> None:
    with pytest.raises(DataError, match="not in order"):
        follow_up([box("a", 5, date(2024, 2, 1)), box("b", 5, date(2024, 1, 1))])


def test_files_lie_on_the_first_grid(tmp_path: Path) -> None:
    found = follow_up([box("a", 10), box("b", 12)])
    page = write_follow_up(found, tmp_path)
    saved = nib.load(tmp_path / "change_a_to_b_ET.nii.gz")
    assert np.allclose(saved.affine, MM)
    assert np.array_equal(np.asarray(saved.dataobj), found.change("a", "b", "ET"))
    assert pd.read_csv(tmp_path / "volumes.csv")["ml"].iloc[0] == pytest.approx(2.0)
    assert len(pd.read_csv(tmp_path / "growth.csv")) == 3
    text = page.read_text()
    assert "ET grew from 2.0 to 3.5 ml (+73 %)." in text
    assert "http" not in text.replace("http-equiv", "")


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients 0 (two visits), 1 (one) and 2 (three)."""
    root = tmp_path_factory.mktemp("visits") / "phantom"
    return write_phantom(root, layout="brats2024-gli", cases=6, spacing=5.0)


def test_a_folder_of_one_patient_with_dates(visits: Path, tmp_path: Path) -> None:
    cases = [f"BraTS-GLI-00002-{100 + visit}" for visit in range(3)]
    dates = tmp_path / "dates.csv"
    rows = zip(cases, ("2024-06-01", "2024-01-01", "2024-03-01"), strict=True)
    dates.write_text("case,date\n" + "\n".join(f"{case},{day}" for case, day in rows))
    call(tmp_path / "out", input=visits, patient="BraTS-GLI-00002", dates=dates)
    volumes = pd.read_csv(tmp_path / "out" / "volumes.csv")
    assert list(dict.fromkeys(volumes["point"])) == [cases[1], cases[2], cases[0]]
    assert set(volumes["region"]) == {"WT", "TC", "ET", "RC"}
    mask = nib.load(next(visits.rglob(f"{cases[0]}-seg.nii.gz")))
    edema_core = np.isin(np.asarray(mask.dataobj), [1, 2, 3]).sum() * 5.0**3 / 1000
    own = volumes.set_index(["point", "region"])["ml"]
    assert own[cases[0], "WT"] == pytest.approx(edema_core, rel=1e-5)
    growth = pd.read_csv(tmp_path / "out" / "growth.csv")
    assert growth["days"].unique().tolist() == [60, 92, 152]
    with pytest.raises(DataError, match=r"3 patients[\s\S]*patient=BraTS-GLI-00000"):
        call(tmp_path / "out", input=visits)
    with pytest.raises(ConfigError, match="no date of BraTS-GLI-00000-100"):
        call(tmp_path / "out", input=visits, patient="BraTS-GLI-00000", dates=dates)


def test_mask_files_alone(tmp_path: Path) -> None:
    paths = []
    for name, edge in (("before", 10), ("after", 12)):
        paths.append(tmp_path / f"{name}.nii.gz")
        write_mask(paths[-1], box(name, edge).labels, MM, SCHEMES["brats2018"])
    named = f"[{paths[0]},{paths[1]}]"
    with pytest.raises(ConfigError, match="coding of mask files"):
        call(tmp_path / "out", input=named)
    call(tmp_path / "out", input=named, labels="brats2018", dates="[2024-01-01,2024-01-11]")
    growth = pd.read_csv(tmp_path / "out" / "growth.csv").set_index("region")
    assert growth.loc["ET", "ml_per_day"] == pytest.approx((12**3 - 10**3) * 2 / 1000 / 10)


def test_a_network_segments_the_time_points(tmp_path: Path) -> None:
    data = write_brats(tmp_path / "data", 2)
    first, second = sorted(p for p in data.iterdir() if p.is_dir())
    path = checkpoint(tmp_path / "m" / "a.ckpt", 1)
    named = f"[{first},{second}]"
    with pytest.raises(DataError, match="no mask of this time point"):
        call(tmp_path / "out", input=named)
    call(tmp_path / "out", input=named, checkpoint=path)
    volumes = pd.read_csv(tmp_path / "out" / "volumes.csv").set_index(["point", "region"])["ml"]
    for folder in (first, second):
        mask = np.asarray(nib.load(tmp_path / "out" / "masks" / f"{folder.name}.nii.gz").dataobj)
        assert volumes[folder.name, "WT"] == pytest.approx((mask > 0).sum() * 12 / 1000, rel=1e-5)
    masks = tmp_path / "out" / "masks"
    call(tmp_path / "again", input=named, masks=masks)
    again = pd.read_csv(tmp_path / "again" / "volumes.csv").set_index(["point", "region"])["ml"]
    assert again.equals(volumes)


def test_of_a_region_that_the_network_cannot_find_nothing_is_said(
    visits: Path, tmp_path: Path
) -> None:
    """The scans' coding has cavities, the network's regions have not."""
    path, patient = checkpoint(tmp_path / "m" / "a.ckpt", 1), "BraTS-GLI-00000"
    with pytest.raises(ConfigError, match="cannot find RC: it knows WT, TC, ET"):
        call(tmp_path / "no", input=visits, patient=patient, checkpoint=path, regions="[WT,RC]")
    assert not (tmp_path / "no" / "masks").exists()
    page = call(tmp_path / "out", input=visits, patient=patient, checkpoint=path)
    volumes = pd.read_csv(tmp_path / "out" / "volumes.csv")
    assert set(volumes["region"]) == {"WT", "TC", "ET"}
    assert "RC did not appear" not in page.read_text()


def test_regions_that_can_be_in_a_mask() -> None:
    scheme = SCHEMES["brats2024"]
    assert regions_to_measure(scheme, None) == ["WT", "TC", "ET", "RC"]
    assert regions_to_measure(scheme, ("ET", "WT", "SNFH")) == ["WT", "ET"]
    assert regions_to_measure(scheme, ("NETC", "SNFH")) == ["NETC", "SNFH"]


def test_warnings_of_scans_that_a_network_segments_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, prepare = write_brats(tmp_path / "data", 2), Segmenter.prepare

    def warned(self: Segmenter, case: Case) -> list[Prepared]:
        return [replace(each, warnings=("it is dark",)) for each in prepare(self, case)]

    monkeypatch.setattr(Segmenter, "prepare", warned)
    first, second = sorted(p for p in data.iterdir() if p.is_dir())
    path = checkpoint(tmp_path / "m" / "a.ckpt", 1)
    page = call(tmp_path / "out", input=f"[{first},{second}]", checkpoint=path).read_text()
    assert f"{first.name}: it is dark." in page
    assert f"{second.name}: it is dark." in page


def test_examinations_of_several_patients_are_not_compared(visits: Path, tmp_path: Path) -> None:
    names = ("BraTS-GLI-00000-100", "BraTS-GLI-00001-100")
    first, other = (next(visits.rglob(name)) for name in names)
    with pytest.raises(DataError, match="of 2 patients: BraTS-GLI-00000, BraTS-GLI-00001"):
        call(tmp_path / "out", input=f"[{first},{other}]")
    with pytest.raises(DataError, match="no examination was found"):
        call(tmp_path / "out", input=f"[{first},{other}]", patient="BraTS-GLI-00007")


def test_names_that_tell_no_patient_are_taken_as_they_come() -> None:
    check_patients(["BraTS2021_00000", "BraTS2021_00001", "BraTS20_Training_001", "before"])
    check_patients(["BraTS-GLI-00001-100", "BraTS-GLI-00001-101", "b_BraTS-GLI-00002-100"])
    with pytest.raises(DataError, match="of 2 patients"):
        check_patients(["Brats18_CBICA_AAB_1", "own", "Brats18_CBICA_AAG_1"])


def test_post_processing_tuned_for_an_ensemble_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_brats(tmp_path / "data", 2)
    path = checkpoint(tmp_path / "m" / "a.ckpt", 1)
    asked = []

    def tuned(where: object) -> Postprocess:
        asked.append(where)
        return Postprocess([DropSmall(minimum=10**6)])  # nothing is left

    monkeypatch.setattr("lightning_brats.followup.command.ensemble_postprocess", tuned)
    folders = sorted(p for p in data.iterdir() if p.is_dir())
    call(tmp_path / "out", input=f"[{folders[0]},{folders[1]}]", checkpoint=path)
    assert asked == [str(path)]
    assert (pd.read_csv(tmp_path / "out" / "volumes.csv")["ml"] == 0).all()
