"""BraTS 2018 to 2024: a folder a case, in it a file a modality."""

from __future__ import annotations

import csv
import zlib
from functools import cached_property, lru_cache
from pathlib import Path

import nibabel as nib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.exclusion import BadCases
from lightning_brats.data.layouts.files import Listing, files_by_key, scan, stem
from lightning_brats.data.layouts.names import file_role, parse_case
from lightning_brats.errors import DataError
from lightning_brats.labels import MODALITIES, SCHEMES, LabelScheme

RELEASES = {
    "brats2018": ("BraTS2018", "brats2018"),
    "brats2019": ("BraTS2019", "brats2018"),
    "brats2020": ("BraTS2020", "brats2018"),
    "brats2021": ("BraTS2021", "brats2018"),
    "brats2023": ("BraTS2023", "brats2023"),
    "brats2024-gli": ("BraTS2024", "brats2024"),
}
"""Layout → cohort and label coding."""

ANY_NAMES = "folders"
"""Layout of case folders that no release names so; their coding has to be given."""

GRADES = ("HGG", "LGG")
GRID_2024 = (182, 218, 182)
_UNREADABLE = (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error)


class CaseFolders:
    """Case folders found in a folder, in its `HGG` and `LGG`, or the one case it is itself.

    Args:
        root: Where they were found.
        folders: Each case folder with its listing.
    """

    layouts = (*RELEASES, ANY_NAMES)

    def __init__(self, root: Path, folders: list[tuple[Path, Listing]]) -> None:
        self.root, self.folders = root, folders

    @classmethod
    def find(cls, root: Path, listing: Listing) -> CaseFolders | None:
        """The reader of a folder, or `None` where it holds no case folders."""
        folders = _case_folders(root, listing)
        return cls(root, folders) if folders else None

    @cached_property
    def named(self) -> dict[str, list[Path]]:
        """Layout → folders with its kind of name."""
        named: dict[str, list[Path]] = {}
        for folder, _ in self.folders:
            if parsed := parse_case(folder.name):
                named.setdefault(parsed[0], []).append(folder)
        return named

    def detect(self) -> str:
        """The layout, from the names; 2023 and 2024 are told apart by time points and grid.

        Raises:
            DataError: Cases of several layouts lie side by side.
        """
        if len(self.named) > 1:
            examples = ", ".join(f"{folders[0].name} ({k})" for k, folders in self.named.items())
            remedy = "keep each data set in a folder of its own, or list the cases in a table"
            raise DataError(f"several layouts in one: {examples}", file=self.root, remedy=remedy)
        layout = next(iter(self.named), ANY_NAMES)
        return "brats2024-gli" if layout == "brats2023" and self._is_2024() else layout

    def read(
        self, layout: str, labels: LabelScheme | None, require_masks: bool, bad: BadCases
    ) -> list[Case]:
        """Every case, with its mask where it has one, required or not.

        Args:
            layout: The recognised one, or another of `layouts`.
            labels: Overrides the layout's coding.
            require_masks: Not looked at here.
            bad: Takes the cases whose folder has no modality or two files for one.

        Raises:
            DataError: The coding is unknown or contradicts the names.
        """
        cohort, coding = RELEASES.get(layout, ("", None))
        if labels is None:
            self._check_coding(coding)
        scheme = labels or SCHEMES[str(coding)]
        parents = {folder.parent for folder, _ in self.folders}
        grades = {k: v for parent in sorted(parents) for k, v in _mapped_grades(parent).items()}
        cases = []
        for path, listing in self.folders:
            try:
                cases.append(_case(path, listing, scheme, cohort, grades))
            except DataError as error:
                bad.add(error)
        return cases

    def _is_2024(self) -> bool:
        """Its coding holds that of 2023, so what has cases of both years is read as 2024."""
        glioma = []
        for folder, listing in self.folders:
            parsed = parse_case(folder.name)
            if parsed and parsed[1]["cohort"].upper() == "GLI":
                if int(parsed[1]["time"]) >= 100:
                    return True
                glioma.append((folder, listing))
        images = [f for folder, listing in glioma[:1] for f in _files(folder, listing).values()]
        return bool(images) and _grid(images[0]) == GRID_2024

    def _check_coding(self, coding: str | None) -> None:
        if coding is None:
            raise DataError(
                f"no BraTS release names cases like {self.folders[0][0].name}, so the coding of "
                "the masks is unknown",
                file=self.root,
                remedy="name the layout (e.g. data.layout=brats2021) or the coding "
                "(e.g. data.labels=brats2018)",
            )
        for layout, folders in self.named.items():
            expected = RELEASES[layout][1]
            if expected != coding and {expected, coding} != {"brats2023", "brats2024"}:
                raise DataError(
                    f"the name is one of {layout}, whose masks hold "
                    f"{SCHEMES[expected].describe()}; the named layout expects "
                    f"{SCHEMES[coding].describe()}",
                    case=folders[0].name,
                    file=folders[0],
                    remedy=f"set data.layout={layout}; where the masks were really recoded, "
                    f"data.labels={coding}",
                )


