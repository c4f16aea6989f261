"""Broken and hostile uploads, by name: the files, and words of the message that is expected."""

from __future__ import annotations

import gzip
import io
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from lightning_brats.labels import MODALITIES

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHAPE = (24, 28, 20)


@dataclass
class File:
    """An upload, as Streamlit gives it."""

    name: str
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def getbuffer(self) -> memoryview:
        return memoryview(self.content)


def nifti(
    data: np.ndarray | None = None, affine: np.ndarray = LPS, seed: int = 0, **header: Any
) -> bytes:
    """A NIfTI file; fields of the header are set as they are, sensible or not."""
    if data is None:
        rng = np.random.default_rng(seed)
        data = np.zeros(SHAPE, np.int16)
        data[4:-4, 4:-4, 4:-4] = rng.integers(100, 400, data[4:-4, 4:-4, 4:-4].shape)
    image = nib.Nifti1Image(data, affine)
    content = bytearray(image.to_bytes())
    for name, value in header.items():
        at = nib.Nifti1Header.template_dtype.fields[name][1]
        content[at : at + len(value)] = value
    return bytes(content)


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 1)


def four(**changed: bytes) -> list[File]:
    """A good case, but for what is changed."""
    files = {m: packed(nifti(seed=number)) for number, m in enumerate(MODALITIES)} | changed
    return [File(f"case-{name}.nii.gz", content) for name, content in files.items()]


def archive(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            opened.writestr(info, target)
    return out.getvalue()


def _encrypted() -> bytes:
    content = bytearray(archive({"case-t1c.nii": nifti()}))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of both headers
        content[content.index(magic) + offset] |= 1
    return bytes(content)


def _misnamed() -> bytes:
    """Says that its name is UTF-8."""
    content = bytearray(archive({"case-t1c.nii": nifti()}).replace(b"case-", b"case\xff"))
    for magic, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):  # bit 11 of the flags
        content[content.index(magic) + offset] |= 8
    return bytes(content)


def _damaged() -> bytes:
    content = bytearray(archive({"case-t1c.nii": nifti()}))
    content[60:400] = bytes(340)
    return bytes(content)


def _understated() -> bytes:
    """Says that it unfolds to 100 bytes."""
    content = bytearray(archive({"case-t1c.nii": bytes(5_000_000)}))
    for magic, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(magic) + offset
        content[at : at + 4] = struct.pack("<I", 100)
    return bytes(content)


def _dims(*sizes: int) -> bytes:
    return struct.pack("<8h", len(sizes), *sizes, *[1] * (7 - len(sizes)))


FLAT = LPS.copy()
FLAT[:, 2] = FLAT[:, 1]
MOST_BYTES = 20_000_000
"""That archives may unfold to in these tests."""

Make = Callable[[], list[File]]

