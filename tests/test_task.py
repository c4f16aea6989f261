from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import write_case
from monai.networks.nets import DynUNet

from lightning_brats import BratsDataModule, QueueSettings, SegmentationTask, SlidingWindow, UNet
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.labels import region_masks
from lightning_brats.models import FCNN

REGIONS = ("WT", "TC", "ET")
PATCH = (16, 16, 16)


def tiny(out: int = 3, dims: int = 3) -> UNet:
    return UNet(4, out, widths=[4, 8], spatial_dims=dims)


@pytest.fixture
def data(tmp_path: Path) -> BratsDataModule:
    cases = tuple(write_case(tmp_path, f"c{i}", seed=i) for i in range(4))
    names = [c.case for c in cases]
    split = Split(tuple(names[:2]), (names[2],), (names[3],))
    queue = QueueSettings(PATCH, batch_size=2, patches_per_volume=2, workers=0)
    return BratsDataModule(CaseSource("made up", cases), queue=queue, split=split)


def trainer(folder: Path, **settings) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return pl.Trainer(
        accelerator="cpu", devices=1, default_root_dir=folder, **{**quiet, **settings}
    )


def test_a_training_without_an_end_is_refused(tmp_path: Path, data: BratsDataModule) -> None:
    task = SegmentationTask(tiny(), inference=SlidingWindow(PATCH))
    with pytest.raises(ConfigError, match=r"trainer\.max_epochs or trainer\.max_steps"):
        trainer(tmp_path, max_epochs=-1, max_time="00:00:00:09").fit(task, data)


def test_five_lines_from_a_notebook(data: BratsDataModule, tmp_path: Path) -> None:
    task = SegmentationTask(tiny(), inference=SlidingWindow(PATCH))
    runner = trainer(tmp_path, max_epochs=2)
    runner.fit(task, data)
    assert 0 <= runner.callback_metrics["val/dice_mean"] <= 1
    scores = runner.test(task, data, verbose=False)[0]
    assert set(scores) == {"test/dice_WT", "test/dice_TC", "test/dice_ET", "test/dice_mean"}


def test_a_checkpoint_rebuilds_the_task_without_running_stored_code(
    data: BratsDataModule, tmp_path: Path
) -> None:
    task = SegmentationTask(
        tiny(),
        loss={"_target_": "lightning_brats.losses.dice"},
        inference={"_target_": "lightning_brats.inference.SlidingWindow", "patch_size": [16] * 3},
        context={"modalities": ["a", "b"]},
    )
    runner = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    runner.fit(task, data)
    runner.save_checkpoint(tmp_path / "x.ckpt")
    again = SegmentationTask.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)
    image = torch.rand(1, 4, *PATCH)
    task.eval(), again.eval()
    assert torch.equal(task(image), again(image))
    assert again.context == {"modalities": ["a", "b"]}
    assert again.inference.patch_size == PATCH
    assert len(again.loss.loss.terms) == 1


def test_targets_by_hand() -> None:
    task = SegmentationTask(tiny())
    mask = torch.tensor([0, 1, 2, 3, 4], dtype=torch.uint8).view(1, 1, 5, 1, 1)
    target = task.target(mask)
    assert target.shape == (1, 3, 5, 1, 1)
    assert np.array_equal(target[0].numpy(), region_masks(mask[0, 0].numpy(), REGIONS))
    assert SegmentationTask(tiny(4), head="labels").target(mask) is mask


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_two_dimensional_networks_take_slices_along_any_axis(axis: int) -> None:
    task = SegmentationTask(tiny(dims=2)).eval()
    patch = [16, 16, 16]
    patch[axis] = 1
    image = torch.rand(2, 4, *patch)
    flat = task.net(image.squeeze(2 + axis))
    assert torch.equal(task(image), flat.unsqueeze(2 + axis))


