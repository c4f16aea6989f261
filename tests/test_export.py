"""Exported networks say what their checkpoints say, alone and through `predict.py`."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import write_case
from hydra import compose, initialize_config_module
from test_prediction import REGIONS, arrays, run, write_brats
from torch import Tensor, nn

from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.sources import CaseSource
from lightning_brats.errors import ConfigError
from lightning_brats.export.command import _replace, export
from lightning_brats.export.network import EXTRA, OnnxNetwork, ProgramNetwork, need
from lightning_brats.export.parity import largest_difference
from lightning_brats.export.stored import FILES, load_exported
from lightning_brats.inference import SlidingWindow
from lightning_brats.labels import MODALITIES
from lightning_brats.models import FCNN, UNet
from lightning_brats.postprocess import DropSmall, Postprocess
from lightning_brats.prediction import context, find_checkpoints, load_models
from lightning_brats.prediction.models import load_task
from lightning_brats.task import SegmentationTask

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SLABS = {"patch_size": [24, 16, 1], "neighbours": 1, "axes": ["axial", "sagittal"]}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], str]] = {
    "fcnn": (lambda: FCNN(4, 3, width=4), {"patch_size": [16, 16, 16]}, "regions"),
    "slices": (lambda: FCNN(12, 4, width=4, spatial_dims=2), SLABS, "labels"),
    "attention": (
        lambda: UNet(4, 3, size="tiny", skip="attention"),
        {"patch_size": [16, 16, 16]},
        "regions",
    ),
}
SHAPES = {"fcnn": [4, 16, 16, 16], "slices": [12, 24, 16], "attention": [4, 16, 16, 16]}
KINDS = [
    ("fcnn", "pt2"),
    ("slices", "onnx"),
    pytest.param("attention", "onnx", marks=pytest.mark.slow),
    pytest.param("attention", "pt2", marks=pytest.mark.slow),
]
Exports = Callable[[str, str], Path]
POSTPROCESS = Postprocess([DropSmall(minimum=20)], {"WT": 0.4})


def save(path: Path, net: nn.Module, settings: dict[str, Any], head: str) -> Path:
    """A checkpoint as a run leaves it, `<run>/checkpoints/best.ckpt`."""
    case = write_case(path / "trained_on", "x")
    facts = context(CaseSource("made-up cases", (case,)), Preprocess(margin=1))
    facts |= {"postprocess": POSTPROCESS.to_dict(), "modality_dropout": 0.25}
    window = {"_target_": "lightning_brats.inference.SlidingWindow", **settings}
    task = SegmentationTask(net, head=head, regions=REGIONS, inference=window, context=facts)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.strategy.connect(task)
    (path / "checkpoints").mkdir()
    trainer.save_checkpoint(path / "checkpoints" / "best.ckpt")
    (path / "model_card.md").write_text("# Model card of a test\n")
    return path


def exported(run_folder: Path, output: Path, kind: str) -> Path:
    """What `experiments/export.py` does."""
    overrides = [f"checkpoint={run_folder}", f"output={output}", f"format={kind}"]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        return export(compose("export", overrides))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, found = tmp_path_factory.mktemp("runs"), {}
    for seed, (name, (build, window, head)) in enumerate(NETWORKS.items()):
        torch.manual_seed(seed)
        (root / name).mkdir()
        found[name] = save(root / name, build(), window, head)
    return found


@pytest.fixture(scope="module")
def exports(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Makes an export when it is first asked for."""
    root = tmp_path_factory.mktemp("exports")

    @cache
    def make(name: str, kind: str) -> Path:
        return exported(runs[name], root / f"{name}-{kind}", kind)

    return make


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_the_folder_has_all_that_its_use_takes(
    runs: dict[str, Path], exports: Exports, name: str, kind: str
) -> None:
    folder, (_, window, head) = exports(name, kind), NETWORKS[name]
    assert {p.name for p in folder.iterdir()} == {FILES[kind], "model.json", "model_card.md"}
    assert (folder / "model_card.md").read_text() == "# Model card of a test\n"
    facts = json.loads((folder / "model.json").read_text())
    assert facts["input"]["shape"] == ["batch", *SHAPES[name]]
    assert (facts["head"], facts["regions"]) == (head, list(REGIONS))
    assert facts["modalities"] == list(MODALITIES)
    assert facts["labels"]["codes"]["4"] == 3  # BraTS 2018's enhancing tumour
    assert facts["preprocess"]["margin"] == 1
    assert facts["window"]["patch_size"] == window["patch_size"]
    assert facts["window"]["overlap"] == 0.5
    assert facts["postprocess"]["threshold"] == {"WT": 0.4}
    assert facts["parity"]["largest_difference"] < 1e-3
    (model,) = load_models(find_checkpoints(str(folder)))
    (original,) = load_models(find_checkpoints(str(runs[name])))
    assert model.postprocess == original.postprocess == POSTPROCESS
    assert model.preprocess == original.preprocess
    assert model.scheme == original.scheme
    assert model.tolerates_missing
    assert model.task.inference == original.task.inference


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize("batch", [1, 5])
def test_batches_of_any_size_agree(
    runs: dict[str, Path],
    exports: Exports,
    name: str,
    kind: str,
    batch: int,
) -> None:
    patches = torch.randn(batch, *SHAPES[name])
    first = load_task(runs[name] / "checkpoints" / "best.ckpt")
    second = load_exported(exports(name, kind) / "model.json")
    with torch.no_grad():
        assert torch.allclose(first.net(patches), second.net(patches), atol=1e-4)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_predictions_are_those_of_the_checkpoint(
    runs: dict[str, Path],
    exports: Exports,
    tmp_path: Path,
    name: str,
    kind: str,
) -> None:
    data, options = write_brats(tmp_path / "data", 2), {"probabilities": "true", "tta": "flips"}
    run(tmp_path / "a", data, runs[name], **options)
    run(tmp_path / "b", data, exports(name, kind), **options)
    for ending in ("", "_probabilities"):
        first, second = (arrays(tmp_path / folder, ending) for folder in "ab")
        assert first.keys() == second.keys()
        for case, volume in first.items():
            assert volume.any()
            assert np.abs(volume - second[case]).max() < 1e-3


