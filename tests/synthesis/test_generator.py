"""What the generator sees, what each loss teaches, and how a volume is filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import write_case
from skimage.metrics import peak_signal_noise_ratio
from torch import nn
from torch.utils.data import DataLoader

from lightning_brats.data.cache import Cache
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.synthesis.condition import (
    healthy_holes,
    input_channels,
    kinds_of,
    view,
    widened,
)
from lightning_brats.synthesis.generating import generate
from lightning_brats.synthesis.network import MaskToImage
from lightning_brats.synthesis.quality import compare
from lightning_brats.synthesis.task import SynthesisTask
from lightning_brats.synthesis.tissues import find_centres, find_colours

CENTRES = [[-1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]
COLOURS = [[2.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-2.0, -2.0], *CENTRES]
TINY = {"widths": [4, 8], "critic": [4, 8]}


def sample(size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Two modalities with a brain that does not reach the border, and a mask."""
    torch.manual_seed(0)
    image = torch.randn(2, 2, size, size, size) + 0.1
    image[:, :, :2] = 0
    labels = torch.zeros(2, 1, size, size, size, dtype=torch.uint8)
    labels[0, :, 5:8, 6:9, 6:9] = 2
    labels[0, :, 6, 7, 7] = 3
    return image, labels


def make(**settings) -> SynthesisTask:
    net = MaskToImage(input_channels(2), 2, **{**TINY, **settings})
    return SynthesisTask(net, COLOURS, (8, 8, 8))


def test_nothing_of_the_hidden_image_is_seen() -> None:
    image, labels = sample()
    seen = view(image, labels, torch.tensor(CENTRES), 2, None)
    noise = torch.zeros_like(image[:, :1])
    before = seen.condition(noise)
    assert before.shape[1] == input_channels(2)
    changed = torch.where(labels > 0, image + 5, image)  # in the tumour, whose kinds are hidden too
    again = view(changed, labels, torch.tensor(CENTRES), 2, None).condition(noise)
    assert torch.equal(before, again)
    assert seen.hole[0, 0, 3:10, 4:11, 4:11].all()
    assert seen.hole[0].sum() == 7**3
    assert not seen.hole[1].any()
    assert not (seen.hole & (image == 0).all(1, keepdim=True)).any()


def test_kinds_are_the_nearest_centres_in_the_brain() -> None:
    image = torch.zeros(1, 2, 3, 1, 1)
    image[0, :, 1, 0, 0] = torch.tensor([0.1, 0.9])
    image[0, :, 2, 0, 0] = torch.tensor([2.0, -2.0])
    found = kinds_of(image, torch.tensor(CENTRES))[0, :, :, 0, 0].T
    assert found.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_holes_and_margins() -> None:
    point = torch.zeros(1, 1, 9, 9, 9, dtype=torch.bool)
    point[0, 0, 4, 4, 4] = True
    assert widened(point, 2).sum() == 5**3
    torch.manual_seed(0)
    holes = healthy_holes(torch.Size((3, 2, 20, 20, 20)), torch.device("cpu"))
    assert holes.shape == (3, 1, 20, 20, 20)
    assert len({int(hole.sum()) for hole in holes}) == 3


def test_the_error_is_that_of_the_hole_alone_and_tumours_weigh_more() -> None:
    task = make(tumour_weight=3.0)
    image, labels = sample()
    seen = view(image, labels, task.centres, 1, None)
    filled = image.clone()
    filled[0, :, 6, 7, 7] += 2.0  # a voxel of the tumour
    filled[0, :, 4, 5, 5] += 1.0  # one of its margin
    filled[1] += 9.0  # no hole there
    inside, tumour = 5**3, 3**3
    expected = (3 * 2 + 1 * 1) / (inside - tumour + 3 * tumour)
    assert task.error(seen, filled).item() == pytest.approx(expected, rel=1e-5)


