"""Scoring a case: ours beside MONAI's Dice + HD95 and, where it is installed, panoptica.

    python benchmarks/metrics.py              # 8 pairs of 240×240×155: a minute on one core
    python benchmarks/metrics.py --pairs 2

The pairs are made up: nested tumours with ragged borders, one to four a case, and a prediction that
is shifted, ragged in other places, misses a lesion now and then and invents one. All score WT, TC
and ET of the same arrays in one process with one thread, and medians over the pairs are compared.
Ours is a whole BraTS protocol each time: all whole-volume metrics and the lesions or instances.
MONAI gives Dice and HD95; panoptica matches instances and gives Dice and HD95 of them and of the
whole.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance
from scipy import ndimage

from lightning_brats.labels import ET, NETC, SNFH, region_masks
from lightning_brats.metrics import score_case

SHAPE = (240, 240, 155)
REGIONS = ("WT", "TC", "ET")
Scorer = Callable[[np.ndarray, np.ndarray], object]
GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "expected"


def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Reference and prediction (X, Y, Z), uint8 labels."""
    reference, prediction = np.zeros((2, *SHAPE), np.uint8)
    for number in range(rng.integers(1, 5)):
        centre = np.array([rng.uniform(0.3, 0.7) * n for n in SHAPE])
        radius = rng.uniform(20, 34) if number == 0 else rng.uniform(4, 12)
        fate = rng.random() if number else 0
        if fate < 0.9:
            tumour(reference, centre, radius, rng)
        if not 0.7 < fate < 0.9:
            tumour(
                prediction, centre + rng.normal(0, 0.7, 3), radius * rng.uniform(0.95, 1.05), rng
            )
    return reference, prediction


def tumour(volume: np.ndarray, centre: np.ndarray, radius: float, rng: np.random.Generator) -> None:
    """Paint oedema, enhancing ring and necrotic core, each with a ragged border."""
    box = tuple(slice(max(0, int(c - 1.4 * radius)), int(c + 1.4 * radius) + 1) for c in centre)
    part = volume[box]
    grid = np.indices(part.shape) + np.array([s.start for s in box])[:, None, None, None]
    distance = np.sqrt(((grid - centre[:, None, None, None]) ** 2).sum(0)) / radius
    distance += ndimage.gaussian_filter(rng.normal(0, 1.2, part.shape), 1.5)
    for label, limit in ((SNFH, 1.0), (ET, 0.6), (NETC, 0.4)):
        part[distance < limit] = label


def ours(protocol: str) -> Scorer:
    """The protocol on WT, TC and ET."""
    return lambda a, b: score_case(a, b, (1.0, 1.0, 1.0), protocol, regions=REGIONS)


def monai(reference: np.ndarray, prediction: np.ndarray) -> torch.Tensor:
    """Dice and HD95 of the regions, as their users call them."""
    first, second = (
        torch.from_numpy(region_masks(v, REGIONS)[None]).float() for v in (reference, prediction)
    )
    dice = compute_dice(second, first)
    return torch.stack([dice, compute_hausdorff_distance(second, first, True, percentile=95)])


def panoptica() -> Scorer:
    """Components, one-to-one matching by Dice, Dice and HD95 of instances and regions."""
    from panoptica import ConnectedComponentsInstanceApproximator, InputType, Panoptica_Evaluator
    from panoptica.instance_matcher import MaxBipartiteMatching
    from panoptica.metrics import Metric

    evaluator = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(),
        instance_matcher=MaxBipartiteMatching(Metric.DSC, 1e-6),
        instance_metrics=[Metric.DSC, Metric.HD95],
        global_metrics=[Metric.DSC, Metric.HD95],
    )

    def score(reference: np.ndarray, prediction: np.ndarray) -> list:
        masks = zip(*(region_masks(v, REGIONS) for v in (reference, prediction)), strict=True)
        return [
            evaluator.evaluate(b.astype(np.uint8), a.astype(np.uint8), verbose=False).popitem()
            for a, b in masks
        ]

    return score


def median_seconds(
    scorers: Mapping[str, Scorer], pairs: Sequence[tuple[np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """Median over the pairs, all scorers in turn on each, after a first round that is not timed."""
    for score in scorers.values():
        score(*pairs[0])
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    for reference, prediction in pairs:
        for name, score in scorers.items():
            start = time.perf_counter()
            score(reference, prediction)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def official(program: str) -> float:
    """Median run time of a challenge's own program on other pairs, another machine."""
    files = GOLDEN.glob(f"{program}.*.json")
    return statistics.median(json.loads(file.read_text())["wall_s"] for file in files)


def main() -> None:
    """Time everything and print the table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    pairs = [pair(rng) for _ in range(parser.parse_args().pairs)]
    scorers: dict[str, Scorer] = {
        f"ours, {name}": ours(name)
        for name in ("legacy", "brats2023-gli", "brats2024-gli", "brats2026-gli")
    } | {"MONAI, Dice + HD95": monai}
    if importlib.util.find_spec("panoptica"):
        scorers["panoptica, instances"] = panoptica()
    seconds = median_seconds(scorers, pairs)
    reference = seconds["ours, brats2023-gli"]
    print(f"{len(pairs)} pairs of {'×'.join(map(str, SHAPE))}, one thread, median seconds a case")
    for name, value in seconds.items():
        print(f"  {name:<24} {value:8.3f}   {value / reference:7.1f} × ours, brats2023-gli")
    for program in ("gli2023", "gli2024"):
        print(f"  (official {program}, as recorded in tests/golden: {official(program):.1f})")
    peer = seconds["MONAI, Dice + HD95"]
    line = {"ours": reference, "peer": peer, "ratio": peer / reference, "unit": "s/case"}
    print(json.dumps({"benchmark": "metrics: brats2023-gli, MONAI Dice + HD95"} | line))


if __name__ == "__main__":
    main()
