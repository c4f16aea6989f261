"""Saved masks → one tidy row a case, region and metric; where they err; what they knew of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from lightning_brats.data.case import Case
from lightning_brats.evaluation.confidence import BRAIN, NOT_ZERO, Confidence
from lightning_brats.evaluation.errors import ErrorTables
from lightning_brats.evaluation.files import Found, Job, Scores, examine_files
from lightning_brats.evaluation.pairing import Pairing, pair_files
from lightning_brats.evaluation.soft import SoftFiles
from lightning_brats.parallel import cores, process_pool

COLUMNS = ("case", "patient", "cohort", "region", "metric", "value")
CASES_PER_WORKER = 4
"""A worker process takes a second or two to start, as long as it takes to score some cases."""


@dataclass(frozen=True)
class Evaluation:
    """What was found out about some masks.

    Args:
        scores: Columns case, patient, cohort, region, metric, value; cases in the order given,
            metrics as in `METRICS`, HD95 infinite where one mask is empty. `attrs` holds `missing`
            (cases without a prediction), `extra` (files that belong to no case) and `protocol`.
        errors: Where the masks err; `None` where that was not asked for.
        confidence: What the network said of its masks; `None` where it is not known.
    """

    scores: pd.DataFrame
    errors: ErrorTables | None = None
    confidence: Confidence | None = None

    def write(self, folder: Path) -> None:
        """Write the tables: `evaluation.*`, and `errors*.csv` and the like where there are any."""
        write_scores(self.scores, folder)
        for tables in (self.errors, self.confidence):
            if tables is not None:
                tables.write(folder)


def evaluate(
    predictions: Path | Pairing,
    cases: Sequence[Case],
    protocol: str = "legacy",
    regions: Sequence[str] | None = None,
    workers: int | None = None,
    resample: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """The scores alone; arguments, result and errors as in `examine`."""
    found = examine(predictions, cases, protocol, regions, workers, resample, progress, False)
    return found.scores


def examine(
    predictions: Path | Pairing,
    cases: Sequence[Case],
    protocol: str = "legacy",
    regions: Sequence[str] | None = None,
    workers: int | None = None,
    resample: bool = False,
    progress: Callable[[int, int], None] | None = None,
    boundary: bool = True,
    soft: SoftFiles | None = None,
) -> Evaluation:
    """Score every case; one without a prediction scores as if nothing had been predicted.

    Every file is read once.

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
        boundary: Also look where the masks err.
        soft: Predicted Dice and probabilities that go with the predictions.

    Raises:
        DataError: A file is unreadable, ambiguous, on another grid or in another coding.
        ConfigError: An unknown protocol or region.
    """
    pairing = predictions if isinstance(predictions, Pairing) else pair_files(predictions, cases)
    task = partial(
        examine_files,
        protocol=protocol,
        regions=regions,
        resample=resample,
        boundary=boundary,
        names=soft.regions if soft else (),
    )
    maps = soft.probabilities if soft else {}
    jobs = [Job(case, pairing.files[case.case], maps.get(case.case)) for case in cases]
    found: dict[str, Found] = {}
    with _mapper(len(jobs), workers) as run:
        for name, result in run(task, jobs):
            found[name] = result
            if progress:
                progress(len(found), len(jobs))
    scores = {name: each.scores for name, each in found.items()}
    frame = pd.DataFrame(_rows(cases, scores), columns=list(COLUMNS))
    frame.attrs = {
        "protocol": protocol,
        "missing": pairing.missing,
        "extra": [str(path) for path in pairing.extra],
    }
    errors = {name: each.errors for name, each in found.items() if each.errors is not None}
    return Evaluation(
        frame,
        ErrorTables.of(cases, errors) if boundary else None,
        _confidence(soft, cases, found) if soft else None,
    )


def write_scores(frame: pd.DataFrame, folder: Path) -> None:
    """Write `evaluation.csv` and `evaluation.parquet`."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "evaluation.csv", index=False)
    frame.to_parquet(folder / "evaluation.parquet", index=False)


def _confidence(
    soft: SoftFiles, cases: Sequence[Case], found: Mapping[str, Found]
) -> Confidence | None:
    """Tables of what is known; `None` where none of the cases has anything."""
    if not soft.predicted:
        return None
    measured = {c.case: m for c in cases if (m := found[c.case].calibration) is not None}
    within = {case.case: BRAIN if case.images else NOT_ZERO for case in cases}
    return Confidence.of(soft.predicted, measured, within)


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
