"""Every protocol against its step-by-step implementation, on many kinds of random volumes."""

from __future__ import annotations

from collections.abc import Mapping

import by_the_book as book
import numpy as np
import pytest
from label_volumes import at_the_border, random_pair, specks, web

from lightning_brats.metrics import PROTOCOLS, score_case, volumes

KINDS = {"blobs": random_pair, "border": at_the_border, "specks": specks, "web": web}
RULES_2023 = {"gli": (3, 50), "ssa": (3, 50), "ped": (3, 50), "men": (1, 50), "met": (1, 2)}
"""Challenge → dilations and size threshold in mm³."""
VOLUMES = 10
"""A kind and test; a hundred of each kind in all."""


def expected(protocol: str, reference: np.ndarray, prediction: np.ndarray, spacing: tuple) -> dict:
    """Scores by the book."""
    if protocol == "legacy":
        regions = ("WT", "TC", "ET", "RC")
        either = (reference == 4) | (prediction == 4)
        return book.legacy(reference, prediction, spacing, regions[: 4 if either.any() else 3])
    if protocol == "brats2024-gli":
        return book.brats2024(reference, prediction, spacing)
    if protocol == "brats2026-gli":
        return book.brats2026(reference, prediction)
    return book.brats2023(reference, prediction, spacing, *RULES_2023[protocol[-3:]])


def compare(found: Mapping[str, Mapping], wanted: Mapping[str, Mapping], name: str) -> None:
    assert found.keys() == wanted.keys()
    for region, metrics in wanted.items():
        got = {metric: found[region][metric] for metric in metrics}
        assert got == pytest.approx(metrics, rel=1e-9, abs=1e-7, nan_ok=True), (name, region)


def check(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One volume, scored whole and in as many crops as there can be."""
    reference, prediction, spacing = KINDS[kind](np.random.default_rng(seed))
    by_rules: dict = {}
    for protocol in PROTOCOLS:
        rules = RULES_2023.get(protocol[-3:]) if "2023" in protocol else protocol
        if rules not in by_rules:
            by_rules[rules] = expected(protocol, reference, prediction, spacing)
        for cost in (volumes.BOX_COST, -(10**9)):
            with monkeypatch.context() as patch:
                patch.setattr(volumes, "BOX_COST", cost)
                found = score_case(reference, prediction, spacing, protocol)
            compare(found, by_rules[rules], f"{kind} {seed}, {protocol}, box cost {cost}")


@pytest.mark.parametrize("kind", ["border", "web"])
def test_one_volume(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(kind, 7, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 1100, VOLUMES))
@pytest.mark.parametrize("kind", KINDS)
def test_many_volumes(kind: str, start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(start, start + VOLUMES):
        check(kind, seed, monkeypatch)


@pytest.mark.parametrize("empty", ["reference", "prediction", "both"])
def test_empty_masks(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = at_the_border(np.random.default_rng(3))
    for name, volume in zip(("reference", "prediction"), pair, strict=False):
        if empty in (name, "both"):
            volume[:] = 0
    for protocol in PROTOCOLS:
        compare(score_case(*pair, protocol), expected(protocol, *pair), protocol)
