"""Settings of a run that goes on: what was left to `auto` stays what it became."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_brats.machine import listed_devices
from lightning_brats.parts import plain

AUTO = "auto"
LASTING = (
    "queue.patch_size",
    "queue.batch_size",
    "trainer.precision",
    "inference.patch_size",
    "loss",
)
"""Settings that change what is learnt; threads and workers may follow the machine."""
DEVICES = "trainer.devices"
JOINT = (DEVICES, "trainer.num_nodes", "queue.batch_size")
"""Settings that may differ as long as their product, the patches of a step, does not."""


def as_before(cfg: DictConfig, before: DictConfig) -> None:
    """Replace `auto` by what it stood for when the run began, in place.

    What the machine gives today, such as free memory, may differ; a continuation would not be that
    of the same training.

    Args:
        cfg: Configuration of the continuation, interpolations resolved.
        before: The run's own, as it was saved.
    """
    now, then = plain(cfg), plain(before)
    for key in LASTING:
        value, known = _select(now, key), _select(then, key)
        OmegaConf.update(cfg, key, filled(value, known), merge=False)


def same(now: Any, before: Any) -> bool:
    """Whether a setting is as it was, inside lists too; `auto` is equal to what it became."""
    if now == AUTO:
        return True
    if isinstance(now, dict) and isinstance(before, dict):
        return all(same(now.get(key), before.get(key)) for key in now.keys() | before.keys())
    if isinstance(now, list) and isinstance(before, list):
        return len(now) == len(before) and all(map(same, now, before))
    return bool(now == before)


def changed(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Keys of settings that are not as they were; those of `JOINT` may be others together.

    Args:
        now: Flat settings of the continuation.
        before: Those of the run.
    """
    known = {key: filled(value, before.get(key)) for key, value in now.items()}
    known[DEVICES] = now.get(DEVICES)
    patches = joint_batch(before)
    free = JOINT if patches is not None and patches == joint_batch(known) else ()
    return sorted(
        key
        for key in (now.keys() | before.keys()).difference(free)
        if not _as_it_was(key, now.get(key), before.get(key))
    )


def _as_it_was(key: str, now: Any, before: Any) -> bool:
    if key == DEVICES:  # there `auto` is what the machine has, whatever it had before
        return bool(now == before)
    return same(now, before)


def joint_batch(settings: Mapping[str, Any]) -> int | None:
    """Patches of a step on all devices; `None` where the settings do not tell.

    Args:
        settings: Flat, with the keys of `JOINT`.
    """
    devices, nodes, batch = (settings.get(key) for key in JOINT)
    listed = listed_devices(devices)
    if listed is None or not isinstance(nodes, int) or not isinstance(batch, int):
        return None
    return len(listed) * nodes * batch


def filled(now: Any, then: Any) -> Any:
    """A setting, or settings, with what they were where they are left to `auto`."""
    if now == AUTO:
        return AUTO if then is None else then
    if isinstance(now, dict) and isinstance(then, dict):
        return {key: filled(value, then.get(key)) for key, value in now.items()}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return list(map(filled, now, then))
    return now


def _select(content: Any, key: str) -> Any:
    for name in key.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content
