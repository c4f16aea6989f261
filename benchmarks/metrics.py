"""Scoring a case: ours beside MONAI's and panoptica's metrics and the challenges' own programs.

    python benchmarks/metrics.py              # 8 pairs of 240×240×155: two minutes on one core
    python benchmarks/metrics.py --pairs 2

The pairs are made up: nested tumours with ragged borders, one to four a case, and a prediction that
is shifted, ragged in other places, misses a lesion now and then and invents one. Everybody scores
WT, TC and ET of the same arrays with one thread, each in a process of its own, all in turn on each
pair; medians over the pairs are compared. What each computes:

- ours: a whole protocol. `legacy` has all whole-volume metrics, HD95 and surface dice among them;
  the challenges' add lesions (2023, 2024) or instances (2026); 2024 has three more regions.
- MONAI: Dice and HD95 of each region; or HD95 alone.
- panoptica: components, one-to-one matching, Dice and HD95 of the instances and of the regions; or
  HD95 of the regions alone.
- the challenges' programs: not run here. Their times on the pairs of tests/golden were recorded on
  another machine, one core of it, busy; ours are taken here, on those pairs.

Dice agrees, and that is checked; HD95 is defined differently by each (ours as BraTS does).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from _alone import Cost, measure
from monai.metrics import compute_dice, compute_hausdorff_distance
from scipy import ndimage

from lightning_brats.labels import ET, NETC, SNFH, region_masks
from lightning_brats.metrics import score_case

SHAPE = (240, 240, 155)
REGIONS = ("WT", "TC", "ET")
MM = (1.0, 1.0, 1.0)
GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
OFFICIAL = {"gli2023": "brats2023-gli", "gli2024": "brats2024-gli"}
Pair = tuple[np.ndarray, np.ndarray]
Scorer = Callable[[np.ndarray, np.ndarray, tuple[float, float, float]], np.ndarray]

COMPARED = [
    ("ours, brats2023-gli", "MONAI, Dice + HD95"),
    ("ours, brats2023-gli", "panoptica, instances"),
    ("ours, brats2024-gli", "MONAI, Dice + HD95"),
    ("ours, brats2024-gli", "panoptica, instances"),
    ("ours, legacy", "MONAI, HD95 alone"),
    ("ours, legacy", "panoptica, HD95 alone"),
]


def pair(rng: np.random.Generator) -> Pair:
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


def ours(protocol: str, regions: Sequence[str] | None = REGIONS) -> Scorer:
    """A protocol on WT, TC and ET; its values of Dice."""
    torch.set_num_threads(1)

    def score(reference: np.ndarray, prediction: np.ndarray, spacing: tuple) -> np.ndarray:
        found = score_case(reference, prediction, spacing, protocol, regions=regions)
        return np.array([found[region]["dice"] for region in REGIONS])

    return score


def monai(dice: bool) -> Scorer:
    """HD95 and, where it is asked for, Dice of the regions, as their users call them."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of its own deprecated calls

    def score(reference: np.ndarray, prediction: np.ndarray, spacing: tuple) -> np.ndarray:
        first, second = (
            torch.from_numpy(region_masks(v, REGIONS)[None]).float()
            for v in (reference, prediction)
        )
        compute_hausdorff_distance(second, first, True, percentile=95, spacing=spacing)
        return compute_dice(second, first)[0].numpy() if dice else np.full(len(REGIONS), np.nan)

    return score


def panoptica(instances: bool) -> Scorer:
    """HD95 of each region; with instances also Dice, components, matching and theirs."""
    from panoptica import ConnectedComponentsInstanceApproximator, InputType, Panoptica_Evaluator
    from panoptica.instance_matcher import MaxBipartiteMatching
    from panoptica.metrics import Metric

    if instances:
        evaluator = Panoptica_Evaluator(
            expected_input=InputType.SEMANTIC,
            instance_approximator=ConnectedComponentsInstanceApproximator(),
            instance_matcher=MaxBipartiteMatching(Metric.DSC, 1e-6),
            instance_metrics=[Metric.DSC, Metric.HD95],
            global_metrics=[Metric.DSC, Metric.HD95],
        )
    else:
        evaluator = Panoptica_Evaluator(
            InputType.MATCHED_INSTANCE, instance_metrics=[], global_metrics=[Metric.HD95]
        )

    def score(reference: np.ndarray, prediction: np.ndarray, spacing: tuple) -> np.ndarray:
        dice = []
        for region in REGIONS:
            first, second = (
                region_masks(v, [region])[0].astype(np.uint8) for v in (reference, prediction)
            )
            (result,) = evaluator.evaluate(second, first, voxelspacing=spacing).values()
            assert np.isfinite(result.global_bin_hd95)
            dice.append(result.global_bin_dsc if instances else np.nan)
        return np.array(dice)

    return score


