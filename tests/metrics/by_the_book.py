"""The challenges' rules, step by step, with scipy alone: slow, whole volumes, one lesion at a time.

An independent implementation for the tests to compare with; it shares only the table of surfel
areas with the package, which has tests of its own.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from lightning_brats.metrics.surfels import surfel_areas

REGIONS = {
    "WT": (1, 2, 3),
    "TC": (1, 3),
    "ET": (3,),
    "NETC": (1,),
    "SNFH": (2,),
    "RC": (4,),
}
BALL = ndimage.generate_binary_structure(3, 2)
CUBE = np.ones((3, 3, 3), bool)


def components(mask):
    return ndimage.label(mask, CUBE)[0]


def dilate(mask, times):
    return ndimage.binary_dilation(mask, BALL, times) if times else mask


def grouped(mask, times):
    return components(dilate(mask, times)) * mask


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def surface(mask, spacing):
    padded = np.pad(mask, 1).astype(int)
    codes = np.zeros(np.array(mask.shape) + 1, int)
    for bit in range(8):
        corner = (bit & 1, bit >> 1 & 1, bit >> 2 & 1)
        window = tuple(slice(c, c + n) for c, n in zip(corner, codes.shape, strict=True))
        codes += padded[window] << bit
    return surfel_areas(spacing)[codes], (codes != 0) & (codes != 255)


def one_way(area, border, other, spacing):
    if not other.any():
        return np.inf
    distance = ndimage.distance_transform_edt(~other, spacing)[border]
    pairs = sorted(zip(distance, area[border], strict=True))
    share = np.cumsum([w for _, w in pairs]) / np.sum([w for _, w in pairs])
    return next((d for (d, _), s in zip(pairs, share, strict=True) if s >= 0.95), pairs[-1][0])


def hd95(a, b, spacing):
    if not a.any() and not b.any():
        return 0.0
    if not a.any() or not b.any():
        return np.inf
    (area_a, at_a), (area_b, at_b) = surface(a, spacing), surface(b, spacing)
    return max(one_way(area_a, at_a, at_b, spacing), one_way(area_b, at_b, at_a, spacing))


def border_nsd(a, b, tolerance, spacing):
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    first, second = (m & ~ndimage.binary_erosion(m) for m in (a, b))
    from_a = ndimage.distance_transform_edt(~second, spacing)[first]
    from_b = ndimage.distance_transform_edt(~first, spacing)[second]
    hits = np.mean(from_a <= tolerance) + np.mean(from_b <= tolerance)
    misses = np.mean(from_a > tolerance) + np.mean(from_b > tolerance)
    return hits / (hits + misses)


def surfel_nsd(a, b, tolerance, spacing):
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    (area_a, at_a), (area_b, at_b) = surface(a, spacing), surface(b, spacing)
    near_b = ndimage.distance_transform_edt(~at_b, spacing) <= tolerance
    near_a = ndimage.distance_transform_edt(~at_a, spacing) <= tolerance
    close = area_a[at_a & near_b].sum() + area_b[at_b & near_a].sum()
    return close / (area_a[at_a].sum() + area_b[at_b].sum())


def ratio(part, whole, empty):
    return part / whole if whole else empty


def whole(a, b, spacing):
    """Every whole-volume metric of two masks."""
    tp, fp, fn, tn = (a & b).sum(), (~a & b).sum(), (a & ~b).sum(), (~a & ~b).sum()
    voxel = np.prod(spacing)
    change = 100 * ratio(float(b.sum()) - a.sum(), a.sum(), np.inf if b.any() else 0.0)
    return {
        "dice": ratio(2 * tp, 2 * tp + fp + fn, 1.0),
        "iou": ratio(tp, tp + fp + fn, 1.0),
        "sensitivity": ratio(tp, tp + fn, float(not b.any())),
        "specificity": ratio(tn, tn + fp, 1.0),
        "precision": ratio(tp, tp + fp, float(not a.any())),
        "accuracy": (tp + tn) / a.size,
        "volume_reference": a.sum() * voxel,
        "volume_prediction": b.sum() * voxel,
        "volume_error": change,
        "volume_error_abs": abs(change),
        "hd95": hd95(a, b, spacing),
        "nsd_0.5": surfel_nsd(a, b, 0.5, spacing),
        "nsd_1.0": surfel_nsd(a, b, 1.0, spacing),
    }


def legacy(reference, prediction, spacing, regions):
    pairs = {r: [np.isin(v, REGIONS[r]) for v in (reference, prediction)] for r in regions}
    return {region: whole(*pair, spacing) for region, pair in pairs.items()}


def lesion_scores(reference, prediction, spacing, dilations, threshold, penalty, nsd=False):
    """Numbered reference lesions against numbered predicted ones."""
    names = ("dice", "hd95", "nsd_0.5", "nsd_1.0") if nsd else ("dice", "hd95")
    sums, kept, tp, fn, matched = dict.fromkeys(names, 0.0), 0, 0, 0, set()
    for number in range(1, reference.max() + 1):
        lesion = reference == number
        partners = set(np.unique(prediction[dilate(lesion, dilations)])) - {0}
        matched |= partners
        if lesion.sum() * spacing[0] * spacing[1] * spacing[2] <= threshold:
            continue
        kept += 1
        union = np.isin(prediction, list(partners))
        tp, fn = tp + bool(partners), fn + (not partners)
        sums["dice"] += dice(lesion, union)
        distance = hd95(lesion, union, spacing)
        sums["hd95"] += penalty if np.isinf(distance) else distance
        if nsd:
            sums["nsd_0.5"] += border_nsd(lesion, union, 0.5, spacing)
            sums["nsd_1.0"] += border_nsd(lesion, union, 1.0, spacing)
    fp = len(set(np.unique(prediction)) - {0} - matched)
    sums["hd95"] += penalty * fp
    empty = {"hd95": 0.0}
    scores = {
        f"lesion_{k}": v / (kept + fp) if kept + fp else empty.get(k, 1.0) for k, v in sums.items()
    }
    return scores | {"lesion_tp": tp, "lesion_fp": fp, "lesion_fn": fn}


def brats2023(reference, prediction, spacing, dilations, threshold):
    out = {}
    for region in ("WT", "TC", "ET"):
        a, b = (np.isin(v, REGIONS[region]) for v in (reference, prediction))
        out[region] = lesion_scores(
            grouped(a, dilations), components(b), spacing, dilations, threshold, 374
        )
        out[region] |= whole(a, b, spacing)
    return out


def touching(own, other):
    return {
        (i, int(j))
        for i in range(1, own.max() + 1)
        for j in np.unique(other[dilate(own == i, 1)])
        if j
    }


def merge(own, others):
    own = own.copy()
    for other in others:
        pairs = sorted(touching(own, other))
        if len(pairs) > 1:
            new, taken, old = {}, {}, own.copy()
            for i, j in pairs:
                if j not in new:
                    new[j] = old.max() + 1 + len(new)
                if i not in taken:
                    taken[i] = new[j]
            for i, number in taken.items():
                own[old == i] = number
    out = np.zeros_like(own)
    for new_number, number in enumerate(sorted(set(np.unique(own)) - {0}), 1):
        out[own == number] = new_number
    return out


def brats2024(reference, prediction, spacing):
    steps = {"WT": 3, "TC": 3, "NETC": 5, "SNFH": 3, "ET": 3, "RC": 5}
    volumes = []
    for volume, predicted in ((reference, False), (prediction, True)):
        maps = {}
        for region, times in steps.items():
            lesions = grouped(np.isin(volume, REGIONS[region]), times)
            if predicted:
                small = 10 if region == "ET" else 20
                for number in range(1, lesions.max() + 1):
                    if (lesions == number).sum() <= small:
                        lesions[lesions == number] = 0
            maps[region] = lesions
        plain = dict(maps)
        maps["NETC"] = merge(plain["NETC"], [plain["ET"], plain["RC"]])
        maps["ET"] = merge(plain["ET"], [plain["NETC"], plain["RC"]])
        maps["RC"] = merge(plain["RC"], [plain["ET"], plain["NETC"]])
        maps["SNFH"] = merge(plain["SNFH"], [plain["ET"], plain["RC"], plain["NETC"]])
        volumes.append(maps)
    out = {}
    for region, times in steps.items():
        a, b = volumes[0][region], volumes[1][region]
        threshold = 10 if region == "ET" else 20
        out[region] = lesion_scores(a, b, spacing, times, threshold, 337, nsd=True)
        first, second = a > 0, b > 0
        out[region] |= whole(first, second, spacing)
        out[region]["nsd_0.5"] = border_nsd(first, second, 0.5, spacing)
        out[region]["nsd_1.0"] = border_nsd(first, second, 1.0, spacing)
    return out


def brats2026(reference, prediction):
    out = {}
    for region, labels in REGIONS.items():
        a, b = (components(np.isin(v, labels)) for v in (reference, prediction))
        n, m = a.max(), b.max()
        scores = np.zeros((n, m))
        for i, j in itertools.product(range(n), range(m)):
            scores[i, j] = dice(a == i + 1, b == j + 1)
        rows, columns = linear_sum_assignment(np.where(scores > 1e-6, -scores - 1e-6, 0))
        tp = int((scores[rows, columns] > 1e-6).sum())
        f1 = 2 * tp / (n + m) if n + m else np.nan
        out[region] = {
            "instance_tp": tp,
            "instance_fp": m - tp,
            "instance_fn": n - tp,
            "instance_f1": f1,
            "dice": dice(a > 0, b > 0) if n + m else np.nan,
        }
    return out
