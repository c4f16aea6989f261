"""Exported graphs as networks, so that windows, flips and ensembles work on them unchanged.

They have no parameters of their own: device and arithmetic are the graph's.

Shapes: B batch, C channels in, K outputs, X Y Z the patch that the graph was made for (X Y of a
two-dimensional network).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor, nn

from lightning_brats.errors import ConfigError

INPUT, OUTPUT = "image", "logits"
"""What a graph calls what goes in and what comes out."""
EXTRA = "pip install -e '.[export]'"
MEMBERS = re.compile(
    r"[^/]+/([\w.]+|\.data/\w+|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json))"
)
"""Names of a pt2 archive's members. Loading others may run code, such as libraries, legacy `.pt`
files, objects in constants, and torch 2.7's files, which lie in no folder."""
UNREADABLE = (
    *(OSError, RuntimeError, KeyError, AssertionError, ValueError, TypeError, AttributeError),
    BadZipFile,
)


def need(*packages: str) -> None:
    """Nothing, or which optional packages are missing.

    Raises:
        ConfigError: One is not installed.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} is not installed", remedy=EXTRA)


class OnnxNetwork(nn.Module):
    """A graph run by ONNX Runtime, on a GPU where its GPU build is installed.

    Args:
        path: `model.onnx`.

    Raises:
        ConfigError: ONNX Runtime is missing, or cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        need("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        there = onnxruntime.get_available_providers()
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        try:
            self.session: Any = onnxruntime.InferenceSession(
                str(path), options, [name for name in wanted if name in there]
            )
        except Exception as error:  # its exceptions have no common class but this
            raise unreadable(path, error) from error

    @property
    def shape(self) -> list[Any]:
        """(B, C, X, Y, Z) of what goes in; the batch has a name instead of a size."""
        return list(self.session.get_inputs()[0].shape)

    def forward(self, image: Tensor) -> Tensor:
        """Patches (B, C, X, Y, Z) → logits (B, K, X, Y, Z) on the same device."""
        (logits,) = self.session.run([OUTPUT], {INPUT: image.float().cpu().numpy()})
        return torch.from_numpy(logits).to(image.device)


class ProgramNetwork(nn.Module):
    """A graph of `torch.export`, on whichever device patches come from.

    torch warns that such files are to be loaded from trusted sources only: beyond what is refused
    here, they hold expressions that are evaluated.

    Args:
        path: `model.pt2`.

    Raises:
        ConfigError: The file cannot be read, or holds pickled objects or compiled code.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            _refuse_code(path)
            self._program = torch.export.load(path)
        except UNREADABLE as error:
            raise unreadable(path, error) from error
        self._place(torch.device("cpu"))

    @property
    def shape(self) -> list[Any]:
        """(B, C, X, Y, Z) of what goes in; the batch has a name instead of a size."""
        (name,) = self._program.graph_signature.user_inputs
        (node,) = (node for node in self._program.graph.nodes if node.name == name)
        sizes = node.meta["val"].shape
        return [size if isinstance(size, int) else str(size) for size in sizes]

    def forward(self, image: Tensor) -> Tensor:
        """Patches (B, C, X, Y, Z) → logits (B, K, X, Y, Z)."""
        if image.device != self._device:
            self._place(image.device)
        return self._run(image)

    def _place(self, device: torch.device) -> None:
        """Weights and the graph's constants to a device."""
        from torch.export.passes import move_to_device_pass

        self._device = device
        self._program = move_to_device_pass(self._program, device)
        # Not as a submodule: exported ones refuse `eval()`.
        self._run: Callable[[Tensor], Tensor] = self._program.module().__call__


def first_line(error: Exception) -> str:
    """Kind and first line of an error, whose message may have dozens."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}".strip(": ")


def unreadable(path: Path, error: Exception) -> ConfigError:
    """What to say of a file that is damaged or of another kind."""
    return ConfigError(
        f"the exported network cannot be read ({first_line(error)})",
        file=path,
        remedy="export it again: python experiments/export.py checkpoint=… output=DIR",
    )


def _refuse_code(path: Path) -> None:
    """Raise `ConfigError` where an archive has members that are unpickled or run when loaded."""
    with ZipFile(path) as archive:
        suspicious = [
            member.filename
            for member in archive.infolist()
            if not MEMBERS.fullmatch(member.filename)
            or (member.filename.endswith(".pt") and member.file_size)
            or (member.filename.endswith("_config.json") and _pickles(archive.read(member)))
        ]
    if suspicious:
        raise ConfigError(
            f"the file holds pickled objects, compiled code or else what no export has "
            f"({suspicious[0]})",
            file=path,
            remedy="load what experiments/export.py wrote",
        )


def _pickles(config: bytes) -> bool:
    """Whether a list of weights or constants has one that is unpickled."""
    entries = json.loads(config.decode())["config"].values()
    return any(entry["use_pickle"] for entry in entries)
