"""What may differ between a run and its continuation."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_brats.continuing import changed, joint_batch


def settings(devices: Any, batch: Any, nodes: int = 1, **others: Any) -> dict[str, Any]:
    joint = {"trainer.devices": devices, "trainer.num_nodes": nodes, "queue.batch_size": batch}
    return joint | others


@pytest.mark.parametrize(
    ("given", "patches"),
    [
        (settings(2, 3), 6),
        (settings([0, 2], 3, nodes=4), 24),
        (settings("0,", 3), 3),
        (settings("auto", 3), None),
        (settings(2, "auto"), None),
        ({"queue.batch_size": 3}, None),
    ],
)
def test_patches_of_a_step(given: dict[str, Any], patches: int | None) -> None:
    assert joint_batch(given) == patches


@pytest.mark.parametrize(
    ("before", "now", "names"),
    [
        (settings(1, 4), settings(2, 2), []),
        (settings(4, 2, nodes=2), settings([0, 1], 4, nodes=2), []),
        (settings(4, 2, nodes=2), settings(4, 4), []),
        (settings(1, 4), settings(1, "auto"), []),
        (settings("auto", 4), settings("auto", "auto"), []),
        (settings(1, 4), settings(2, 4), ["trainer.devices"]),
        (settings(1, 4), settings(2, "auto"), ["trainer.devices"]),
        (settings(2, 4), settings(1, 4), ["trainer.devices"]),
        (settings(1, 4), settings(1, 2), ["queue.batch_size"]),
        (settings(2, 4), settings("auto", "auto"), ["trainer.devices"]),
        (settings("auto", 4), settings(2, 4), ["trainer.devices"]),
        (settings(1, 4, lr=1), settings(2, 2, lr=2), ["lr"]),
        (settings(1, 4, lr=1), settings(1, 4), ["lr"]),
    ],
)
def test_devices_may_differ_where_the_patches_of_a_step_do_not(
    before: dict[str, Any], now: dict[str, Any], names: list[str]
) -> None:
    assert changed(now, before) == names
