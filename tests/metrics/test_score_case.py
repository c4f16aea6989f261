"""What `score_case` accepts, refuses and returns."""

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from lightning_brats.errors import ConfigError, DataError
from lightning_brats.metrics import METRICS, PROTOCOLS, score_case

WHOLE = {name for name in METRICS if not name.startswith(("lesion", "instance"))}
LESION = {"lesion_dice", "lesion_hd95", "lesion_tp", "lesion_fp", "lesion_fn"}
NSD = {"lesion_nsd_0.5", "lesion_nsd_1.0"}
INSTANCE = {"instance_tp", "instance_fp", "instance_fn", "instance_f1"}
REPORTED = {
    "legacy": WHOLE,
    "brats2024-gli": WHOLE | LESION | NSD,
    "brats2026-gli": WHOLE | INSTANCE,
} | {f"brats2023-{c}": WHOLE | LESION for c in ("gli", "ssa", "men", "ped", "met")}


@pytest.fixture
def labels() -> np.ndarray:
    out = np.zeros((12, 11, 10), np.uint8)
    out[2:9, 2:9, 2:8], out[3:8, 3:8, 3:7], out[4:6, 4:6, 4:6] = 2, 3, 1
    return out


def save(path, array, affine=None):
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def test_protocols_report_their_metrics(labels) -> None:
    assert set(REPORTED) == set(PROTOCOLS)
    for protocol, names in REPORTED.items():
        scores = score_case(labels, labels, protocol=protocol)
        assert tuple(scores) == PROTOCOLS[protocol].regions
        ordered = [name for name in METRICS if name in names]
        assert all(list(found) == ordered for found in scores.values())
        assert all(isinstance(v, float) for found in scores.values() for v in found.values())


def test_legacy_adds_the_cavity_only_where_there_is_one(labels) -> None:
    assert list(score_case(labels, labels)) == ["WT", "TC", "ET"]
    cavity = labels.copy()
    cavity[0, 0, 0] = 4
    assert list(score_case(labels, cavity)) == ["WT", "TC", "ET", "RC"]
    assert list(score_case(labels, cavity, regions=["NETC"])) == ["NETC"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_types_and_memory_order_do_not_matter(labels, dtype, order) -> None:
    other = np.roll(labels, 1, 0)
    expected = score_case(labels, other, protocol="brats2024-gli")
    arrays = [np.asarray(v, dtype, order=order) for v in (labels, other)]
    assert repr(score_case(*arrays, protocol="brats2024-gli")) == repr(expected)


def test_paths_take_the_spacing_of_the_reference(labels, tmp_path) -> None:
    affine = np.diag([-1.5, -2, 3, 1])
    reference = save(tmp_path / "a.nii.gz", labels, affine)
    prediction = save(tmp_path / "b.nii", np.roll(labels, 1, 1).astype(np.float32), affine)
    expected = score_case(labels, np.roll(labels, 1, 1), (1.5, 2, 3))
    assert score_case(reference, str(prediction)) == expected
    assert expected["ET"]["volume_reference"] == 9 * np.count_nonzero(labels == 3)


@pytest.mark.parametrize("value", [5, -1, 1.5, np.nan])
def test_other_values_are_refused(labels, value) -> None:
    bad = labels.astype(np.float32)
    bad[0, 0, 0] = value
    with pytest.raises(DataError, match="expected the labels 0 to 4"):
        score_case(labels, bad)


def test_volumes_that_do_not_fit_are_refused(labels, tmp_path) -> None:
    with pytest.raises(DataError, match="equal 3-D shapes"):
        score_case(labels, labels[1:])
    with pytest.raises(DataError, match="equal 3-D shapes"):
        score_case(labels[0], labels[0])
    moved = np.eye(4)
    moved[0, 3] = 3
    paths = save(tmp_path / "a.nii.gz", labels), save(tmp_path / "b.nii.gz", labels, moved)
    with pytest.raises(DataError, match=r"differ by 3(.|\n)*b\.nii\.gz"):
        score_case(*paths)
    with pytest.raises(DataError, match="spacing"):
        score_case(labels, labels, (1, 0, 1))


def test_unreadable_files_are_named(labels, tmp_path) -> None:
    good = save(tmp_path / "a.nii.gz", labels)
    with pytest.raises(DataError, match="gone"):
        score_case(good, tmp_path / "gone.nii.gz")
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(good.read_bytes()[:60])
    with pytest.raises(DataError, match="cut"):
        score_case(good, cut)


def test_unknown_protocols_and_regions_are_refused(labels) -> None:
    with pytest.raises(ConfigError, match="brats2024-gli"):
        score_case(labels, labels, protocol="brats2024")
    with pytest.raises(ConfigError, match="unknown regions"):
        score_case(labels, labels, regions=["ED"])


def test_a_full_size_case_stays_under_a_gigabyte() -> None:
    code = """
import numpy as np
from lightning_brats.metrics import score_case
rng = np.random.default_rng(0)
volumes = np.zeros((2, 240, 240, 155), np.uint8)
for volume in volumes:
    volume[40:200, 40:200, 20:130] = 2
    volume[60:120, 60:120, 40:90], volume[70:110, 70:110, 50:80] = 3, 1
    for _ in range(200):
        corner = rng.integers(0, 150, 3)
        volume[tuple(slice(c, c + 4) for c in corner)] = rng.integers(1, 5)
score_case(*volumes, protocol="brats2024-gli")
# Not ru_maxrss, which begins at the peak of the process that started this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000
