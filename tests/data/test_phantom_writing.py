"""Writing a phantom data set: once, whole or not at all; and the command that does it."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from lightning_brats.data.phantom import Scanner, default_root, write_phantom
from lightning_brats.data.phantom import dataset as dataset_module
from lightning_brats.data.phantom.__main__ import main
from lightning_brats.errors import ConfigError, DataError

COARSE = 8.0
FILES = {
    "phantom.json",
    *(
        f"BraTS2021_00000/BraTS2021_00000_{part}.nii.gz"
        for part in ("t1", "t1ce", "t2", "flair", "seg")
    ),
}
TABLE = {
    "phantom.json",
    "cases.csv",
    *(f"volumes/case_000_{part}.nii.gz" for part in ("t1n", "t1c", "t2w", "t2f", "mask")),
}


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def write(root: Path, cases: int = 1, **more: object) -> Path:
    return write_phantom(root, "brats2021", cases, spacing=COARSE, **more)  # type: ignore[arg-type]


def test_an_existing_data_set_is_used_as_it_is(tmp_path: Path) -> None:
    root = write(tmp_path / "data")
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    assert write(root, scanner={"noise": 1}) == root
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before
    with pytest.raises(DataError, match=r"seed 0 instead of 1[\s\S]*remedy"):
        write(root, seed=1)
    next(root.rglob("*_t1.nii.gz")).unlink()
    with pytest.raises(DataError, match="4 of the phantom's 5 volumes"):
        write(root)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="not a phantom"):
        write(tmp_path)
    assert files(tmp_path) == {"notes.txt"}


def test_nothing_is_left_of_a_failed_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(index: int, *rest: object) -> None:
        if index == 1:
            raise MemoryError
        return original(index, *rest)  # type: ignore[arg-type]

    original = dataset_module.make_case
    monkeypatch.setattr(dataset_module, "make_case", fails)
    with pytest.raises(MemoryError):
        write(tmp_path / "data", cases=2)
    assert list(tmp_path.iterdir()) == []


def test_two_writers_at_once_leave_one_whole_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_begun = Barrier(2, timeout=60)

    def meet(*arguments: object) -> object:
        both_have_begun.wait()
        return original(*arguments)  # type: ignore[arg-type]

    original = dataset_module.make_case
    monkeypatch.setattr(dataset_module, "make_case", meet)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(write, tmp_path / "data", workers=1) for _ in range(2)]
        assert [job.result() for job in jobs] == [tmp_path / "data"] * 2
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    assert files(tmp_path / "data") == FILES


def test_default_root_depends_on_what_is_in_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTNING_BRATS_CACHE", str(tmp_path))
    plain = default_root(layout="msd", cases=3, spacing=2)
    assert plain.parent == tmp_path / "phantom"
    assert plain == default_root(layout="msd", cases=3, spacing=2.0, workers=7, scanner={})
    others = [
        default_root(layout="msd", cases=3, seed=1),
        default_root(layout="msd", cases=3, scanner=Scanner(noise=2.0)),
        default_root(layout="msd", cases=3, labelled=False),
        default_root(layout="nnunet", cases=3),
    ]
    assert len({plain, *others}) == 5
    with pytest.raises(ConfigError, match="no spacings"):
        default_root(spacings=3)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("layuot=msd", r"'layuot=msd'[\s\S]*keys: root, layout, cases"),
        ("layout=brats2017", r"'brats2017'[\s\S]*brats2018, brats2019"),
        ("cases=many", r"cases: Value 'many'"),
        ("cases=0", r"0 cases"),
        ("spacing=50", r"50 mm[\s\S]*0.5 to 8"),
        ("scanner.nose=1", r"nose[\s\S]*noise, bias, contrast, resolution, motion"),
        ("scanner.noise=-1", r"noise=-1"),
    ],
)
def test_the_command_explains_what_is_wrong(
    argument: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([f"root={tmp_path / 'data'}", argument])
    assert stop.value.code == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "data").exists()


def test_the_command_writes_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "data"
    main([f"root={root}", "layout=table", "cases=1", f"spacing={COARSE}", "scanner.noise=2"])
    assert files(root) == TABLE
    assert json.loads((root / "phantom.json").read_text())["scanner"]["noise"] == 2.0
    assert "mean nothing clinically" in capsys.readouterr().out
