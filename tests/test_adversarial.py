"""A network and its discriminator in training: what each learns from, and that runs go on."""

import contextlib
import copy
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from monai.networks.nets import DynUNet
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.plugins.precision import MixedPrecision
from test_commands import call
from test_distributed import DDP
from test_experiment import TINY, InterruptAt
from torch.utils.data import DataLoader

from lightning_brats import assembly, experiment, runs
from lightning_brats.adversarial import AdversarialTask
from lightning_brats.callbacks import CompiledNetwork, InterruptedRunError, SkipNonFinite
from lightning_brats.data.phantom import write_phantom
from lightning_brats.errors import ConfigError
from lightning_brats.labels import SCHEMES
from lightning_brats.losses import Adversary
from lightning_brats.models import FCNN, PatchDiscriminator, SegGAN, UNet, describe
from lightning_brats.models.recompute import recompute
from lightning_brats.optim import plateau
from lightning_brats.parts import build
from lightning_brats.prediction.models import load_task
from lightning_brats.task import SegmentationTask
from lightning_brats.warmstart import freeze, warm_start

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
CONSTANT = {"_target_": "lightning_brats.optim.constant", "_partial_": True}
GAN = (
    *(option for option in TINY if not option.startswith("model.")),
    "model=seg_gan",
    "model.generator.size=tiny",
    "model.discriminator.widths=[8,16]",
    "queue.batch_size=2",
)


def made(generator: Any = None, clip: float = 0.5, **adversary: Any) -> AdversarialTask:
    """Two modalities, three regions, plain SGD for both networks."""
    torch.manual_seed(0)
    net = SegGAN(
        2,
        3,
        generator or partial(UNet, widths=[4, 8]),
        Adversary(**{"weight": 0.5, "warm_up": 0.0, "optimizer": SGD, **adversary}),
        partial(PatchDiscriminator, widths=(4, 4)),
    )
    return AdversarialTask(net, {"gradient_clip_val": clip}, optimizer=SGD, scheduler=CONSTANT)


def batches(number: int, seed: int = 1) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "image": torch.randn(2, 2, 16, 16, 16, generator=generator),
            "mask": torch.randint(0, 4, (2, 1, 16, 16, 16), generator=generator).byte(),
            "case": [f"c{index}a", f"c{index}b"],
        }
        for index in range(number)
    ]


def fit(task: AdversarialTask, folder: Path, given: list[dict], **settings: Any) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0,
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        **settings,
    )
    trainer.fit(task, DataLoader(given, batch_size=None))
    return trainer


def gradients(module: torch.nn.Module) -> list[bool]:
    return [p.grad is not None and bool(p.grad.any()) for p in module.parameters()]


def test_each_loss_reaches_its_own_network_alone() -> None:
    task = made(objective="bce")  # with hinge the last bias would be pulled and pushed alike
    gan, batch = task.gan, batches(1)[0]
    target = task.target(batch["mask"])
    heard, discriminator = task.judged(batch["image"], task(batch["image"]), target)
    heard.backward(retain_graph=True)
    assert all(gradients(gan.generator))
    assert not any(p.grad is not None for p in gan.discriminator.parameters())
    gan.zero_grad()
    discriminator.backward()
    assert all(gradients(gan.discriminator))
    assert not any(p.grad is not None for p in gan.generator.parameters())
    assert all(p.requires_grad for p in gan.parameters())


def by_hand(task: AdversarialTask, given: list[dict], clip: float) -> SegGAN:
    """Both networks after these batches, each with a loss, a backward pass and SGD of its own."""
    gan = copy.deepcopy(task.gan).train()
    networks = (gan.generator, gan.discriminator)
    optimizers = [SGD(network.parameters()) for network in networks]
    for batch in given:
        image, target = batch["image"], task.target(batch["mask"]).float()
        fake = gan.generator(image)
        loss = task.loss(fake, target) - 0.5 * gan.judge(image, fake.sigmoid()).mean()
        learnt = torch.autograd.grad(loss, list(gan.generator.parameters()))
        pair = torch.cat((target * 0.9 + 0.05, fake.detach().sigmoid()))
        real, false = gan.judge(torch.cat((image, image)), pair).chunk(2)
        loss = F.relu(1 - real).mean() + F.relu(1 + false).mean()
        opposed = torch.autograd.grad(loss, list(gan.discriminator.parameters()))
        for network, optimizer, found in zip(networks, optimizers, (learnt, opposed), strict=True):
            for parameter, gradient in zip(network.parameters(), found, strict=True):
                parameter.grad = gradient
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
    return gan