def test_each_loss_reaches_the_network_it_is_meant_for() -> None:
    task = make(adversarial=0.5)
    image, labels = sample()
    seen = view(image, labels, task.centres, 2, None)
    noise = torch.randn_like(image[:, :1])
    made = task.net(seen.condition(noise))
    task.adversarial(seen, seen.filled(made)).backward()
    learning = [p.grad.clone() for p in task.critic.parameters()]
    fooled = [p.grad.clone() for p in task.net.parameters()]
    assert all(g.isfinite().all() for g in (*learning, *fooled))
    assert any(g.abs().sum() > 0 for g in fooled)
    # The discriminator alone, by hand: real above 1, made below −1.
    task.zero_grad()
    task.critic.eval()  # no further power iteration
    with torch.no_grad():
        filled = seen.filled(task.net(seen.condition(noise)))
    real, fake = task.critic(seen.judged(image)), task.critic(seen.judged(filled))
    by_hand = (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
    judged = task.adversarial(seen, filled)
    assert judged.item() == pytest.approx((by_hand - 0.5 * fake.mean()).item(), rel=1e-4)
    judged.backward()
    own = [p.grad.clone() for p in task.critic.parameters()]
    task.zero_grad()
    by_hand.backward()
    for one, other in zip(own, (p.grad for p in task.critic.parameters()), strict=True):
        torch.testing.assert_close(one, other)  # being fooled teaches the discriminator nothing


def test_without_an_adversary_there_is_none() -> None:
    task = make(adversarial=0.0)
    assert task.critic is None
    assert task.adversarial(None, torch.zeros(1)).item() == 0  # type: ignore[arg-type]


def validated(task: SynthesisTask, *batches: dict[str, Any]) -> dict[str, float]:
    """What a validation on these volumes logs."""
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    loader = DataLoader(list(batches), batch_size=None)
    return dict(trainer.validate(task, loader, verbose=False)[0])


def test_a_case_without_tumour_says_nothing_of_the_error() -> None:
    """Of two volumes the first alone has a tumour: its error is the mean over both."""
    image, labels = sample()
    task = make()
    batches = [{"image": image[i : i + 1], "mask": labels[i : i + 1]} for i in range(2)]
    both, first, nothing = (
        validated(task, *given) for given in (batches, batches[:1], batches[1:])
    )
    assert first["val/mae"] > 0
    assert both == pytest.approx(first)
    assert all(np.isnan(value) for value in nothing.values())


def test_a_case_that_fills_up_is_logged_with_no_weight() -> None:
    """Two volumes of which one counts; where none does the metrics are there all the same."""
    image, labels = sample()
    labels[1, :, 9:12, 9:12, 9:12] = 2
    batches = [{"image": image[i : i + 1], "mask": labels[i : i + 1]} for i in range(2)]
    filler = {**batches[1], "counted": False}
    task = make()
    alone = validated(task, batches[0])
    assert validated(task, batches[0], filler) == pytest.approx(alone)
    assert validated(task, *batches) != pytest.approx(alone)
    nothing = validated(task, filler)
    assert set(nothing) == set(alone)
    assert all(np.isnan(value) for value in nothing.values())


class TwoRanks:
    """Of a trainer what the task asks for."""

    world_size = 2


def test_three_volumes_on_two_ranks_weigh_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one fills up. Weights are averaged over ranks and cut to whole numbers."""
    image, labels = sample()
    task, ranks = make(), TwoRanks()
    task.trainer = ranks  # type: ignore[assignment]
    logged: list[tuple[str, int, bool]] = []

    def log(name: str, value: torch.Tensor, batch_size: int, sync_dist: bool) -> None:
        logged.append((name, batch_size, sync_dist))

    monkeypatch.setattr(task, "log", log)
    for number in range(4):
        batch = {"image": image[:1], "mask": labels[:1], "counted": number < 3}
        task.validation_step(batch, number)
    for name in task.validated:
        weights = [weight for other, weight, _ in logged if other == name]
        assert weights == [2, 2, 2, 0]  # on average over the ranks 3, the number of volumes
    assert all(shared for _, _, shared in logged)


@pytest.mark.parametrize("wrong", [{"margin": 0}, {"adversarial": -1.0}, {"tumour_weight": 0.0}])
def test_settings_that_cannot_work(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="margin"):
        make(**wrong)


class Copy(nn.Module):
    """Gives the last two channels of the condition back, times two."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return 2 * x[:, -2:]


def test_windows_cover_the_hole_and_add_up() -> None:
    torch.manual_seed(0)
    condition = torch.randn(4, 30, 12, 11)
    hole = torch.zeros(30, 12, 11, dtype=torch.bool)
    hole[20:27, 3:6, 2:9] = True
    net = Copy()
    out = generate(net, condition, hole, (8, 8, 16), 2)
    torch.testing.assert_close(out[:, hole], 2 * condition[-2:][:, hole])
    assert net.calls < 4  # not the whole volume
    assert not generate(net, condition, hole & False, (8, 8, 8), 2).any()


def test_a_filled_volume_keeps_what_is_around_and_the_seed_decides() -> None:
    task = make().eval()
    image, labels = (tensor[:1] for tensor in sample())
    seen = view(image, labels, task.centres, 1, None)
    one, two, other = (task.fill(seen, seed) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    outside = ~seen.hole.expand_as(image)
    assert torch.equal(one[outside], image[outside])


class Batches(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        image, labels = sample()
        return {"image": image.half(), "mask": labels}


def test_training_lowers_the_error_and_a_checkpoint_brings_it_back(tmp_path: Path) -> None:
    pl.seed_everything(0, verbose=False)
    net = {"_target_": "lightning_brats.synthesis.MaskToImage", "in_channels": input_channels(2)}
    # Without norms: two modalities that are constant can be learnt in no time.
    task = SynthesisTask({**net, "out_channels": 2, **TINY}, COLOURS, (8, 8, 8))
    loader = torch.utils.data.DataLoader(Batches(), batch_size=None)
    trainer = pl.Trainer(
        max_epochs=6,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        default_root_dir=tmp_path,
        enable_checkpointing=False,
    )
    history: list[float] = []

    class Watch(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, *args) -> None:
            history.append(float(trainer.callback_metrics["train/l1"]))

    trainer.callbacks.append(Watch())
    trainer.fit(task, loader)
    assert np.isfinite(history).all()
    assert history[-1] < 0.9 * history[0]
    assert trainer.global_step == 48
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = SynthesisTask.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert again.net.config == task.net.config
    for name, value in task.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_centres_put_fluid_first(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", shape=(20, 20, 20), seed=i) for i in range(3)]
    cache = Cache(tmp_path / "cache", Preprocess())
    entries = [cache.get(case) for case in cases]
    modalities = ["t1n", "t1c", "t2w", "t2f"]
    rising = np.array(find_centres(entries, modalities, seed=0))
    assert rising.shape == (3, 4)
    assert (np.diff(rising[:, 0]) > 0).all()
    assert find_centres(entries, modalities, seed=0) == rising.tolist()
    falling = np.array(find_centres(entries, ["x", "y", "t2w", "z"], seed=0))
    assert (np.diff(falling[:, 2]) < 0).all()
    with pytest.raises(DataError, match="too few"):
        find_centres([Empty()], ["t1n"], seed=0)  # type: ignore[list-item]


def test_colours_are_means_by_label(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", shape=(20, 20, 20), seed=i) for i in range(2)]
    cache = Cache(tmp_path / "cache", Preprocess())
    entries = [cache.get(case) for case in cases]
    colours = np.array(find_colours(entries, ["t1n", "t1c", "t2w", "t2f"], seed=0))
    assert colours.shape == (4 + 3, 4)
    values = [np.asarray(e.image, np.float64)[:, np.asarray(e.mask) == 3] for e in entries]
    assert colours[2] == pytest.approx(np.concatenate(values, 1).mean(1))
    assert colours[3].tolist() == [0, 0, 0, 0]  # no cavity in these cases
    assert colours[4:].tolist() == find_centres(entries, ["t1n", "t1c", "t2w", "t2f"], seed=0)


def test_the_generator_starts_from_what_a_voxel_holds() -> None:
    task = make().eval()
    torch.nn.init.zeros_(task.net.unet.heads[-1].weight)
    torch.nn.init.zeros_(task.net.unet.heads[-1].bias)
    image, labels = (tensor[:1] for tensor in sample())
    filled = task.fill(view(image, labels, task.centres, 1, None), seed=0)
    assert filled[0, :, 6, 7, 7].tolist() == [3.0, 3.0]  # enhancing
    assert filled[0, :, 5, 6, 6].tolist() == [0.0, 2.0]  # oedema
    distances = np.square(np.array(CENTRES) - image[0, :, 4, 5, 5].numpy()).sum(1)
    assert filled[0, :, 4, 5, 5].tolist() == CENTRES[distances.argmin()]


class Empty:
    image = np.zeros((1, 3, 3, 3), np.float16)
    mask = None


def test_image_quality_by_hand(tmp_path: Path) -> None:
    case = write_case(tmp_path, shape=(8, 8, 8)).with_modalities(["t1c"])
    rng = np.random.default_rng(0)
    real = rng.uniform(1, 3, (1, 16, 16, 16)).astype(np.float32)
    made = real + 0.5
    where = np.zeros((16, 16, 16), bool)
    where[4:8] = True
    rows = compare(case, real, made, {"tumour": where, "nothing": where & False})
    assert {row["region"] for row in rows} == {"tumour"}
    values = {row["metric"]: row["value"] for row in rows}
    span = float(real.max() - real.min())
    assert values["mae"] == pytest.approx(0.5, rel=1e-5)
    expected = peak_signal_noise_ratio(real[0], made[0], data_range=span)
    assert values["psnr"] == pytest.approx(expected, rel=1e-4)
    assert values["ssim"] < 1
    same = {row["metric"]: row["value"] for row in compare(case, real, real, {"tumour": where})}
    assert same == {"mae": 0.0, "psnr": np.inf, "ssim": pytest.approx(1.0)}