def test_exports_make_an_ensemble(exports: Exports, runs: dict[str, Path], tmp_path: Path) -> None:
    data = write_brats(tmp_path / "data", 1)
    several = [exports("fcnn", "pt2"), exports("slices", "onnx")]
    (found,) = arrays(run(tmp_path / "a", data, *several)).values()
    (expected,) = arrays(run(tmp_path / "b", data, runs["fcnn"], runs["slices"])).values()
    assert (found == expected).mean() > 0.999


class Constant(nn.Module):
    """A network that says the same of every voxel: one logit for each of two outputs."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits).view(1, 2, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), 2, *x.shape[2:])


@pytest.mark.parametrize(
    ("head", "difference"),
    [("regions", 1 / (1 + np.exp(-1)) - 0.5), ("labels", np.e / (1 + np.e) - 0.5)],
)
def test_the_difference_is_that_of_probabilities(head: str, difference: float) -> None:
    window = SlidingWindow((4, 4, 4))
    first, second = (
        SegmentationTask(Constant(0.0, more), head=head, regions=["WT", "TC"], inference=window)
        for more in (0.0, 1.0)
    )
    image = torch.ones(1, 6, 5, 4)
    assert largest_difference(first.eval(), second.eval(), image) == pytest.approx(difference)
    assert largest_difference(first, first, image) == 0


def test_a_graph_that_differs_is_refused_and_not_left_behind(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProgramNetwork, "forward", lambda self, image: self._run(image) + 0.01)
    with pytest.raises(ConfigError, match=r"differ by up to 0\.002"):
        exported(runs["fcnn"], tmp_path / "out", "pt2")
    assert not list((tmp_path / "out").iterdir())


def test_a_refused_export_leaves_an_earlier_one_as_it_is(
    runs: dict[str, Path], exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(exports("fcnn", "pt2"), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(ProgramNetwork, "forward", lambda self, image: self._run(image) + 0.01)
    with pytest.raises(ConfigError, match="differ by up to"):
        exported(runs["fcnn"], folder, "pt2")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_nothing_of_an_earlier_export_stays_beside_a_new_one(tmp_path: Path) -> None:
    """Not the other format's graph, and not a card that the new network does not have."""
    folder, made = tmp_path / "out", tmp_path / "made"
    for place, names in {
        folder: ("model.json", "model.onnx", "model_card.md", "own.txt"),
        made: ("model.json", "model.pt2"),
    }.items():
        place.mkdir()
        for name in names:
            (place / name).write_text(place.name)
    _replace(folder, made)
    found = {path.name: path.read_text() for path in folder.iterdir()}
    assert found == {"model.json": "made", "model.pt2": "made", "own.txt": "out"}


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no_such_package is not installed") as error:
        need("json", "no_such_package")
    assert error.value.remedy == EXTRA