def _case_folders(folder: Path, listing: Listing) -> list[tuple[Path, Listing]]:
    own = [(folder, listing)] if _has_images(listing) else []
    if own and parse_case(folder.name):
        return own
    found: list[tuple[Path, Listing]] = []
    for name in listing.folders:
        path = folder / name
        child = scan(path)
        if name.upper() in GRADES:
            found += _case_folders(path, child)
        elif _has_images(child) or parse_case(name):
            found.append((path, child))
    return found or own


def _has_images(listing: Listing) -> bool:
    return any(_role(name) in MODALITIES for name in listing.files)


def _role(name: str) -> str | None:
    """Modality, or `mask`, of a file."""
    start = max(name.rfind("_"), name.rfind("-"))
    return _role_of_ending(name[max(start, 0) :])


@lru_cache(1024)
def _role_of_ending(ending: str) -> str | None:
    own = stem(ending)
    return None if own is None else file_role(own)


def _files(folder: Path, listing: Listing) -> dict[str, Path]:
    """Modalities, in BraTS' order, and `mask`."""
    case = folder.name
    starts, length = (f"{case}-", f"{case}_"), len(case)
    keys = (  # nearly every name is the case's and one of a few endings
        (name, _role_of_ending(name[length:]) if name.startswith(starts) else _role(name))
        for name in listing.files
    )
    files = files_by_key(folder, keys, case=case)
    return {role: files[role] for role in (*MODALITIES, "mask") if role in files}


def _case(
    folder: Path, listing: Listing, scheme: LabelScheme, cohort: str, grades: dict[str, str]
) -> Case:
    name, files = folder.name, _files(folder, listing)
    mask = files.pop("mask", None)
    if not files:
        raise DataError(
            f"the folder holds no modality; found {[*listing.folders, *listing.files][:6]}",
            case=name,
            file=folder,
            remedy=f"restore its files, e.g. {name}-t1c.nii.gz or {name}_t1ce.nii.gz",
        )
    parsed = parse_case(name)
    site = parsed[1].groupdict().get("cohort") if parsed else None
    parent = folder.parent.name.upper()
    return Case(
        case=name,
        patient=parsed[1]["patient"] if parsed else name,
        images={modality: ImageRef(path) for modality, path in files.items()},
        scheme=scheme,
        mask=mask,
        cohort=f"{cohort}-{site.upper()}" if cohort and site else cohort,
        grade=parent if parent in GRADES else grades.get(name),
    )


def _mapped_grades(folder: Path) -> dict[str, str]:
    """Case → grade from the `name_mapping.csv` of BraTS 2020."""
    path = folder / "name_mapping.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    try:
        return {row["BraTS_2020_subject_ID"]: row["Grade"] for row in rows}
    except KeyError as error:
        remedy = "restore the file from the data set, or remove it to go without grades"
        raise DataError(f"the column {error} is missing", file=path, remedy=remedy) from error


def _grid(path: Path) -> tuple[int, ...]:
    try:
        return nib.load(path).shape  # type: ignore[attr-defined]
    except _UNREADABLE as error:
        raise DataError(
            f"unreadable NIfTI header ({error}), so BraTS 2023 and 2024 cannot be told apart",
            file=path,
            remedy="copy the file again, or name the layout: data.layout=brats2023",
        ) from error
