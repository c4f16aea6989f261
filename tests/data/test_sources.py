import csv
from pathlib import Path

import pytest
from conftest import write_case

from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.sources import load_cases, load_table
from lightning_brats.errors import ConfigError, DataError

TINY = {"cases": 3, "spacing": 8.0}


def test_no_root_means_the_phantom_and_says_so() -> None:
    source = load_cases(phantom=TINY)
    assert source.phantom
    assert "phantom" in source.name
    assert source.modalities == ("t1n", "t1c", "t2w", "t2f")
    assert len(source.cases) == 3


@pytest.mark.parametrize(
    "layout", ["brats2018", "brats2020", "brats2021", "brats2023-ssa", "brats2024-gli", "msd"]
)
def test_phantoms_of_every_layout_are_read(layout: str) -> None:
    source = load_cases(phantom={**TINY, "layout": layout})
    assert len(source.cases) == 3
    assert all(case.mask for case in source.cases)
    assert ("RC" in source.scheme.regions) == (layout == "brats2024-gli")


def test_modalities_are_chosen_and_ordered(tmp_path: Path) -> None:
    root = write_phantom(tmp_path / "p", **TINY)
    assert load_cases(root, modalities=["t2f", "t1c"]).modalities == ("t2f", "t1c")
    with pytest.raises(DataError, match="adc is missing"):
        load_cases(root, modalities=["adc"])


def test_regions_can_be_chosen(tmp_path: Path) -> None:
    root = write_phantom(tmp_path / "p", **TINY)
    assert load_cases(root, regions=["ET"]).scheme.regions == ("ET",)


def test_an_unknown_coding_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="brats2018, brats2023"):
        load_cases(tmp_path, labels="brats1999")


def test_a_table_of_two_modalities(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(3)]
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["case", "patient", "t2f", "t1c", "mask"])
        for case in cases:
            files = [case.images["t2f"].path, case.images["t1c"].path, case.mask]
            rows.writerow([case.case, case.patient, *files])
    source = load_table(tmp_path / "t.csv", {1: 1, 2: 2, 4: 3}, ["t2f", "t1c"])
    assert source.modalities == ("t2f", "t1c")
    assert source.scheme.codes[4] == 3
    assert source.name == "t"


def test_no_table_is_said() -> None:
    with pytest.raises(ConfigError, match=r"data\.table="):
        load_table(None, None, ["t1c"])
