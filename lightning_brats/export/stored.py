"""An exported network's folder: the graph, and in `model.json` all else that its use takes.

model.onnx or model.pt2    patches → logits
model.json                 modalities, preprocessing, window, head, labels, post-processing
model_card.md              what it was trained on and how good it is, where the run says so
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightning_brats import __version__
from lightning_brats.errors import BratsError, ConfigError
from lightning_brats.export.network import INPUT, OUTPUT, OnnxNetwork, ProgramNetwork, unreadable
from lightning_brats.inference import SlidingWindow
from lightning_brats.postprocess import Postprocess
from lightning_brats.task import SegmentationTask

DESCRIPTION = "model.json"
FILES = {"onnx": "model.onnx", "pt2": "model.pt2"}
"""Format → the graph's file."""
NETWORKS: Mapping[str, type[OnnxNetwork] | type[ProgramNetwork]] = {
    "onnx": OnnxNetwork,
    "pt2": ProgramNetwork,
}
OWN = ("format", "file", "input", "output", "head", "regions", "window", "parity", "made_with")
"""Keys of `model.json` beside those of the task's context."""


def describe(task: SegmentationTask, kind: str, shape: Sequence[int], parity: Any) -> dict:
    """Contents of `model.json`.

    Args:
        task: The network and what is known of its data.
        kind: `onnx` or `pt2`.
        shape: (C, X, Y, Z) of a patch; (C, X, Y) for a two-dimensional network.
        parity: How far the graph is from the network.
    """
    versions = {"lightning_brats": __version__, "torch": version("torch")}
    return {
        "format": kind,
        "file": FILES[kind],
        "input": {"name": INPUT, "type": "float32", "shape": ["batch", *shape]},
        "output": {"name": OUTPUT, "type": "float32", "values": task.head},
        "head": task.head,
        "regions": list(task.regions),
        "window": asdict(task.inference),
        **task.context,
        "parity": parity,
        "made_with": versions,
    }


def load_exported(description: Path) -> SegmentationTask:
    """An exported network, ready to predict.

    Args:
        description: `model.json`, with the graph beside it.

    Raises:
        ConfigError: A file is missing or damaged, or the two do not belong together.
    """
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
        graph = description.with_name(FILES[content["format"]])
        head, regions = content["head"], content["regions"]
        window = SlidingWindow(**content["window"])
        Postprocess.from_dict(content["postprocess"])
        wanted = content["input"]["shape"]
    except (OSError, ValueError, KeyError, TypeError, BratsError) as error:
        raise unreadable(description, error) from error
    if not graph.is_file():
        raise ConfigError(f"{graph.name} is missing", file=graph, remedy="copy the whole folder")
    net = NETWORKS[content["format"]](graph)
    if net.shape[1:] != wanted[1:]:
        raise ConfigError(
            f"{graph.name} takes patches of {net.shape[1:]}, and {DESCRIPTION} says {wanted[1:]}",
            file=graph,
            remedy="keep files of one export together, or export again",
        )
    context = {key: value for key, value in content.items() if key not in OWN}
    task = SegmentationTask(net, None, head, regions, inference=window, context=context)
    task.spatial_dims = len(wanted) - 2  # which is not to be seen from the graph
    return task.eval()