class ScaledOnly(MixedPrecision):
    """The gradient scaler of fp16, with nothing computed in 16 bits."""

    def autocast_context_manager(self) -> Any:
        return contextlib.nullcontext()


@pytest.mark.parametrize(("clip", "scaled"), [(0.5, False), (0.5, True), (100.0, True)])
def test_steps_of_both_networks_by_hand(clip: float, scaled: bool, tmp_path: Path) -> None:
    """Clipped each for itself; the scaler's factor, which doubles on the way, changes nothing."""
    task, given = made(clip=clip), batches(4)
    expected = by_hand(task, given, clip)
    plugins = []
    if scaled:
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=2)
        plugins = [ScaledOnly("16-mixed", "cpu", scaler)]
    trainer = fit(task, tmp_path, given, plugins=plugins)
    assert trainer.global_step == 4
    if scaled:
        assert trainer.scaler.get_scale() == 2.0**10
    for (name, value), other in zip(
        expected.state_dict().items(), task.gan.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(other, value, msg=name, rtol=1e-4, atol=1e-5)
    start = made().gan.state_dict()
    assert all(not torch.equal(start[n], p) for n, p in task.gan.named_parameters() if p.ndim > 1)


def test_the_warm_up_follows_the_clock_where_that_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    original = Adversary.weight_at

    def weight_at(adversary: Adversary, progress: float) -> float:
        seen.append(progress)
        return original(adversary, progress)

    monkeypatch.setattr(Adversary, "weight_at", weight_at)
    monkeypatch.setattr(Timer, "time_elapsed", lambda timer, stage="train": 30.0)
    fit(made(), tmp_path, batches(4), max_time="00:00:02:00")
    assert seen == pytest.approx([0.25, 0.25, 0.5, 0.75])  # a quarter of the time is spent


def test_what_overflows_in_fp16_is_left_out_of_both(tmp_path: Path) -> None:
    task = made()
    before = copy.deepcopy(list(task.gan.parameters()))
    given = batches(1)
    given[0]["image"][0, 0, 0, 0, 0] = float("inf")
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    trainer = fit(task, tmp_path, given, plugins=[ScaledOnly("16-mixed", "cpu", scaler)])
    assert trainer.scaler.get_scale() == 2.0**7
    assert all(torch.equal(a, b) for a, b in zip(before, task.gan.parameters(), strict=True))


def test_a_batch_without_numbers_changes_neither(tmp_path: Path, capsys) -> None:
    given = batches(1)
    given[0]["image"][0, 0, 0, 0, 0] = float("nan")
    task, skip = made(), SkipNonFinite(1)
    before = copy.deepcopy(list(task.gan.parameters()))
    fit(task, tmp_path, given, callbacks=[skip])
    assert all(torch.equal(a, b) for a, b in zip(before, task.gan.parameters(), strict=True))
    assert skip.skipped == 1
    assert "cases: c0a, c0b" in capsys.readouterr().err


@pytest.mark.parametrize("stacked", [False, True])
def test_deep_supervision_shows_the_finest_output(stacked: bool, tmp_path: Path) -> None:
    sizes = ([3] * 3, [1, 2, 2], [2, 2], [4, 8, 8])
    generators = {
        False: partial(UNet, widths=[4, 8, 8], deep_supervision=True),
        True: lambda in_channels, out_channels: DynUNet(
            3, in_channels, out_channels, *sizes, deep_supervision=True, deep_supr_num=1
        ),
    }
    task = made(generators[stacked])
    seen: list[tuple[int, ...]] = []
    task.gan.discriminator.register_forward_pre_hook(lambda _, x: seen.append(tuple(x[0].shape)))
    fit(task, tmp_path, batches(1))
    assert seen == [(2, 5, 16, 16, 16), (4, 5, 16, 16, 16)]


def test_slices_train_both_networks(tmp_path: Path) -> None:
    flat = partial(UNet, widths=[4, 8], spatial_dims=2)
    critic = partial(PatchDiscriminator, widths=(4, 4))
    net = SegGAN(2, 3, flat, Adversary(warm_up=0.0), critic, spatial_dims=2)
    before = copy.deepcopy(list(net.parameters()))
    batch = batches(1)[0]
    thin = {key: batch[key][..., :1, :] for key in ("image", "mask")}
    fit(AdversarialTask(net, optimizer=SGD, scheduler=CONSTANT), tmp_path, [thin])
    assert all(
        not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True) if a.ndim > 1
    )