@pytest.mark.parametrize("patch", [(16, 16, 16), (16, 1, 1)])
def test_two_dimensional_networks_refuse_what_is_no_slice(patch: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="2-D network") as caught:
        SegmentationTask(tiny(dims=2)).eval()(torch.rand(2, 4, *patch))
    assert "queue.patch_size" in caught.value.remedy


@pytest.mark.parametrize("axis", [0, 2])
def test_volumes_are_predicted_slice_by_slice_along_any_axis(axis: int) -> None:
    """A network that only sees slices gives each voxel the mean over its own slice."""

    class SliceMean(torch.nn.Conv2d):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.mean((2, 3), keepdim=True).expand_as(image)[:, :3]

    patch = [6, 6, 6]
    patch[axis] = 1
    window = SlidingWindow(patch, precision="32")
    task = SegmentationTask(SliceMean(4, 4, 1), inference=window).eval()
    image = torch.rand(1, 4, 6, 6, 6) + 0.5
    plane = [a for a in (1, 2, 3) if a != 1 + axis]
    expected = image[0].mean(plane, keepdim=True).expand(4, 6, 6, 6)[:3].sigmoid()
    assert torch.allclose(task.probabilities(image), expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_of_a_network_that_stacks_its_outputs(axis: int) -> None:
    net = DynUNet(2, 4, 3, [3] * 4, [1, 2, 2, 2], [2] * 3, [4, 8, 8, 8], deep_supervision=True)
    task = SegmentationTask(net).train()
    patch = [16, 16, 16]
    patch[axis] = 1
    outputs = task(torch.rand(2, 4, *patch))
    assert outputs.shape == (2, 2, 3, *patch)  # (B, levels, K, ...)
    task.loss(outputs, torch.zeros(2, 3, *patch)).backward()


def test_validation_dice_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    task = SegmentationTask(FCNN(4, 3))
    mask = torch.zeros(1, 1, 4, 1, 1, dtype=torch.uint8)
    mask[0, 0, :2] = 2  # two voxels of oedema: WT
    guess = torch.zeros(3, 4, 1, 1)
    guess[0, 1:4] = 0.9  # three voxels of WT, one right
    guess[2, 0] = 0.6  # one voxel of ET, none there
    monkeypatch.setattr(task, "probabilities", lambda image: guess)
    task.validation_step({"image": torch.zeros(1, 4, 4, 1, 1), "mask": mask}, 0)
    assert task._scores[0].tolist() == pytest.approx([2 / 5, 1.0, 0.0])


def test_labels_head_chooses_the_most_probable_label(monkeypatch: pytest.MonkeyPatch) -> None:
    task = SegmentationTask(FCNN(4, 4), head="labels")
    mask = torch.tensor([3, 0], dtype=torch.uint8).view(1, 1, 2, 1, 1)
    guess = torch.tensor([[0.1, 0.4], [0.2, 0.2], [0.3, 0.2], [0.4, 0.2]]).view(4, 2, 1, 1)
    monkeypatch.setattr(task, "probabilities", lambda image: guess)
    task.validation_step({"image": torch.zeros(1, 4, 2, 1, 1), "mask": mask}, 0)
    assert task._scores[0].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("head", ["regions", "labels"])
def test_one_case_can_be_learnt_by_heart(head: str, tmp_path: Path) -> None:
    pl.seed_everything(1)
    case = write_case(tmp_path, "only")
    source = CaseSource("one", (case,))
    queue = QueueSettings((16, 16, 16), 2, patches_per_volume=20, workers=0, foreground=0.7)
    data = BratsDataModule(source, queue=queue, split=Split(("only",), (), ()))
    net = UNet(4, 3 if head == "regions" else 4, widths=[8, 16])
    adam = {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.02}
    task = SegmentationTask(net, head=head, optimizer=adam, inference=SlidingWindow(PATCH))
    runner = trainer(tmp_path, max_epochs=12, precision="bf16-mixed", limit_val_batches=0)
    runner.fit(task, data)
    data.split = Split((), ("only",), ("only",))
    scores = runner.test(task, data, verbose=False)[0]
    assert scores["test/dice_mean"] > 0.95
