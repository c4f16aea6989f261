"""Histogram standardisation: landmarks that can be worked out by hand, fitted and applied."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import write_case

from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.raw.landmarks import fit_landmarks, main, write_landmarks
from lightning_brats.errors import ConfigError
from lightning_brats.labels import SCHEMES

PERCENTILES = np.array([1, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 99.0])


def even(folder: Path, name: str, low: float, high: float) -> Case:
    """A brain whose intensities are spread evenly from low to high."""
    values = np.linspace(low, high, 20**3).reshape(20, 20, 20)
    path = folder / f"{name}.nii.gz"
    nib.save(nib.Nifti1Image(values.astype(np.float32), np.eye(4)), path)
    return Case(name, name, {"t1c": ImageRef(path)}, SCHEMES["brats2023"])


def test_even_intensities_have_even_landmarks(tmp_path: Path) -> None:
    cases = [even(tmp_path, "a", 100, 900), even(tmp_path, "b", 5, 6)]
    found = fit_landmarks(cases, Preprocess())
    # Percentiles 1 and 99 become 0 and 100, whatever the scanner's scale.
    assert list(found) == ["t1c"]
    assert np.allclose(found["t1c"], (PERCENTILES - 1) / 98 * 100, atol=1e-3)


def test_standardised_percentiles_fall_on_the_landmarks(tmp_path: Path) -> None:
    bent = ((PERCENTILES - 1) / 98) ** 2 * 100
    preprocess = Preprocess("histogram", landmarks={"t1c": bent.tolist()})
    case = even(tmp_path, "a", 100, 900)
    ready = preprocess(case, preprocess.read(case)).image.astype(np.float64)
    # TorchIO leaves out the quartiles; a hundredth of the landmarks is what networks see.
    used = [0, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12]
    assert np.allclose(np.percentile(ready, PERCENTILES[used]), bent[used] / 100, atol=2e-3)


def test_the_file_goes_with_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.json"
    write_landmarks(path, {"t1c": list(range(13))}, 7, Preprocess())
    preprocess = Preprocess("histogram", landmarks=str(path))
    path.unlink()
    again = Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict())))
    assert again == preprocess
    assert again.landmarks == {"t1c": [float(v) for v in range(13)]}


def test_modalities_without_landmarks_are_named(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    preprocess = Preprocess("histogram", landmarks={"t1c": list(range(13))})
    with pytest.raises(ConfigError, match="no landmarks for t1n, t2w, t2f"):
        preprocess.read(case)


def test_bad_files_of_landmarks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="landmarks are not there"):
        Preprocess("histogram", landmarks=tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[1, 2]")
    with pytest.raises(ConfigError, match="not a file of landmarks"):
        Preprocess("histogram", landmarks=tmp_path / "bad.json")
    with pytest.raises(ConfigError, match="needs landmarks"):
        Preprocess("histogram")


def test_the_command_uses_training_cases_alone(tmp_path: Path, capsys) -> None:
    for number in range(3):
        write_case(tmp_path / "data", f"case_{number}", seed=number)
    table = tmp_path / "cases.csv"
    rows = ["case,patient,t1c,mask"]
    for number in range(3):
        folder = f"data/case_{number}/case_{number}"
        rows.append(f"case_{number},case_{number},{folder}_t1c.nii.gz,{folder}_seg.nii.gz")
    table.write_text("\n".join(rows))
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["case_0", "case_2"], "validation": ["case_1"]}))
    settings = ["data=table", f"data.table={table}", "data.modalities=[t1c]"]
    settings += ["data.labels={1:1,2:2,4:3}", f"output={tmp_path / 'out.json'}"]
    main([*settings, f"split={split}"])
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["cases"] == 2
    assert len(content["landmarks"]["t1c"]) == 13
    assert content["landmarks"]["t1c"] == sorted(content["landmarks"]["t1c"])
    main(settings)
    assert "test cases take part too" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["cases"] == 3


def test_the_command_refuses_what_does_not_exist(tmp_path: Path, capsys) -> None:
    for arguments in (["data.root=/x"], [f"output={tmp_path / 'o'}", "preprocess.magic=1"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
    assert "magic" in capsys.readouterr().err