def test_a_softmax_head_shows_one_channel_a_class(tmp_path: Path) -> None:
    net = SegGAN(2, 4, partial(FCNN, width=4), Adversary(), PatchDiscriminator)
    task = AdversarialTask(net, head="labels", optimizer=SGD)
    batch = batches(1)[0]
    heard, discriminator = task.judged(batch["image"], task(batch["image"]), batch["mask"])
    assert heard.isfinite()
    assert discriminator.isfinite()


def test_a_network_without_a_discriminator_is_refused() -> None:
    with pytest.raises(ConfigError, match="FCNN has no discriminator"):
        AdversarialTask(FCNN(2, 3))


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "phantom"
    return write_phantom(root, layout="brats2024-gli", cases=6, spacing=6.0)


def configure(folder: Path, phantom: Path, *overrides: str) -> DictConfig:
    os.environ.pop(runs.RUN_VARIABLE, None)
    return experiment.configure(*GAN, f"runs={folder}", f"data.root={phantom}", *overrides)


def test_a_run_from_start_to_report(phantom: Path, tmp_path: Path) -> None:
    folder = experiment.run(configure(tmp_path, phantom, "trainer.ema=0.9"))
    assert (folder / "report.html").exists()
    table = pd.read_csv(folder / "metrics.csv")
    losses = table[["train/loss", "train/loss_discriminator", "train/loss_adversarial"]]
    assert np.isfinite(losses).all(axis=None)
    assert (losses["train/loss_discriminator"] > 0).all()
    split = json.loads((folder / "split.json").read_text())
    cases = sum(map(len, split["train"].values()))
    assert table["step"].tolist() == [cases, 2 * cases]  # two patches a case, two a step
    summary = json.loads((folder / "summary.json").read_text())
    alone = describe(UNet(4, 4, size="tiny"), (4, 16, 16, 16))
    assert summary["parameters"] == alone["parameters"]
    assert summary["steps"] == table["step"].iloc[-1]
    assert {"RC", "ET"} <= set(summary["regions"])
    task = load_task(folder / "checkpoints" / "best.ckpt")
    assert isinstance(task.net, UNet)
    stored = torch.load(folder / runs.LAST, weights_only=True)
    assert len(stored["optimizer_states"]) == len(stored["lr_schedulers"]) == 2


