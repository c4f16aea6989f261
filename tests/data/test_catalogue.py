"""The catalogue: the same cases as indexed, trusted only as long as nothing has changed."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from conftest import write_case

from lightning_brats.data.cache import Cache
from lightning_brats.data.case import Case
from lightning_brats.data.catalogue import Catalogue, Description, file_name, files, trust
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.sources import load_cases
from lightning_brats.errors import DataError


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    for number in range(4):
        write_case(tmp_path / "data", f"BraTS2021_{number:05d}", seed=number)
    return list(load_cases(tmp_path / "data").cases)


@pytest.fixture
def catalogue(cases: list[Case], tmp_path: Path) -> Catalogue:
    cache = Cache(tmp_path / "cache", Preprocess())
    about = Description("four", (tmp_path / "data",))
    return cache.prepare(cases, about=about).save(file_name(cache.root, "key"))


def test_cases_come_back_as_they_were(catalogue: Catalogue, cases: list[Case]) -> None:
    assert list(catalogue) == cases
    assert catalogue[-1] == cases[-1]
    assert list(catalogue[1:3]) == cases[1:3]
    with pytest.raises(IndexError):
        catalogue[4]


def test_it_knows_what_splits_and_reports_ask(catalogue: Catalogue, cases: list[Case]) -> None:
    entry = Cache(catalogue.cache, Preprocess()).get(cases[2])
    assert catalogue.shapes[2].tolist() == list(entry.shape)
    assert entry.mask is not None
    volume = float((np.asarray(entry.mask) > 0).sum()) / 1000  # voxels of 1 mm³
    assert catalogue.volumes()[cases[2].case] == pytest.approx(volume)
    outline = catalogue.outline()
    assert [(c.case, c.patient, c.cohort) for c in outline] == [
        (c.case, c.patient, c.cohort) for c in cases
    ]
    assert catalogue.entries[2].folder == entry.folder


def test_a_selection_keeps_its_order(catalogue: Catalogue, cases: list[Case]) -> None:
    names = [cases[3].case, cases[0].case]
    chosen = catalogue.select(names)
    assert chosen.names == names
    assert [c.case for c in chosen] == names
    assert chosen.entries[0].meta["case"] == names[0]
    assert [entry.meta["case"] for entry in chosen.entries[1:]] == names[1:]
    assert chosen.shapes.shape == (2, 3)
    with pytest.raises(KeyError):
        catalogue.select(["nobody"])


def test_processes_share_the_file_not_the_rows(catalogue: Catalogue, cases: list[Case]) -> None:
    sent = pickle.dumps(catalogue.select([cases[1].case]))
    assert len(sent) < 2_000
    assert list(pickle.loads(sent)) == [cases[1]]


def test_find_wants_the_very_case(catalogue: Catalogue, cases: list[Case]) -> None:
    assert catalogue.find(cases[2]) == 2
    assert catalogue.find(cases[2].with_modalities(["t1c"])) is None
    assert catalogue.find(load_cases(catalogue.known["roots"][0], regions=["ET"]).cases[2]) is None


def test_find_wants_the_modalities_in_their_order(catalogue: Catalogue, cases: list[Case]) -> None:
    turned = cases[2].with_modalities(["t2f", "t2w", "t1c", "t1n"])
    assert turned == cases[2]  # mappings are equal in any order
    assert catalogue.find(turned) is None


@pytest.mark.parametrize(
    "preprocess", [Preprocess(crop=[[0, 12], [0, 28], [0, 20]]), Preprocess(spacing=3.0)]
)
def test_sizes_of_tumours_know_neither_crop_nor_voxel_size(
    catalogue: Catalogue, cases: list[Case], preprocess: Preprocess
) -> None:
    other = Cache(catalogue.cache, preprocess).prepare(cases)
    assert other.volumes() == catalogue.volumes()
    left = [sum(entry.meta["voxels"]) * (preprocess.spacing or 1) ** 3 for entry in other.entries]
    assert left != [1000 * ml for ml in catalogue.volumes().values()]


def test_entries_that_do_not_say_the_size_are_measured(cases: list[Case], tmp_path: Path) -> None:
    """Whole ones to the voxel, as splits were drawn by; cropped ones by their statistics."""
    whole = Cache(tmp_path / "cache", Preprocess())
    cut = Cache(tmp_path / "cache", Preprocess(crop=[[0, 12], [0, 28], [0, 20]]))
    known = whole.prepare(cases).volumes()
    for cache in (whole, cut):
        for entry in cache.prepare(cases).entries:
            meta = json.loads((entry.folder / "meta.json").read_text())
            assert meta.pop("tumour_ml") == known[meta["case"]]
            (entry.folder / "meta.json").write_text(json.dumps(meta))
    assert whole.prepare(cases).volumes() == known
    assert cut.prepare(cases).volumes() == pytest.approx(known, rel=1e-4)


def test_a_catalogue_of_other_columns_is_passed_over(catalogue: Catalogue) -> None:
    older = catalogue.table.drop_columns(["tumour_ml"])
    name = file_name(catalogue.cache, "older")
    files.write(older, name)
    assert Catalogue.open(name, catalogue.cache) is None


def test_it_is_trusted_until_something_changes(
    catalogue: Catalogue, cases: list[Case], tmp_path: Path
) -> None:
    assert catalogue.stale() is None
    source = cases[1].images["t2w"].path
    os.utime(source, ns=(1, 1))
    assert catalogue.stale() == f"{source} has changed"


def test_a_new_case_is_noticed_in_the_listed_folder(catalogue: Catalogue, tmp_path: Path) -> None:
    write_case(tmp_path / "data", "BraTS2021_00009")
    assert "data has changed" in str(catalogue.stale())


def test_a_missing_source_and_a_damaged_entry_are_noticed(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "WATCHED", 0)  # so that only the files themselves tell
    cache = Cache(tmp_path / "cache", Preprocess())
    catalogue = cache.prepare(cases, about=Description("four", ()))
    image = catalogue.entries[3].folder / "image.npy"
    content = image.read_bytes()
    image.write_bytes(content[:-1])
    assert catalogue.stale() == f"the prepared case {cases[3].case} is missing or damaged"
    image.write_bytes(content)
    assert catalogue.stale() is None
    source = cases[0].images["t1n"].path
    source.unlink()
    assert catalogue.stale() == f"{source} is gone"


def test_of_very_many_cases_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "CHECKED", 10)
    seen: list[int] = []
    assert trust.first_problem(range(95), lambda row: seen.append(row)) is None
    assert 10 <= len(seen) <= 11
    assert {b - a for a, b in zip(sorted(seen), sorted(seen)[1:], strict=False)} == {9}


def test_excluded_cases_are_remembered_and_watched(cases: list[Case], tmp_path: Path) -> None:
    bad = cases[1].images["t1c"].path
    about = Description(
        "four", (tmp_path / "data",), excluded=[DataError("broken", case="x", file=bad)]
    )
    cache = Cache(tmp_path / "cache", Preprocess())
    saved = cache.prepare(cases[2:], about=about).save(file_name(cache.root, "key"))
    again = Catalogue.open(file_name(cache.root, "key"), cache.root)
    assert again is not None
    assert [(e.case, e.problem, e.file) for e in again.excluded] == [("x", "broken", str(bad))]
    assert saved.stale() is None
    os.utime(bad, ns=(1, 1))  # it may be repaired now
    assert saved.stale() == f"{bad} has changed"


def test_a_file_that_is_no_catalogue_is_passed_over(catalogue: Catalogue) -> None:
    name = file_name(catalogue.cache, "key")
    assert catalogue.path is not None
    newer = name.with_stem("key-99999999999999999999")
    newer.write_bytes(b"ARROW1 and then nothing")
    found = Catalogue.open(name, catalogue.cache)
    assert found is not None
    assert found.path == catalogue.path
    assert Catalogue.open(file_name(catalogue.cache, "other"), catalogue.cache) is None


def test_superseded_files_stay_for_those_who_have_them_open(catalogue: Catalogue) -> None:
    name = file_name(catalogue.cache, "key")
    for _ in range(6):
        last = catalogue.save(name)
    assert len(list(name.parent.iterdir())) == 7
    for file in name.parent.iterdir():
        os.utime(file, (0, 0))
    last = catalogue.save(name)
    files = sorted(name.parent.iterdir())
    assert len(files) == 4
    assert files[-1] == last.path
    assert all(file.suffix == ".arrow" for file in files)
