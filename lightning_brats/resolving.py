"""What `auto` stands for: settings that follow from the machine and the prepared cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import nn

from lightning_brats import ranks
from lightning_brats.assembly import inputs, network_config, outputs
from lightning_brats.clock import endless
from lightning_brats.comparison.given import AUTO, RESOLVED, open_paths
from lightning_brats.continuing import as_before
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.transforms import Chain, works_on_device
from lightning_brats.errors import ConfigError
from lightning_brats.fitting import DATASET_SHARE, estimate, fit_sizes, free_bytes
from lightning_brats.labels import TISSUES
from lightning_brats.losses import foreground_weights
from lightning_brats.machine import Defaults, Machine, choose, listed_devices, task_cores
from lightning_brats.memory_trial import Trial, smaller
from lightning_brats.models.recompute import recompute
from lightning_brats.parts import build, plain
from lightning_brats.slices import axis_numbers, check_neighbours, typical_slice


def resolve(
    cfg: DictConfig, machine: Machine, data: BratsDataModule, before: DictConfig | None = None
) -> DictConfig:
    """Replace every `auto` by what fits the machine and the data, and note under `resolved` which.

    Args:
        cfg: Configuration.
        machine: Where the run trains.
        data: Its cases.
        before: Of a run that goes on, its configuration so far, from which it does not depart.
    """
    cfg = cfg.copy()
    OmegaConf.resolve(cfg)
    given = open_paths(plain(cfg))
    if before is not None:
        as_before(cfg, before)
    OmegaConf.set_struct(cfg, True)
    shape = _typical_shape(cfg, data)
    best = choose(*_share(cfg, machine), shape, cfg.model.get("spatial_dims", 3))
    if cfg.trainer.auto_fit and before is None:
        best = _filling_memory(cfg, best, machine, data)
    for group, keys in (
        (cfg.queue, ("patch_size", "batch_size", "workers")),
        (cfg.trainer, ("precision", "threads")),
    ):
        for key in keys:
            if group[key] == "auto":
                value = getattr(best, key)
                group[key] = list(value) if isinstance(value, tuple) else value
    _check_dimensions(cfg)
    _place_augmentation(cfg, machine, data)
    _weight_classes(cfg, data)
    if cfg.inference.patch_size == "auto":
        cfg.inference.patch_size = cfg.queue.patch_size
    with open_dict(cfg):
        cfg[RESOLVED] = [path for path in given if OmegaConf.select(cfg, path) != AUTO]
    return cfg


def check_auto_fit(cfg: DictConfig, machine: Machine) -> None:
    """Refuse to fill the memory of several processes, of which each sees what is free by itself.

    Raises:
        ConfigError: `trainer.auto_fit` of a run of more than one process.
    """
    if not cfg.trainer.auto_fit:
        return
    processes = max(_processes(cfg, machine), ranks.launched()[1])
    if processes > 1:
        raise ConfigError(
            f"trainer.auto_fit=true with {processes} processes: each would choose by the memory "
            "that it finds free, and all have to train on the same sizes",
            remedy="look which sizes one process finds (trainer.auto_fit=true trainer.devices=1), "
            "and give them by queue.patch_size and queue.batch_size, with trainer.auto_fit=false",
        )


def check_end(cfg: DictConfig) -> None:
    """Refuse a training of which nobody knows how many steps it has.

    Raises:
        ConfigError: Neither epochs nor steps are limited; Lightning limits epochs by itself where
            time is not limited either.
    """
    epochs, steps = cfg.trainer.max_epochs, cfg.trainer.max_steps
    unlimited = epochs == -1 or (epochs is None and cfg.trainer.get("max_time") is not None)
    if unlimited and steps == -1:
        raise endless()


def _processes(cfg: DictConfig, machine: Machine) -> int:
    """How many processes the trainer will run as."""
    listed = listed_devices(cfg.trainer.devices)
    if listed is None:
        listed = list(range(len(machine.gpus))) if _on_gpu(cfg, machine) else [0]
    return len(listed) * int(cfg.trainer.num_nodes)


def _share(cfg: DictConfig, machine: Machine) -> tuple[Machine, int]:
    """What the run uses of this host, and how many of its processes share the cores."""
    if not _on_gpu(cfg, machine):
        machine = replace(machine, gpus=())
    own = task_cores()
    if own is not None:
        return replace(machine, cores=min(machine.cores, own)), 1
    return machine, max(1, _processes(cfg, machine) // int(cfg.trainer.num_nodes))


def _on_gpu(cfg: DictConfig, machine: Machine) -> bool:
    return bool(machine.gpus) and cfg.trainer.accelerator in ("auto", "gpu", "cuda")


def _typical_shape(cfg: DictConfig, data: BratsDataModule) -> Sequence[int]:
    """(x, y, z) of a typical prepared volume or, for a 2-D network, of its slices."""
    shape = data.typical_shape()
    if cfg.model.get("spatial_dims", 3) == 3:
        return shape
    return typical_slice(shape, axis_numbers(cfg.queue.axes, (0, 0, 1), "queue.axes"))


def _filling_memory(
    cfg: DictConfig, best: Defaults, machine: Machine, data: BratsDataModule
) -> Defaults:
    """Defaults whose patch and batch, where they are left to us, fill the memory at hand."""
    queue = cfg.queue
    free = [key for key in ("patch_size", "batch_size") if queue[key] == "auto"]
    if not free:
        raise ConfigError(
            "trainer.auto_fit=true has nothing to choose: queue.patch_size and queue.batch_size "
            "are given",
            remedy="leave one of them at auto, or trainer.auto_fit=false",
        )
    device = _first_device(cfg, machine)
    precision = best.precision if cfg.trainer.precision == "auto" else str(cfg.trainer.precision)
    dtype, channels = _autocast(precision), inputs(cfg, data.source)
    net: nn.Module = build(network_config(cfg, data.source))
    if cfg.trainer.recompute:
        recompute(net)
    budget = free_bytes(queue.max_bytes, device)
    shape = _typical_shape(cfg, data)
    voxels = sum(int(np.prod(entry.shape)) for entry in data.entries("train"))
    patch, batch = fit_sizes(
        lambda patch: estimate(net, channels, patch, dtype is not None),
        budget,
        shape,
        int(DATASET_SHARE * voxels),
        None if "patch_size" in free else list(queue.patch_size),
        None if "batch_size" in free else queue.batch_size,
    )
    trial = Trial(net, channels, device, dtype, budget)
    while device.type == "cuda" and not trial.fits(patch, batch):
        patch, batch = smaller(patch, batch, free, budget)
    x, y, z = patch
    return replace(best, patch_size=(x, y, z), batch_size=batch)


def _first_device(cfg: DictConfig, machine: Machine) -> torch.device:
    """Where the run's first process trains."""
    if not _on_gpu(cfg, machine):
        return torch.device("cpu")
    return torch.device("cuda", (listed_devices(cfg.trainer.devices) or [0])[0])