HOSTILE: dict[str, tuple[Make, str]] = {
    "nothing": (lambda: [], "no file was given"),
    "empty file": (lambda: [File("a-t1c.nii.gz", b"")], "is empty"),
    "text": (lambda: [File("a-t1c.nii", b"this is no image" * 50)], "no NIfTI file"),
    "text, said to be gzip": (lambda: [File("a-t1c.nii.gz", b"plain text" * 90)], "no NIfTI"),
    "another kind": (lambda: [File("a.exe", b"MZ" + bytes(500))], "neither NIfTI nor a zip"),
    "pickle": (lambda: [File("a-t1c.nii", pickle.dumps(list(range(500))))], "no NIfTI file"),
    "truncated gzip": (lambda: four(t1c=packed(nifti())[:-4000]), "unreadable or damaged"),
    "truncated voxels": (lambda: four(t1c=packed(nifti()[:-900])), "the file ends after"),
    "giant": (
        lambda: four(t1c=packed(nifti(dim=_dims(30000, 30000, 30000)))),
        "30000 × 30000 × 30000 voxels",
    ),
    "giant by its channels": (
        lambda: four(t1c=packed(nifti(dim=_dims(400, 400, 400, 8)))),
        "400 × 400 × 400 × 8 voxels",
    ),
    "a name of 300 bytes": (
        lambda: [File(150 * "ж" + "-t1c.nii", nifti())],
        "longer than 200 bytes",
    ),
    "a name that is no UTF-8": (lambda: [File("a.zip", _misnamed())], "damaged or no zip"),
    "gzip bomb": (
        lambda: four(t1c=packed(nifti(dim=_dims(1000, 1000, 1000)) + bytes(40_000_000))),
        "1000 × 1000 × 1000 voxels",
    ),
    "negative axis": (lambda: four(t1c=packed(nifti(dim=_dims(24, -28, 20)))), "24 × -28 × 20"),
    "one slice": (
        lambda: four(t1c=packed(nifti(np.ones((24, 28, 1), np.int16)))),
        "24 × 28 × 1 voxels",
    ),
    "time series": (
        lambda: four(t1c=packed(nifti(np.ones((12, 12, 12, 40), np.int16)))),
        "up to 8 channels",
    ),
    "colours": (
        lambda: four(t1c=packed(nifti(np.ones(SHAPE, np.complex64)))),
        "not real numbers",
    ),
    "unknown type": (
        lambda: four(t1c=packed(nifti(datatype=struct.pack("<h", 999)))),
        "case-t1c",
    ),
    "header without end": (
        lambda: four(t1c=packed(nifti(vox_offset=struct.pack("<f", 4e8)))),
        "larger than any header",
    ),
    "voxels elsewhere": (lambda: four(t1c=packed(nifti(magic=b"ni1\0"))), "in another file"),
    "flat space": (lambda: four(t1c=packed(nifti(affine=FLAT))), "flattens space"),
    "affine of NaN": (
        lambda: four(t1c=packed(nifti(srow_x=struct.pack("<4f", *[float("nan")] * 4)))),
        "cannot be",
    ),
    "voxels of a metre": (
        lambda: four(t1c=packed(nifti(affine=np.diag([1000.0, 1000, 1000, 1])))),
        "1e+03 mm cannot be",
    ),
    "traversal": (
        lambda: [File("a.zip", archive({"../../evil-t1c.nii": nifti()}))],
        "leads out of the archive",
    ),
    "absolute name": (
        lambda: [File("a.zip", archive({"/etc/evil-t1c.nii": nifti()}))],
        "leads out of the archive",
    ),
    "Windows name": (
        lambda: [File("a.zip", archive({"C:\\evil-t1c.nii": nifti()}))],
        "leads out of the archive",
    ),
    "link": (
        lambda: [File("a.zip", archive({}, {"a-t1c.nii": "/etc/passwd"}))],
        "is a link",
    ),
    "zip bomb": (
        lambda: [File("a.zip", archive({f"a{i}-t1c.nii": bytes(9_000_000) for i in range(4)}))],
        "unfolds to 36 MB",
    ),
    "zip bomb that understates": (lambda: [File("a.zip", _understated())], "damaged"),
    "a million files": (
        lambda: [File("a.zip", archive({f"{i}.nii": b"" for i in range(1500)}))],
        "holds 1500 files",
    ),
    "encrypted zip": (lambda: [File("a.zip", _encrypted())], "encrypted"),
    "damaged zip": (lambda: [File("a.zip", _damaged())], "damaged"),
    "no zip": (lambda: [File("a.zip", b"Rar!" + bytes(900))], "damaged or no zip"),
    "zip in a zip": (
        lambda: [File("a.zip", archive({"b.zip": archive({"a-t1c.nii": nifti()})}))],
        "no NIfTI file was found",
    ),
    "zip without images": (
        lambda: [File("a.zip", archive({"readme.txt": b"hello"}))],
        "no NIfTI file was found",
    ),
    "name that leaves": (
        lambda: [File("../../a-t1c.nii.gz", packed(nifti()))],
        "leads out of the archive or folder",
    ),
    "name with control characters": (
        lambda: [File("a\x1b[2J-t1c.nii.gz", packed(nifti()))],
        "control characters",
    ),
    "the same file twice": (lambda: four()[:1] * 2, "was given twice"),
    "nested description": (
        lambda: [
            File("a.zip", archive({"dataset.json": b"[" * 100_000, "imagesTr/a.nii": b"x" * 400}))
        ],
        "no NIfTI file",
    ),
}
"""These fail while they are taken in."""

LATER: dict[str, tuple[Make, str]] = {
    "NaN": (lambda: four(t1c=packed(nifti(np.full(SHAPE, np.nan, np.float32)))), "NaN"),
    "empty image": (
        lambda: four(**dict.fromkeys(MODALITIES, packed(nifti(np.zeros(SHAPE, np.int16))))),
        "the brain is empty",
    ),
    "constant image": (
        lambda: four(t1c=packed(nifti(np.full(SHAPE, 7, np.int16)))),
        "t1c is constant",
    ),
    "other grid": (
        lambda: four(t1c=packed(nifti(np.ones((20, 20, 20), np.int16)))),
        "has shape",
    ),
    "other place": (
        lambda: four(t1c=packed(nifti(affine=LPS + np.eye(4, k=3) * 9))),
        "the affine of t1c differs",
    ),
    "missing modality": (lambda: four()[:3], "modality t2f is missing"),
}
"""These can be read one by one, and fail as a case."""
