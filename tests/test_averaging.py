"""Masks from probabilities that several predictions, ours or other tools', have saved."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from test_prediction import AFFINE, REGIONS, arrays, checkpoint, labels, models, run, write_brats

from lightning_brats.errors import BratsError, ConfigError, DataError
from lightning_brats.labels import SCHEMES, labels_from_regions
from lightning_brats.postprocess import DropSmall, Postprocess
from lightning_brats.prediction.soft import ENDING, read_probabilities

__all__ = ["models"]  # the fixture
OBLIQUE = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])  # PIR
CASE = "case_1"


def average(output: Path, *folders: Path, **settings: object) -> Path:
    named = {"probabilities_from": f"[{','.join(map(str, folders))}]"}
    return run(output, Path(), **({"checkpoint": None, "input": None} | named | settings))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_brats(tmp_path / "data", 2, OBLIQUE)


def foreign(folder: Path, seed: int, shape=(6, 7, 8, 3), affine=AFFINE, case: str = CASE) -> Path:
    """Probabilities as another tool might save them, and nothing about what they are."""
    folder.mkdir(exist_ok=True)
    values = np.random.default_rng(seed).random(shape).astype(np.float32)
    nib.save(nib.Nifti1Image(values, affine), folder / f"{case}{ENDING}")
    return folder


def soft(folder: Path, case: str = CASE) -> np.ndarray:
    return nib.load(folder / f"{case}{ENDING}").get_fdata(dtype=np.float32)


def test_averaging_what_members_saved_is_predicting_with_all(
    models: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    chosen = [models[name] for name in "abc"]
    for path in chosen:
        run(tmp_path / path.stem, data, path, probabilities="true")
    saved = [tmp_path / path.stem for path in chosen]
    options = {"probabilities": "true", "uncertainty": "true"}
    together = run(tmp_path / "together", data, *chosen, **options)
    apart = average(tmp_path / "apart", *saved, **options)
    assert {p.name for p in apart.iterdir()} == {p.name for p in together.iterdir()}
    for ending in ("_probabilities", "_entropy", "_mutual_information"):
        first, second = arrays(together, ending), arrays(apart, ending)
        for case, values in first.items():
            assert np.abs(values - second[case]).max() < 1e-3
            assert values.any()
    members = arrays(together, "_probabilities")
    masks = arrays(apart)
    for case, mask in arrays(together).items():
        clear = np.abs(members[case] - 0.5).min(-1) > 1e-3
        assert np.array_equal(mask[clear], masks[case][clear])
        assert mask.any()
    source = nib.load(next(data.rglob("*_t1.nii.gz")))
    assert np.allclose(nib.load(next(apart.glob("*_00000.nii.gz"))).affine, source.affine)
    first, second = (pd.read_csv(f / "predictions.csv") for f in (together, apart))
    assert list(first.columns) == list(second.columns)
    assert np.allclose(first.iloc[:, 1:], second.iloc[:, 1:], rtol=0.01, atol=1e-3)


def test_weights_and_channels_of_other_tools(tmp_path: Path) -> None:
    first, second = foreign(tmp_path / "a", 1), foreign(tmp_path / "b", 2)
    settings = {"regions": "[WT,ET,TC]", "labels": "brats2023", "weights": "[3,1]"}
    average(tmp_path / "out", first, second, **settings, probabilities="true")
    mean = (3 * soft(first) + soft(second)) / 4
    assert np.abs(soft(tmp_path / "out") - mean).max() < 2**-15
    expected = labels_from_regions(np.moveaxis(mean > 0.5, -1, 0), ("WT", "ET", "TC"))
    found = nib.load(tmp_path / "out" / f"{CASE}.nii.gz")
    assert np.array_equal(np.asarray(found.dataobj), expected)  # 1, 2, 3 are 1, 2, 3 in 2023
    assert np.allclose(found.affine, AFFINE)
    again = read_probabilities(tmp_path / "out" / f"{CASE}{ENDING}", CASE)
    assert again.facts is not None
    assert again.facts.regions == ("WT", "ET", "TC")
    assert again.facts.scheme == SCHEMES["brats2023"]
    assert again.facts.postprocess == Postprocess()
    mapped = {**settings, "labels": "{7:1,2:2,4:3}"}
    average(tmp_path / "map", first, second, **mapped)
    coded = np.asarray(nib.load(tmp_path / "map" / f"{CASE}.nii.gz").dataobj)
    assert np.array_equal(coded, np.array([0, 7, 2, 4])[expected])


def test_post_processing_is_that_of_the_files_unless_one_is_named(
    data: Path, tmp_path: Path
) -> None:
    dropping = Postprocess([DropSmall(minimum=1e9)])
    one = checkpoint(tmp_path / "one.ckpt", 1, postprocess=dropping)
    two = checkpoint(tmp_path / "two.ckpt", 2)
    for path in (one, two):
        run(tmp_path / path.stem, data, path, probabilities="true")
    alone = average(tmp_path / "alone", tmp_path / "one")
    assert not any(mask.any() for mask in arrays(alone).values())
    named = average(tmp_path / "named", tmp_path / "one", postprocess="none")
    assert all(mask.any() for mask in arrays(named).values())
    with pytest.raises(ConfigError, match="postprocess=default"):
        average(tmp_path / "out", tmp_path / "one", tmp_path / "two")
    same = average(tmp_path / "two again", tmp_path / "two")
    expected = arrays(tmp_path / "two")
    for case, mask in arrays(same).items():
        assert np.array_equal(labels(mask), labels(expected[case]))


def stored(folder: Path, regions: tuple[str, ...], affine: np.ndarray = AFFINE, seed=1) -> Path:
    """A folder whose file names its channels."""
    foreign(folder.with_name(f"{folder.name}_raw"), seed, affine=affine)
    settings = {"regions": f"[{','.join(regions)}]", "labels": "brats2023"}
    source = folder.with_name(f"{folder.name}_raw")
    return average(folder, source, **settings, probabilities="true")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"shape": (6, 7, 9, 3)}, "shapes"),
        ({"affine": np.diag([-2.0, -2.0, 2.0, 1.0])}, "affines"),
        ({"shape": (6, 7, 8, 4)}, "4 channels"),
        ({"shape": (6, 7, 8)}, "expected"),
        ({"case": "case_2"}, "no probabilities of this case"),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path: Path, other: dict, words: str) -> None:
    first, second = foreign(tmp_path / "a", 1), foreign(tmp_path / "b", 2, **other)
    with pytest.raises(DataError, match=words) as error:
        average(tmp_path / "out", first, second, regions="[WT,TC,ET]", labels="brats2023")
    assert str(tmp_path) in str(error.value)
    assert CASE in str(error.value) or "case_2" in str(error.value)


def test_files_say_what_they_are_or_the_user_does(tmp_path: Path) -> None:
    plain = foreign(tmp_path / "plain", 1)
    with pytest.raises(DataError, match=r"does not say what they are[\s\S]*regions=\[WT"):
        average(tmp_path / "out", plain, labels="brats2023")
    with pytest.raises(DataError, match=r"no file names a coding[\s\S]*labels="):
        average(tmp_path / "out", plain, regions="[WT,TC,ET]")
    ours, other = stored(tmp_path / "a", REGIONS), stored(tmp_path / "b", ("WT", "ET", "TC"))
    with pytest.raises(DataError, match="the regions are WT, ET, TC, and WT, TC, ET"):
        average(tmp_path / "out", ours, other)
    average(tmp_path / "out", ours, plain, regions="[WT,TC,ET]")  # the coding is ours


def test_logits_are_no_probabilities(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "a", 1)
    for values in (np.full((4, 4, 4, 3), 7.0), np.full((4, 4, 4, 3), np.nan)):
        nib.save(nib.Nifti1Image(values.astype(np.float32), AFFINE), folder / f"{CASE}{ENDING}")
        with pytest.raises(DataError, match=r"no probabilities[\s\S]*not logits"):
            average(tmp_path / "out", folder, regions="[WT,TC,ET]", labels="brats2023")


def test_bad_cases_can_be_skipped(tmp_path: Path) -> None:
    first, second = foreign(tmp_path / "a", 1), foreign(tmp_path / "b", 2)
    foreign(tmp_path / "a", 3, case="case_2")
    settings = {"regions": "[WT,TC,ET]", "labels": "brats2023", "on_bad_case": "skip"}
    average(tmp_path / "out", first, second, **settings)
    assert [p.name for p in (tmp_path / "out").glob("*.nii.gz")] == [f"{CASE}.nii.gz"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": "[1]"}, "weights"),
        ({"weights": "[-1,2]"}, "none negative"),
        ({"weights": "[0,0]"}, "not all 0"),
        ({"regions": "[WT,XX,ET]"}, "unknown regions"),
        ({"labels": "brats1999"}, "unknown"),
        ({"ensemble": "vote"}, "ensemble=mean"),
        ({"postprocess": "tuned"}, "leave postprocess out"),
        ({"input": "/data"}, "both given"),
        ({"probabilities_from": "/no/such/folder"}, "no files"),
    ],
)
def test_settings_are_checked_first(tmp_path: Path, settings: dict, words: str) -> None:
    first, second = foreign(tmp_path / "a", 1), foreign(tmp_path / "b", 2)
    with pytest.raises(BratsError, match=words):
        average(tmp_path / "out", first, second, **settings)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="replace what is averaged"):
        average(first, first, second)