def golden() -> dict[str, tuple[Cost, float]]:
    """Program → our cost on the pairs of tests/golden, and the program's recorded median."""
    found = {}
    for program, protocol in OFFICIAL.items():
        files = sorted((GOLDEN / "expected").glob(f"{program}.*.json"))
        recorded = statistics.median(json.loads(file.read_text())["wall_s"] for file in files)
        pairs = []
        for file in files:
            images = [
                nib.load(GOLDEN / f"{file.stem.split('.')[1]}-{kind}.nii.gz")
                for kind in ("gt", "pred")
            ]
            spacing = tuple(float(zoom) for zoom in images[0].header.get_zooms())
            pairs.append((*(np.asarray(image.dataobj) for image in images), spacing))
        costs = measure({protocol: (ours, (protocol, None))}, pairs)
        found[program] = costs[protocol], recorded
    return found


def check_dice(costs: Mapping[str, Cost]) -> None:
    """Everybody's Dice of the last pair is the same."""
    reference = costs["ours, legacy"].result
    for name, cost in costs.items():
        known = np.isfinite(cost.result)
        # 2024 scores without predicted specks
        if "2024" not in name and not np.allclose(cost.result[known], reference[known], atol=1e-5):
            raise SystemExit(f"Dice differs: {name} {cost.result}, ours {reference}")


def record(name: str, own: Cost, peer: float, **more: float) -> None:
    """Print one comparison as a line of JSON."""
    line = {"benchmark": f"metrics: {name}", "ours": round(own.median, 4), "peer": round(peer, 4)}
    line |= {"ratio": round(peer / own.median, 2), "unit": "s/case"}
    print(json.dumps(line | {key: round(value, 1) for key, value in more.items()}))


def main() -> None:
    """Time everything; print the table and a JSON line a comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8)
    rng = np.random.default_rng(0)
    pairs = [(*pair(rng), MM) for _ in range(parser.parse_args().pairs)]
    protocols = ("legacy", "brats2023-gli", "brats2024-gli", "brats2026-gli")
    methods: dict[str, tuple] = {f"ours, {name}": (ours, (name,)) for name in protocols}
    methods |= {"MONAI, Dice + HD95": (monai, (True,)), "MONAI, HD95 alone": (monai, (False,))}
    versions = [f"MONAI {importlib.metadata.version('monai')}"]
    if importlib.util.find_spec("panoptica"):
        methods["panoptica, instances"] = (panoptica, (True,))
        methods["panoptica, HD95 alone"] = (panoptica, (False,))
        versions.append(f"panoptica {importlib.metadata.version('panoptica')}")
    costs = measure(methods, pairs)
    check_dice(costs)
    print(f"{len(pairs)} pairs of {'×'.join(map(str, SHAPE))}, one thread; {', '.join(versions)}")
    print(f"{'':24}{'median s/case':>15}{'memory MiB':>12}")
    for name, cost in costs.items():
        print(f"{name:24}{cost.median:15.3f}{cost.peak_mb:12.0f}")
    officials = golden()
    for program, (cost, recorded) in officials.items():
        print(
            f"tests/golden, {OFFICIAL[program]}: ours {cost.median:.3f} s, {cost.peak_mb:.0f} MiB; "
            f"official program, recorded on another machine: {recorded:.1f} s"
        )
    for own, peer in COMPARED:
        if peer in costs:
            cost, other = costs[own], costs[peer]
            memory = {"ours_mib": cost.peak_mb, "peer_mib": other.peak_mb}
            record(f"{own.removeprefix('ours, ')} beside {peer}", cost, other.median, **memory)
    for program, (cost, recorded) in officials.items():
        name = f"{OFFICIAL[program]} beside the official program, recorded on another machine"
        record(name, cost, recorded, ours_mib=cost.peak_mb)


if __name__ == "__main__":
    main()
