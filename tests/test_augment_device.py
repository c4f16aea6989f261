"""Augmentation left to the training device: the same draw, the same patch, the same training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torchio as tio
from conftest import write_case
from omegaconf import DictConfig

from lightning_brats import BratsDataModule, QueueSettings, SegmentationTask, UNet, augment
from lightning_brats.augment import ByChannel, Flip, augment_
from lightning_brats.data import transforms as own
from lightning_brats.data.cache import Cache, CachedCase
from lightning_brats.data.patches import PatchDataset
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.queue import PatchQueue, collate_patches
from lightning_brats.data.sampling import PatchPlan, PatchRequest
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.data.transforms import draw_plan, works_on_device
from lightning_brats.errors import ConfigError
from lightning_brats.experiment import configure
from lightning_brats.parts import build

PATCH = (16, 16, 16)


def preset(name: str, device: str = "true", *overrides: str) -> own.Chain:
    cfg: DictConfig = configure(f"augmentation={name}", f"augmentation.device={device}", *overrides)
    return build(cfg.augmentation)


@pytest.fixture
def cached(tmp_path: Path) -> list[CachedCase]:
    cache = Cache(tmp_path / "cache", Preprocess())
    return [cache.get(write_case(tmp_path, f"c{i}", seed=i)) for i in range(2)]


def test_probabilities_of_the_standard_set() -> None:
    """nnU-Net's table, over 2,000 draws."""
    steps = preset("standard").transforms[1:]
    torch.manual_seed(0)
    counts: Counter[str] = Counter()
    channels = 0
    for _ in range(2000):
        plan, _history = draw_plan(steps, (4, 8, 8, 8))
        assert plan.keep_background
        for step in plan.steps:
            if isinstance(step, Flip):
                counts.update(f"axis {axis}" for axis in step.axes)
                continue
            name = step.function.__name__
            if name == "gamma_":
                name += str(step.values[0][1])
            counts[name] += 1
            channels += name == "blur_" and sum(value is not None for value in step.values)
    some = 1 - 0.5**4  # of the channels that are chosen by half
    expected = {
        "noise_": 0.1,
        "blur_": 0.2 * some,
        "scale_": 0.15,
        "stretch_": 0.15,
        "coarsen_": 0.25 * some,
        "gamma_True": 0.1,
        "gamma_False": 0.3,
        "axis 0": 0.5,
        "axis 1": 0.5,
        "axis 2": 0.5,
    }
    assert set(counts) == set(expected)
    for name, share in expected.items():
        deviation = np.sqrt(share * (1 - share) / 2000)
        assert counts[name] / 2000 == pytest.approx(share, abs=4 * deviation), name
    assert channels / 2000 == pytest.approx(4 * 0.2 * 0.5, abs=0.08)


@pytest.mark.parametrize("size", [PATCH, (1, 16, 16), (16, 16, 1)])
@pytest.mark.parametrize("name", ["standard", "intensity", "spatial", "flips"])
def test_the_device_makes_the_very_patch_that_a_worker_makes(
    cached: list[CachedCase], name: str, size: tuple[int, int, int]
) -> None:
    chain = preset(name)
    worker = PatchDataset(cached, size, chain)
    device = PatchDataset(cached, size, chain, on_device=True)
    changed = 0
    for seed in range(12):
        request = PatchRequest(subject=seed % 2, forced=True, seed=seed)
        done, left = worker[request], device[request]
        assert "augmentation" not in done
        image, mask = left.image.data[None], left.mask.data[None]
        plan = left["augmentation"]
        augment_(image, mask, [plan])
        changed += bool(plan.steps)
        assert torch.equal(image[0], done.image.data)
        assert torch.equal(mask[0], done.mask.data)
        assert [s.name for s in left.history] == [s.name for s in done.history]
    assert changed > 3


