"""From a trained network to a graph in a file.

The batch may have any size. The patch has that of the sliding window, because that is the only size
the window asks for, and a fixed one lets transformers and odd sizes be traced too.

Shapes: B batch, C channels in, K outputs, X Y Z the patch (X Y of a two-dimensional network).
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from lightning_brats.errors import ConfigError
from lightning_brats.export.network import INPUT, OUTPUT, first_line, need
from lightning_brats.slices import slab_slices
from lightning_brats.task import SegmentationTask


def patch_shape(task: SegmentationTask) -> list[int]:
    """(C, X, Y, Z) of what the window gives the network; (C, X, Y) of a two-dimensional one."""
    window = task.inference
    channels = len(task.context["modalities"]) * slab_slices(window.neighbours)
    return [channels, *(s for s in window.patch_size if s > 1 or task.spatial_dims == 3)]


def trace(task: SegmentationTask) -> ExportedProgram:
    """The network's graph.

    Raises:
        ConfigError: Something in it cannot be traced.
    """
    patch = torch.zeros(2, *patch_shape(task))
    dynamic = ({0: Dim("batch")},)
    try:
        with _quiet():
            return torch.export.export(task.net, (patch,), dynamic_shapes=dynamic, strict=False)
    except Exception as error:  # torch.export has no exception of its own
        raise _untraceable(task, error) from error


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Write a graph as ONNX, weights inside.

    Raises:
        ConfigError: A package is missing, or an operator has no counterpart in ONNX.
    """
    need("onnx", "onnxscript", "onnxruntime")
    try:
        with _quiet():
            found = torch.onnx.export(
                program, (), input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False
            )
        assert found is not None
        found.save(path, external_data=False)
    except Exception as error:  # several packages' own
        raise ConfigError(
            f"the network cannot be written as ONNX ({first_line(error)})",
            remedy="format=pt2 takes every network that torch can trace",
        ) from error


def write_program(program: ExportedProgram, path: Path) -> None:
    """Write a graph in torch's format, without the example patch, which would be pickled."""
    program._example_inputs = None
    torch.export.save(program, path)


def _untraceable(task: SegmentationTask, error: Exception) -> ConfigError:
    return ConfigError(
        f"{type(task.net).__name__} cannot be exported: {first_line(error)}",
        remedy="the network branches on its input's values or on the batch's size; predict with "
        "the checkpoint itself",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' progress and the warnings about torch's own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