def _autocast(precision: str) -> torch.dtype | None:
    """Of activations under Lightning's name of a precision; `None` where they are in full."""
    if "16" not in precision:
        return None
    return torch.bfloat16 if "bf16" in precision else torch.float16


def _place_augmentation(cfg: DictConfig, machine: Machine, data: BratsDataModule) -> None:
    """Decide where patches are augmented, and tell the transforms."""
    if isinstance(data.transform, Chain) and "device" in cfg.augmentation:
        cuda = _on_gpu(cfg, machine)
        on_device = works_on_device(data.transform, cuda, cfg.queue.margin)
        data.transform.device = cfg.augmentation.device = on_device


def _check_dimensions(cfg: DictConfig) -> None:
    dims, patch = cfg.model.get("spatial_dims"), list(cfg.queue.patch_size)
    if dims is not None and (dims == 2) != (1 in patch):
        raise ConfigError(
            f"a {dims}-D network cannot train on patches of {patch}",
            remedy="queue=slices goes with model.spatial_dims=2; without both, all is 3-D",
        )
    check_neighbours(cfg.queue.neighbours, patch, "queue.neighbours")
    if cfg.inference.neighbours != cfg.queue.neighbours:
        raise ConfigError(
            f"inference.neighbours={cfg.inference.neighbours}, but the network is trained with "
            f"queue.neighbours={cfg.queue.neighbours}",
            remedy="leave inference.neighbours out: it follows queue.neighbours",
        )
    for group in ("queue", "inference"):
        axis_numbers(cfg[group].axes, patch, f"{group}.axes")


def _weight_classes(cfg: DictConfig, data: BratsDataModule) -> None:
    """Replace `foreground: auto` of the loss, or of its terms, by weights from training voxels."""
    parts = [cfg.loss, *(term for term in cfg.loss.get("terms", []) if OmegaConf.is_dict(term))]
    wanting = [part for part in parts if part.get("foreground") == "auto"]
    if not wanting:
        return
    scheme = data.source.scheme
    voxels = np.zeros(len(TISSUES), np.int64)
    for entry in data.entries("train"):
        labelled = np.array(entry.meta["voxels"])  # of the labels from 1 on
        voxels += [np.prod(entry.shape) - labelled.sum(), *labelled]
    if cfg.head == "labels":  # one weight a class of the network
        voxels = voxels[: outputs(cfg.head, scheme)]
    for part in wanting:
        part.foreground = foreground_weights(voxels.tolist(), cfg.head, scheme.regions)
