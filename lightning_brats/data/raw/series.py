"""Which series of an examination is which modality, by what scanners and people call them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.layouts.files import IGNORED, stem
from lightning_brats.data.layouts.names import file_role
from lightning_brats.data.raw.dicom import Series, find_series, holds_dicom
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import MODALITIES, LabelScheme

_OTHER = re.compile(
    r"\b(adc|e?dwi|diff\w*|trace\w*|dti|tensor|perf\w*|dsc|dce|asl|swi|swan|loc\w*|scout|survey|"
    r"mip|mpr range|sub\w*|phoenix\w*|calib\w*|angio\w*|tof|mra|mrv|fmri|bold|spectro\w*|mrs|"
    r"b ?\d{3,4}|gre|ge|ffe|hemo\w*|seg|segm|mask)\b|t2 ?\*|t2 ?star"
)
_FLAIR = re.compile(r"flair|dark ?fluid|tirm|\bt2f\b")
_T1 = re.compile(r"t1|mp ?rage|spgr|bravo|vibe|thrive")
_T2 = re.compile(r"t2")
_AGENT = re.compile(
    r"gd|gado|contrast|post|enhanc|\bgad\b|\+ ?c\b|\bc ?\+|\bt1 ?ce?\b|\bce\b|\bkm\b|\bc\b"
)
_NO_AGENT = re.compile(
    r"\b(pre|without|ohne|nativ\w*|plain)\b|\bw ?/? ?o\b|\bno[nt]? ?(contrast|gad\w*|gd|enhanced)"
)


def modality_of_series(text: str, agent: bool = False) -> str | None:
    """The modality that a description names; `None` where it names none of the four.

    Args:
        text: Series description, folder or file name: `t1_mprage_sag_p2_iso_GD`, `FLAIR 3D`.
        agent: Whether the scanner noted a contrast agent.
    """
    words = re.sub(r"[\s_.,;:()\-]+", " ", text.lower()).strip()
    if _OTHER.search(words):
        return None
    if _T1.search(words):  # first, because there is a T1-weighted FLAIR
        if _NO_AGENT.search(words):
            return "t1n"
        return "t1c" if agent or _AGENT.search(words) else "t1n"
    if _FLAIR.search(words):
        return "t2f"
    return "t2w" if _T2.search(words) else None


@dataclass(frozen=True)
class Examination:
    """The series of one examination.

    Args:
        name: Names the mask that is written.
        folder: Where they lie.
        series: All of them.
    """

    name: str
    folder: Path
    series: tuple[Series, ...]

    def case(
        self,
        modalities: Sequence[str],
        scheme: LabelScheme,
        patterns: Mapping[str, str] | None = None,
        missing_ok: bool = False,
    ) -> Case:
        """The examination as a case without a mask.

        Args:
            modalities: Wanted, in this order.
            scheme: Coding of the mask to be written.
            patterns: Modality → what its series is called, with `*` and `?`, upper or lower case.
            missing_ok: Whether some modalities may have no series, if no pattern is for them.

        Raises:
            DataError: A modality has no series, or several.
            ConfigError: A pattern is for something that is not wanted.
        """
        patterns = patterns or {}
        unknown = [name for name in patterns if name not in modalities]
        if unknown:
            raise ConfigError(
                f"modalities_from names {', '.join(unknown)}; the network takes "
                f"{', '.join(modalities)}",
                remedy="correct the name, or take it out",
            )
        chosen = {m: self._chosen(m, patterns.get(m)) for m in modalities}
        if missing_ok and any(chosen.values()):
            chosen = {m: found for m, found in chosen.items() if found or m in patterns}
        bad = {m: found for m, found in chosen.items() if len(found) != 1}
        if bad:
            raise self._unclear(bad)
        images = {modality: _reference(found[0]) for modality, found in chosen.items()}
        return Case(self.name, self.name, images, scheme)

    def _chosen(self, modality: str, pattern: str | None) -> list[Series]:
        if pattern is None:
            return [one for one in self.series if recognise(one) == modality]
        return [one for one in self.series if _matches(one, pattern)]

    def _unclear(self, bad: Mapping[str, Sequence[Series]]) -> DataError:
        problems = [
            f"{len(found)} series for {modality} ({', '.join(map(str, found))})"
            if found
            else f"no series for {modality}"
            for modality, found in bad.items()
        ]
        listed = "".join(f"\n    {one} → {recognise(one) or '?'}" for one in self.series)
        example = next(iter(bad))
        return DataError(
            f"{'; '.join(problems)}; the folder holds{listed}",
            case=self.name,
            file=self.folder,
            remedy=f"name it by its description or folder: 'modalities_from={{{example}: "
            '"*MPRAGE*GD*"}\'',
        )


def find_examinations(root: Path) -> list[Examination]:
    """Examinations in a folder: DICOM by study, or the NIfTI files of one case.

    Raises:
        DataError: There is none, or two would have the same name.
    """
    root = root.expanduser().resolve()
    if not holds_dicom(root):
        return [Examination(root.name, root, tuple(_nifti_series(root)))]
    studies: dict[str, list[Series]] = {}
    for series in find_series(root):
        studies.setdefault(series.study, []).append(series)
    if len(studies) == 1:
        return [Examination(root.name, root, tuple(found)) for found in studies.values()]
    examinations: dict[str, Examination] = {}
    for found in studies.values():
        folder = _common_folder(root, found)
        name = "_".join(folder.relative_to(root).parts)
        if not name or name in examinations:
            raise DataError(
                f"there are several studies in {name or 'it'}: "
                f"{', '.join(str(one) for one in found[:4])}",
                file=folder,
                remedy="give each study a folder of its own",
            )
        examinations[name] = Examination(name, folder, tuple(found))
    return [examinations[name] for name in sorted(examinations)]


def recognise(series: Series) -> str | None:
    """A series' modality by its description, or else by its folder's name."""
    folder = Path(series.folder).name
    return modality_of_series(series.name, series.agent) or (
        None if _OTHER.search(series.name.lower()) else modality_of_series(folder, series.agent)
    )


def _matches(series: Series, pattern: str) -> bool:
    names = (series.name, series.folder, Path(series.folder).name)
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names)


def _reference(series: Series) -> ImageRef:
    if len(series.files) == 1 and stem(series.files[0].name) is not None:
        return ImageRef(series.files[0])
    return ImageRef(series.files[0], slices=series.files)


def _nifti_series(root: Path) -> list[Series]:
    files = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and stem(path.name) is not None
        and file_role(str(stem(path.name))) in (None, *MODALITIES)
        and not any(part.startswith(IGNORED) for part in path.relative_to(root).parts)
    ]
    if not files:
        raise DataError(
            "the folder holds neither NIfTI nor DICOM files",
            file=root,
            remedy="check the path, and that the copy is complete",
        )
    return [
        Series(str(stem(path.name)), str(path.parent.relative_to(root.parent)), (path,))
        for path in files
    ]


def _common_folder(root: Path, series: Sequence[Series]) -> Path:
    """The deepest folder that holds all of a study."""
    first, *others = [one.files[0].resolve().parent for one in series]
    if not others:  # the series' own folder is not its examination's
        return first.parent if first.parent != root else first
    while any(first not in (other, *other.parents) for other in others):
        first = first.parent
    return first