def test_what_cannot_be_exported_says_so(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose onnx or pt2"):
        exported(runs["fcnn"], tmp_path, "tflite")
    with pytest.raises(ConfigError, match="3 checkpoints"):
        exported(runs["fcnn"].parent, tmp_path, "pt2")
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ConfigError, match="an export already"):
        exported(tmp_path, tmp_path / "out", "pt2")
    with pytest.raises(ConfigError, match=r"cannot be read[\s\S]*export it again"):
        load_exported(tmp_path / "model.json")


def test_files_that_do_not_belong_together_are_refused(exports: Exports, tmp_path: Path) -> None:
    folder = exports("slices", "onnx")
    facts = json.loads((folder / "model.json").read_text())
    facts["input"]["shape"][2] = 32
    (tmp_path / "model.json").write_text(json.dumps(facts))
    with pytest.raises(ConfigError, match=r"model\.onnx is missing"):
        load_exported(tmp_path / "model.json")
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    with pytest.raises(ConfigError, match=r"model\.json says \[12, 32, 16\]"):
        load_exported(tmp_path / "model.json")
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ConfigError, match="cannot be read"):
        OnnxNetwork(tmp_path / "model.onnx")


def test_a_program_holds_no_pickles_and_one_that_does_is_refused(
    exports: Exports, tmp_path: Path
) -> None:
    path = exports("fcnn", "pt2") / "model.pt2"
    hostile = tmp_path / "model.pt2"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(hostile, "w") as copy:
        for member in archive.infolist():
            content = archive.read(member)
            assert not content.startswith(b"\x80")  # how pickles begin
            assert b"data.pkl" not in content
            empty = "/sample_inputs/" in member.filename
            copy.writestr(member.filename, b"\x80\x02." if empty else content)
    with pytest.raises(ConfigError, match=r"pickled objects.*sample_inputs"):
        ProgramNetwork(hostile)


def legacy(archive: Mapping[str, bytes]) -> dict[str, bytes]:
    """Torch 2.7's files around a graph."""
    names = ("state_dict", "constants", "example_inputs")
    graph = archive["model/models/model.json"]
    return {
        "version": b"8.15",
        "serialized_exported_program.json": graph,
        **{f"serialized_{name}.pt": b"\x80\x02." for name in names},
    }


def another_model(archive: Mapping[str, bytes]) -> dict[str, bytes]:
    graph = archive["model/models/model.json"]
    return {**archive, "model/models/x.json": graph, "model/data/weights/x.pt": b"\x80\x02."}


def spelt_apart(archive: Mapping[str, bytes]) -> dict[str, bytes]:
    name = "model/data/weights/model_weights_config.json"
    spelt = archive[name].replace(b'"use_pickle": false', b'"use_pickle" : true')
    assert spelt != archive[name]
    return {**archive, name: spelt}


HOSTILE: dict[str, Callable[[Mapping[str, bytes]], dict[str, bytes]]] = {
    "data/constants/model.pt": lambda a: {**a, "model/data/constants/model.pt": b"\x80\x02."},
    "models/x.json": another_model,
    "model_weights_config.json": spelt_apart,
    "version": legacy,
    "DATA/sample_inputs/MODEL.PT": lambda a: {**a, "model/DATA/sample_inputs/MODEL.PT": b"\x80."},
    "CUSTOM_OBJ_0": lambda a: {**a, "model/data/constants/CUSTOM_OBJ_0": b"\x80."},
    "aotinductor": lambda a: {**a, "model/data/aotinductor/model/x.cpp": b"int x;"},
}


@pytest.mark.parametrize("member", HOSTILE)
def test_members_that_run_code_are_refused_before_they_are_loaded(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    with zipfile.ZipFile(exports("fcnn", "pt2") / "model.pt2") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    hostile = tmp_path / "model.pt2"
    with zipfile.ZipFile(hostile, "w") as written:
        for name, data in HOSTILE[member](content).items():
            written.writestr(name, data)
    monkeypatch.setattr(torch.export, "load", lambda path: pytest.fail("it was loaded"))
    with pytest.raises(ConfigError, match=rf"pickled objects.*{member}"):
        ProgramNetwork(hostile)
