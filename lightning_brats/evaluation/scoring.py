"""Saved masks → one tidy row a case, region and metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.processing import resample_from_to

from lightning_brats.data.case import AFFINE_TOLERANCE, Case, read_mask
from lightning_brats.errors import DataError
from lightning_brats.evaluation.pairing import Pairing, pair_files
from lightning_brats.metrics import score_case
from lightning_brats.parallel import cores, process_pool

COLUMNS = ("case", "patient", "cohort", "region", "metric", "value")
CASES_PER_WORKER = 4
"""A worker process takes a second or two to start, as long as it takes to score some cases."""

Scores = dict[str, dict[str, float]]


def evaluate(
    predictions: Path | Pairing,
    cases: Sequence[Case],
    protocol: str = "legacy",
    regions: Sequence[str] | None = None,
    workers: int | None = None,
    resample: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Score every case; one without a prediction scores as if nothing had been predicted.

    Args:
        predictions: Folder of masks in each case's own coding, or its files already paired.
        cases: With reference masks.
        protocol: A name in `lightning_brats.metrics.PROTOCOLS`.
        regions: To score; by default the protocol's, and for `legacy` those of the case's coding.
        workers: Processes; by default one a core where there are enough cases. Called with
            several from a script, they need the usual `if __name__ == "__main__":`.
        resample: Bring predictions onto the reference's grid (nearest neighbour) instead of
            refusing other grids.
        progress: Called with (cases done, cases in all).

    Returns:
        Columns case, patient, cohort, region, metric, value; cases in the order given, metrics as
        in `METRICS`, HD95 infinite where one mask is empty. `attrs` holds `missing` (cases
        without a prediction), `extra` (files that belong to no case) and `protocol`.

    Raises:
        DataError: A file is unreadable, ambiguous, on another grid or in another coding.
        ConfigError: An unknown protocol or region.
    """
    pairing = predictions if isinstance(predictions, Pairing) else pair_files(predictions, cases)
    score = partial(score_files, protocol=protocol, regions=regions, resample=resample)
    jobs = [(case, pairing.files[case.case]) for case in cases]
    scores: dict[str, Scores] = {}
    with _mapper(len(jobs), workers) as run:
        for case, found in run(score, jobs):
            scores[case] = found
            if progress:
                progress(len(scores), len(jobs))
    frame = pd.DataFrame(_rows(cases, scores), columns=list(COLUMNS))
    frame.attrs = {
        "protocol": protocol,
        "missing": pairing.missing,
        "extra": [str(path) for path in pairing.extra],
    }
    return frame


def write_scores(frame: pd.DataFrame, folder: Path) -> None:
    """Write `evaluation.csv` and `evaluation.parquet`."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "evaluation.csv", index=False)
    frame.to_parquet(folder / "evaluation.parquet", index=False)


def score_files(
    job: tuple[Case, Path | None],
    protocol: str,
    regions: Sequence[str] | None,
    resample: bool,
) -> tuple[str, Scores]:
    """Score one case from its files; see `evaluate`."""
    case, path = job
    if case.mask is None:
        raise DataError(
            "there is no reference mask", case=case.case, remedy="add it, or drop the case"
        )
    reference, affine = read_mask(case.mask, case.scheme, case.case)
    prediction = np.zeros_like(reference)
    if path is not None:
        prediction = _read_prediction(case, path, reference.shape, affine, resample)
    if regions is None and protocol == "legacy":
        regions = case.scheme.regions
    sizes = nib.affines.voxel_sizes(affine)
    spacing = (float(sizes[0]), float(sizes[1]), float(sizes[2]))
    return case.case, score_case(reference, prediction, spacing, protocol, regions=regions)


def _read_prediction(
    case: Case, path: Path, shape: tuple[int, ...], affine: np.ndarray, resample: bool
) -> np.ndarray:
    """Predicted labels on the reference's grid."""
    labels, own = read_mask(path, case.scheme, case.case)
    if labels.shape == shape and np.abs(own - affine).max() <= AFFINE_TOLERANCE:
        return labels
    if resample:
        moved = resample_from_to(nib.Nifti1Image(labels, own), (shape, affine), order=0)
        return np.asanyarray(moved.dataobj).astype(np.uint8)
    problem = (
        f"the prediction has shape {labels.shape}, the reference {shape}"
        if labels.shape != shape
        else f"the affines of prediction and reference differ by {np.abs(own - affine).max():.3g}"
    )
    raise DataError(
        problem,
        case=case.case,
        file=path,
        remedy="write the prediction on the input's own grid, or set resample=true "
        "(nearest neighbour)",
    )


def _rows(cases: Sequence[Case], scores: dict[str, Scores]) -> Iterator[tuple]:
    for case in cases:
        for region, metrics in scores[case.case].items():
            for metric, value in metrics.items():
                yield case.case, case.patient, case.cohort, region, metric, float(value)


@contextmanager
def _mapper(jobs: int, workers: int | None) -> Iterator[Callable[..., Iterable]]:
    """A `map` whose results come as they are ready, over processes where that pays."""
    if workers is None:
        workers = min(cores(), jobs // CASES_PER_WORKER)
    if workers <= 1:
        yield map
        return
    pool = process_pool(min(workers, jobs))
    try:
        yield lambda call, items: (
            future.result() for future in as_completed([pool.submit(call, i) for i in items])
        )
    finally:
        pool.shutdown(cancel_futures=True)
