"""Medical Segmentation Decathlon (Task01) and nnU-Net raw: `imagesTr`, `labelsTr`, `dataset.json`.

The Decathlon stores one 4-D file a case, nnU-Net a file a channel, `CASE_0000.nii.gz` and on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.exclusion import BadCases
from lightning_brats.data.layouts.files import Listing, nifti_files, read_json, scan
from lightning_brats.data.layouts.names import modality_of, patient_of, scheme_from_names
from lightning_brats.errors import DataError
from lightning_brats.labels import LabelScheme

DESCRIPTION = "dataset.json"
SUBSETS = ("imagesTr", "imagesTs")
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


class Decathlon:
    """A folder described by a `dataset.json`, or one of its image folders.

    Args:
        root: Folder of `dataset.json`.
        subset: The image folder the user named, if one.
    """

    layouts = ("msd", "nnunet")

    def __init__(self, root: Path, subset: str | None = None) -> None:
        self.root, self.subset = root, subset
        self.file = root / DESCRIPTION
        self.description = read_json(self.file)
        if not isinstance(self.description, dict):
            remedy = "restore it from the data set"
            raise DataError("not a data set's description", file=self.file, remedy=remedy)

    @classmethod
    def find(cls, root: Path, listing: Listing) -> Decathlon | None:
        """The reader of a folder, or `None` where no `dataset.json` describes it."""
        if DESCRIPTION in listing.files and set(SUBSETS) & set(listing.folders):
            return cls(root)
        if root.name in SUBSETS and (root.parent / DESCRIPTION).is_file():
            return cls(root.parent, root.name)
        return None

    def detect(self) -> str:
        """`nnunet` where files end in a channel's number, `msd` else."""
        if "channel_names" in self.description:
            return "nnunet"
        found = [stem for subset in SUBSETS for stem in self._files(subset)]
        return "nnunet" if found and all(map(_CHANNEL.fullmatch, found)) else "msd"

    def read(
        self, layout: str, labels: LabelScheme | None, require_masks: bool, bad: BadCases
    ) -> list[Case]:
        """Training cases, and the unlabelled test cases where masks are not required.

        Args:
            layout: `msd` or `nnunet`.
            labels: Overrides the coding of `dataset.json`.
            require_masks: Whether only training cases are wanted.
            bad: Takes files that belong to no channel.

        Raises:
            DataError: `dataset.json` lacks what is needed, or two files answer to one name.
        """
        scheme = labels or self._scheme(layout)
        cohort = "MSD" if layout == "msd" else self.root.name
        subsets = SUBSETS[:1] if require_masks else SUBSETS
        cases: list[Case] = []
        for subset in (self.subset,) if self.subset else subsets:
            images, masks = self._files(subset), self._files(subset.replace("images", "labels"))
            files = self._channels(images, bad) if layout == "nnunet" else self._stacked(images)
            cases += [
                Case(name, patient_of(name), refs, scheme, masks.get(name), cohort=cohort)
                for name, refs in files.items()
            ]
        if not cases:
            remedy = "check that the download or copy is complete"
            where = self.root / (self.subset or SUBSETS[0])
            raise DataError("no NIfTI image found", file=where, remedy=remedy)
        return cases

    def _scheme(self, layout: str) -> LabelScheme:
        labels = self._entry("labels", "data.labels={1:1,2:2,3:3} gives the coding without it")
        name = layout if layout == "msd" else self.root.name
        return scheme_from_names(labels, name, self.file)

    def _modalities(self) -> dict[int, str]:
        """Channel → modality; a channel that is none of BraTS' four keeps its own name."""
        key = "channel_names" if "channel_names" in self.description else "modality"
        names = self._entry(key, 'e.g. "modality": {"0": "FLAIR", "1": "T1w", …}')
        numbers = [int(channel) for channel in names if str(channel).isdigit()]
        modalities = [modality_of(str(name)) or str(name) for name in names.values()]
        if len(numbers) < len(names) or len(set(modalities)) < len(names):
            remedy = "number the channels from 0 and name each differently"
            raise DataError(f"unclear channels: {names}", file=self.file, remedy=remedy)
        return dict(zip(numbers, modalities, strict=True))

    def _entry(self, key: str, remedy: str) -> Mapping:
        value = self.description.get(key)
        if not isinstance(value, dict) or not value:
            problem = f"'{key}' is missing, empty or not a mapping"
            raise DataError(problem, file=self.file, remedy=remedy)
        return value

    def _stacked(self, images: dict[str, Path]) -> dict[str, dict[str, ImageRef]]:
        channels = self._modalities()
        return {
            case: {modality: ImageRef(path, channel) for channel, modality in channels.items()}
            for case, path in images.items()
        }

    def _channels(self, images: dict[str, Path], bad: BadCases) -> dict[str, dict[str, ImageRef]]:
        ending = self.description.get("file_ending", ".nii.gz")
        if not str(ending).startswith(".nii"):
            remedy = "convert the images and masks to NIfTI"
            raise DataError(f"files end in {ending}, not NIfTI", file=self.file, remedy=remedy)
        channels = self._modalities()
        cases: dict[str, dict[str, ImageRef]] = {}
        for stem, path in images.items():
            match = _CHANNEL.fullmatch(stem)
            if match is None or int(match["channel"]) not in channels:
                remedy = f"name it CASE_0000.nii.gz and on, or list its channel in {DESCRIPTION}"
                problem = f"the name does not end in one of the channels {sorted(channels)}"
                bad.add(DataError(problem, case=stem, file=path, remedy=remedy))
                continue
            cases.setdefault(match["case"], {})[channels[int(match["channel"])]] = ImageRef(path)
        return cases

    def _files(self, subset: str) -> dict[str, Path]:
        folder = self.root / subset
        return nifti_files(folder, scan(folder).files, str) if folder.is_dir() else {}