def test_a_stopped_run_goes_on_to_the_same_weights(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both networks, both optimisers and the average among what has to go on."""
    options = ("model.generator.dropout=0.2", "trainer.ema=0.9", "augmentation=standard")
    whole = experiment.build(configure(tmp_path / "whole", phantom, *options))
    experiment.fit(whole)
    original = assembly.build_trainer

    def interrupted(*args: Any) -> pl.Trainer:
        trainer = original(*args)
        trainer.callbacks.insert(0, InterruptAt(3, signal.SIGTERM))
        return trainer

    monkeypatch.setattr(assembly, "build_trainer", interrupted)
    stopped = experiment.build(configure(tmp_path / "stopped", phantom, *options))
    with pytest.raises(InterruptedRunError, match="resume=auto"):
        experiment.fit(stopped)
    monkeypatch.setattr(assembly, "build_trainer", original)
    resumed = experiment.build(configure(tmp_path / "stopped", phantom, *options, "resume=auto"))
    assert resumed.resumed
    experiment.fit(resumed)
    first, second = (
        torch.load(one.folder / runs.LAST, weights_only=True) for one in (whole, resumed)
    )
    for part in ("state_dict", "current_model_state"):
        assert first[part].keys() == second[part].keys()
        assert any("discriminator" in name for name in first[part])
        assert all(torch.equal(first[part][name], second[part][name]) for name in first[part])
    for one, other in zip(first["optimizer_states"], second["optimizer_states"], strict=True):
        for number, state in one["state"].items():
            for name, value in state.items():
                assert torch.equal(value, other["state"][number][name])
    assert first["lr_schedulers"] == second["lr_schedulers"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trainer.accumulate_grad_batches=2"], "steps after every batch"),
        (["trainer.auto_fit=true"], "without its discriminator"),
        (["model@model.generator=segresnet", "trainer.deep_supervision=true"], "no deep superv"),
    ],
)
def test_settings_are_refused_before_training(overrides: list[str], words: str) -> None:
    source: Any = SimpleNamespace(modalities=("t1c",), scheme=SCHEMES["brats2018"])
    with pytest.raises(ConfigError, match=words):
        assembly.network_config(experiment.configure("model=seg_gan", *overrides), source)


def test_deep_supervision_is_the_generator_s() -> None:
    source: Any = SimpleNamespace(modalities=("t1c", "t2f"), scheme=SCHEMES["brats2018"])
    cfg = experiment.configure("model=seg_gan", "trainer.deep_supervision=true")
    net = build(assembly.network_config(cfg, source))
    assert net.generator.deep_supervision
    assert net.generator.config["in_channels"] == 2


def test_a_schedule_that_follows_scores_is_refused(tmp_path: Path) -> None:
    task = made()
    task.scheduler = plateau
    with pytest.raises(ConfigError, match="follows scores"):
        fit(task, tmp_path, batches(1))


def test_a_frozen_discriminator_is_refused(tmp_path: Path) -> None:
    task = made()
    freeze(task.gan, ["discriminator.*"])
    with pytest.raises(ConfigError, match="PatchDiscriminator is frozen"):
        fit(task, tmp_path, batches(1))


def test_weights_come_from_the_network_alone_and_go_back(tmp_path: Path) -> None:
    alone = SegmentationTask(UNet(2, 3, widths=[4, 8]))
    torch.save(alone.net.state_dict(), tmp_path / "unet.pt")
    beside = made()
    result = warm_start(beside, tmp_path / "unet.pt")
    image = torch.randn(1, 2, 16, 16, 16)
    assert torch.equal(beside.eval()(image), alone.eval()(image))
    assert not result.unused
    assert all(name.startswith("discriminator.") for name in result.fresh)
    trained = made()
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "gan.pt")
    result = warm_start(alone, tmp_path / "gan.pt")
    assert torch.equal(alone(image), trained.eval()(image))
    assert all(name.startswith("discriminator.") for name in result.unused)
    other = made()
    assert not warm_start(other, tmp_path / "gan.pt").fresh


def trained(folder: Path, *arguments: str) -> pd.DataFrame:
    folder.mkdir()
    done = call("run.py", *GAN, *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "runs" / "seg_gan").iterdir()
    return pd.read_csv(run / "metrics.csv")


@pytest.mark.slow
def test_two_ranks_train_as_one_with_the_doubled_batch(phantom: Path, tmp_path: Path) -> None:
    common = (f"data.root={phantom}", "augmentation=none", "trainer.max_epochs=3")
    one = trained(tmp_path / "one", *common, "queue.batch_size=4")
    two = trained(tmp_path / "two", *common, "queue.batch_size=2", *DDP)
    assert one["step"].tolist() == two["step"].tolist()
    for name in ("train/loss", "train/loss_adversarial", "train/loss_discriminator"):
        assert np.allclose(one[name], two[name], atol=1e-4), name
    assert np.allclose(one["val/dice_mean"], two["val/dice_mean"], atol=1e-3)


def test_recomputing_trains_to_the_same_weights(tmp_path: Path) -> None:
    task, other = made(), made()
    recompute(other.net)
    for one in (task, other):
        fit(one, tmp_path, batches(2))
    assert all(
        torch.equal(a, b) for a, b in zip(task.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.slow
def test_compiled_it_trains_to_the_same_weights(tmp_path: Path) -> None:
    task, other, compiled = made(), made(), CompiledNetwork((2, 2, 16, 16, 16))
    fit(task, tmp_path, batches(2))
    fit(other, tmp_path, batches(2), callbacks=[compiled])
    assert compiled.failure is None
    for (name, value), again in zip(task.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(value, again, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("edge", "limit_gb"), [(64, 4.0)])
def test_a_step_stays_within_its_memory(edge: int, limit_gb: float) -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "gan_memory.py"
    command = [sys.executable, str(script), "--edges", str(edge), "--sizes", "small"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert 0.2 < record["ours"] < limit_gb
    assert record["finite"]
