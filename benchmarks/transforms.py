"""Augmentations beside TorchIO's own, on one patch and one thread.

    python benchmarks/transforms.py            # 128³ voxels, 4 channels and a mask: about a minute
    python benchmarks/transforms.py --quick    # half the edge: an eighth of the work

Each pair does the same to the same patch with the same settings: every transform is applied (p = 1)
and both may change the patch in place. That the results agree is tested in
`tests/data/test_transforms*.py`; where TorchIO draws once for all channels and ours for each, ours
has more to do. `RandomMotion`, `RandomGhosting` and `RandomSpike` are TorchIO's in our presets too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings

import SimpleITK as sitk
import torch
import torchio as tio

from lightning_brats.data import transforms as own

ALONE = {"p_rotation": 0, "p_scaling": 0, "p_elastic": 0}
AFFINE = {"scales": (0.7, 1.4), "degrees": 30, "isotropic": True}


def pairs() -> dict[str, tuple[tio.Transform, tio.Transform]]:
    """What is done → ours and TorchIO's."""
    both = tio.RandomAffineElasticDeformation(affine_kwargs=AFFINE, copy=False)
    return {
        "affine": (
            own.RandomWarp(**{**ALONE, "p_rotation": 1, "p_scaling": 1}, copy=False),
            tio.RandomAffine(**AFFINE, copy=False),
        ),
        "elastic": (
            own.RandomWarp(**{**ALONE, "p_elastic": 1}, copy=False),
            tio.RandomElasticDeformation(copy=False),
        ),
        "affine and elastic": (
            own.RandomWarp(p_rotation=1, p_scaling=1, p_elastic=1, copy=False),
            both,
        ),
        "bias field": (own.RandomPolynomialBias(copy=False), tio.RandomBiasField(copy=False)),
        "noise": (own.RandomGaussianNoise(copy=False), tio.RandomNoise(copy=False)),
        "blur": (
            own.RandomGaussianBlur((0.5, 1), copy=False),
            tio.RandomBlur((0.5, 1), copy=False),
        ),
        "gamma": (own.RandomPowerLaw(copy=False), tio.RandomGamma(copy=False)),
        "anisotropy": (own.RandomThickSlices(copy=False), tio.RandomAnisotropy(copy=False)),
        "mirror": (
            own.RandomMirror(flip_probability=1, copy=False),
            tio.RandomFlip((0, 1, 2), flip_probability=1, copy=False),
        ),
    }


def patch(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (4, n, n, n) of a skull-stripped head with texture, and its mask (1, n, n, n)."""
    grid = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 3, indexing="ij")
    radius = sum(line**2 for line in grid)
    image = torch.randn(4, size, size, size) * (radius < 1.2)
    return image, (radius < 0.1).to(torch.uint8)[None]


def clock(transform: tio.Transform, image: torch.Tensor, mask: torch.Tensor, n: int) -> float:
    """Median seconds of `n` applications to fresh copies, after one to warm up."""
    times = []
    for _ in range(n + 1):
        subject = tio.Subject(
            image=tio.ScalarImage(tensor=image.clone()), mask=tio.LabelMap(tensor=mask.clone())
        )
        start = time.perf_counter()
        transform(subject)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Time all pairs and print a table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="half the edge")
    parser.add_argument("--repeats", type=int, default=7, help="the median counts")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    warnings.simplefilter("ignore", RuntimeWarning)  # TorchIO's, of possible folding
    size = 64 if args.quick else 128
    image, mask = patch(size)
    print(f"one thread, {size}³ × 4, medians of {args.repeats}, milliseconds")
    print(f"{'':20}{'ours':>9}{'TorchIO':>10}{'ratio':>9}")
    total = [0.0, 0.0]
    for name, (ours, theirs) in pairs().items():
        seconds = [clock(transform, image, mask, args.repeats) for transform in (ours, theirs)]
        total = [t + s for t, s in zip(total, seconds, strict=True)]
        print(
            f"{name:20}{1e3 * seconds[0]:9.1f}{1e3 * seconds[1]:10.1f}"
            f"{seconds[1] / seconds[0]:8.1f}×",
            flush=True,
        )
    print(f"{'sum':20}{1e3 * total[0]:9.1f}{1e3 * total[1]:10.1f}{total[1] / total[0]:8.1f}×")
    record = {
        "benchmark": "transforms",
        "ours": round(total[0], 3),
        "peer": round(total[1], 3),
        "ratio": round(total[1] / total[0], 2),
        "unit": "s",
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
