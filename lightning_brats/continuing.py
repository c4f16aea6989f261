"""Settings of a run that goes on: what was left to `auto` stays what it became."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

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
        OmegaConf.update(cfg, key, _filled(value, known), merge=False)


def same(now: Any, before: Any) -> bool:
    """Whether a setting is as it was, inside lists too; `auto` is equal to what it became."""
    if now == AUTO:
        return True
    if isinstance(now, dict) and isinstance(before, dict):
        return all(same(now.get(key), before.get(key)) for key in now.keys() | before.keys())
    if isinstance(now, list) and isinstance(before, list):
        return len(now) == len(before) and all(map(same, now, before))
    return bool(now == before)


def _filled(now: Any, then: Any) -> Any:
    if now == AUTO:
        return AUTO if then is None else then
    if isinstance(now, dict) and isinstance(then, dict):
        return {key: _filled(value, then.get(key)) for key, value in now.items()}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return list(map(_filled, now, then))
    return now


def _select(content: Any, key: str) -> Any:
    for name in key.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content
