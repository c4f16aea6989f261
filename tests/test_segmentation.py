"""What is kept and said while the cases of a run are segmented."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lightning_brats import console
from lightning_brats.evaluation.confidence import BRAIN, Confidence
from lightning_brats.segmentation import CaseCounter, ConfidenceWriter
from lightning_brats.task import SegmentationTask

TRAINER = SimpleNamespace(world_size=1, is_global_zero=True)


def batch(name: str, counted: bool = True) -> dict:
    """Six voxels, of which the last one lies outside the brain; labels SNFH, SNFH, ET, 0, 0, 0."""
    image = torch.tensor([1.0, 1, 1, 1, 1, 0]).reshape(1, 1, 6, 1, 1)
    mask = torch.tensor([2, 2, 3, 0, 0, 0], dtype=torch.uint8).reshape(1, 1, 6, 1, 1)
    origin = SimpleNamespace(case=SimpleNamespace(case=name))
    return {"image": image, "mask": mask, "origin": origin, "counted": counted}


def outputs() -> torch.Tensor:
    """Probabilities (3, 6, 1, 1) of WT, TC and ET."""
    rows = [[0.9, 0.9, 0.9, 0.9, 0.0, 0.9], [0.0] * 6, [0.0, 0.0, 0.4, 0.0, 0.0, 0.0]]
    return torch.tensor(rows).reshape(3, 6, 1, 1)


def test_confidence_is_measured_in_the_brain(tmp_path: Path) -> None:
    task = SegmentationTask(torch.nn.Conv3d(1, 3, 1))
    writer = ConfidenceWriter(tmp_path)
    for name, counted in (("b", True), ("a", True), ("again", False)):
        writer.on_predict_batch_end(TRAINER, task, outputs(), batch(name, counted), 0)
    writer.on_predict_end(TRAINER, task)
    found = Confidence.read(tmp_path)
    assert found is not None
    assert found.within == BRAIN
    assert found.predicted["case"].unique().tolist() == ["a", "b"]
    dice = found.predicted.query("case == 'a'").set_index("region")["predicted_dice"]
    # WT: 2 · 4.5 / (4.5 + 5), voxels outside the brain count; TC: surely nothing; ET: 1 − 0.4.
    assert dice.tolist() == pytest.approx([9 / 9.5, 1.0, 0.6], abs=1e-6)
    whole = found.pooled("WT")
    assert whole.count.sum() == 2 * 5
    # In the brain 0.9 was said of four voxels, and three of them are tumour; 0 of one, rightly.
    assert whole.positive.sum() == 2 * 3
    assert whole.ece == pytest.approx((3.6 - 3) / 5, abs=1e-6)
    assert found.pooled("ET").ece == pytest.approx(0.6 / 5, abs=1e-6)


def test_confidence_of_a_softmax_head_is_by_region(tmp_path: Path) -> None:
    task = SegmentationTask(torch.nn.Conv3d(1, 4, 1), head="labels")
    soft = torch.tensor([0.1, 0.2, 0.3, 0.4]).reshape(4, 1, 1, 1).expand(4, 6, 1, 1)
    writer = ConfidenceWriter(tmp_path)
    writer.on_predict_batch_end(TRAINER, task, soft, batch("a"), 0)
    writer.on_predict_end(TRAINER, task)
    found = Confidence.read(tmp_path)
    assert found is not None
    # Whole tumour 0.9, core 0.2 + 0.4, enhancing 0.4, of five voxels with three, one and one.
    errors = [found.pooled(region).ece for region in ("WT", "TC", "ET")]
    assert errors == pytest.approx([0.9 - 0.6, 0.6 - 0.2, 0.4 - 0.2], abs=1e-6)


def test_cases_are_counted_over_all_ranks() -> None:
    seen: list[tuple[int, int]] = []
    counter = CaseCounter(5, lambda done, total: seen.append((done, total)))
    two = SimpleNamespace(world_size=2)
    counter.on_predict_start(two, None)
    for _ in range(3):
        counter.on_predict_batch_end(two)
    assert seen == [(0, 5), (2, 5), (4, 5), (5, 5)]


def test_plain_lines_come_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 0.0, 1.0, 20.0, 21.0, 90.0])
    monkeypatch.setattr(console.time, "perf_counter", lambda: next(clock))
    with console.counting("segmenting", "test cases") as progress:
        for done in (0, 1, 2, 3, 8):
            progress(done, 8)
    assert capsys.readouterr().out.splitlines() == [
        "  segmenting  0/8 test cases",
        "  segmenting  2/8 test cases  left 1.0 min",
        "  segmenting  8/8 test cases  in 1.5 min",
    ]


def test_other_ranks_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with console.counting("segmenting", "test cases", shown=False) as progress:
        progress(1, 1)
    assert capsys.readouterr().out == ""