def test_the_history_of_a_planned_patch_repeats_it(cached: list[CachedCase]) -> None:
    """TorchIO's own way through the same steps gives the same patch."""
    chain = preset("standard", "false", "augmentation.transforms.warp=null")
    plain, augmented = PatchDataset(cached, PATCH), PatchDataset(cached, PATCH, chain)
    for seed in range(8):
        request = PatchRequest(subject=0, forced=True, seed=seed)
        subject, expected = plain[request], augmented[request]
        subject.image.set_data(subject.image.data.float())
        again = expected.get_composed_history()(subject)
        assert torch.equal(again.image.data.half(), expected.image.data)
        assert torch.equal(again.mask.data, expected.mask.data)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_bring_their_plans_from_any_position(
    cached: list[CachedCase], workers: int
) -> None:
    chain = preset("standard")
    plan = PatchPlan(2, 4, 0.3, 2)
    ahead = PatchQueue(PatchDataset(cached, PATCH, chain), plan)
    queue = PatchQueue(PatchDataset(cached, PATCH, chain, on_device=True), plan, workers)
    queue.seek(1, 4)  # as after a stop
    ahead.seek(1)
    done = [collate_patches(ahead.__getitems__([i, i + 1])) for i in range(0, 8, 2)]
    for i in (4, 6):
        batch = collate_patches(queue.__getitems__([i, i + 1]))
        augment_(batch["image"], batch["mask"], batch["augmentation"])
        assert torch.equal(batch["image"], done[i // 2]["image"])
        assert torch.equal(batch["mask"], done[i // 2]["mask"])
        assert "augmentation" not in done[i // 2]
    queue.close()


def test_single_subjects_are_collated_with_their_plans(cached: list[CachedCase]) -> None:
    dataset = PatchDataset(cached, PATCH, preset("flips"), on_device=True)
    subjects = [dataset[PatchRequest(0, True, seed)] for seed in range(3)]
    assert len(collate_patches(subjects)["augmentation"]) == 3


def test_own_chains_with_bias_field_and_thick_slices_work_on_the_device() -> None:
    steps = [own.RandomPolynomialBias(p=1), own.RandomThickSlices(p=1), own.RandomPowerLaw(p=1)]
    plan, history = draw_plan(own.chain(steps, device=True).transforms, (2, 8, 9, 10))
    functions = [step.function for step in plan.steps if isinstance(step, ByChannel)]
    assert functions == [augment.bias_, augment.coarsen_, augment.power_law_]
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 2, 8, 9, 10, generator=generator)
    subject = tio.Subject(image=tio.ScalarImage(tensor=image[0].clone()))
    augment_(image, torch.zeros(1, 1, 8, 9, 10), [plan])
    assert torch.allclose(tio.Compose(history)(subject).image.data, image[0], atol=1e-5)


def train(folder: Path, cases: tuple, device: str) -> tuple[list[float], list[torch.Tensor]]:
    """Losses of two steps, and the weights after them."""
    losses: list[float] = []

    class Losses(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
            assert set(batch) == {"image", "mask", "case"}
            losses.append(outputs["loss"].item())

    pl.seed_everything(0, verbose=False)
    names = [case.case for case in cases]
    data = BratsDataModule(
        CaseSource("made up", cases),
        queue=QueueSettings(PATCH, batch_size=2, patches_per_volume=2, workers=0),
        split=Split(tuple(names[:2]), (names[2],), (names[3],)),
        transform=preset("standard", device),
        cache=folder / "cache",
    )
    task = SegmentationTask(UNet(4, 3, widths=[4, 8]))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=2,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Losses()],
        default_root_dir=folder,
    )
    trainer.fit(task, data)
    assert data.queue is not None
    assert data.queue.dataset.on_device == (device == "true")
    return losses, [weight.detach().clone() for weight in task.parameters()]


def test_training_is_the_same_wherever_patches_are_augmented(tmp_path: Path) -> None:
    cases = tuple(write_case(tmp_path, f"c{i}", seed=i) for i in range(4))
    in_workers = train(tmp_path, cases, "false")
    on_device = train(tmp_path, cases, "true")
    by_itself = train(tmp_path, cases, "auto")  # on a CPU: in the workers
    for other in (on_device, by_itself):
        assert other[0] == in_workers[0]
        assert len(other[0]) == 2
        assert all(map(torch.equal, other[1], in_workers[1]))


@pytest.mark.parametrize("name", ["flips", "intensity", "spatial", "standard"])
def test_auto_is_the_device_on_cuda_and_the_workers_elsewhere(name: str) -> None:
    chain = preset(name, "auto")
    assert works_on_device(chain, cuda=True, margin=0)
    assert not works_on_device(chain, cuda=False, margin=0)
    assert not works_on_device(preset(name, "false"), cuda=True, margin=0)
    assert works_on_device(preset(name, "true"), cuda=False, margin=0)


@pytest.mark.parametrize("name", ["full", "mri_artifacts", "custom"])
def test_transforms_for_workers_alone_stay_there_and_it_is_said(name: str) -> None:
    with pytest.warns(UserWarning, match="Random.* workers alone"):
        assert not works_on_device(preset(name, "auto"), cuda=True, margin=0)
    with pytest.raises(ConfigError, match="workers alone"):
        preset(name, "true")


def test_what_cannot_go_to_the_device_is_refused(cached: list[CachedCase]) -> None:
    with pytest.raises(ConfigError, match=r"queue\.margin=4"):
        works_on_device(preset("standard"), cuda=True, margin=4)
    with pytest.raises(ConfigError, match="none of true, false and auto"):
        preset("standard", "cuda")
    with pytest.raises(ConfigError, match="include"):
        own.chain([own.RandomBrightness(include=["image"])], device=True)
    with pytest.raises(ValueError, match="margin"):
        PatchDataset(cached, PATCH, preset("flips"), margin=2, on_device=True)
    with pytest.raises(ValueError, match="RandomGamma"):
        PatchDataset(cached, PATCH, tio.RandomGamma(), on_device=True)
    assert not works_on_device(None, cuda=True, margin=0)
    assert not works_on_device(tio.RandomGamma(), cuda=True, margin=0)
