"""What the tracker is told at a run's end."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
from pytorch_lightning.loggers import WandbLogger

from lightning_brats import tracking


def test_the_table_of_cases_has_a_row_a_case() -> None:
    """Three cases of two patients, one score of which is not defined."""
    values = {"p2-1": (math.nan, math.nan), "p1-1": (0.5, 0.25), "p1-2": (0.75, math.nan)}
    scores = pd.DataFrame(
        [
            (case, case[:2], "", region, "dice", value)
            for case, own in values.items()
            for region, value in zip(("WT", "ET"), own, strict=True)
        ],
        columns=["case", "patient", "cohort", "region", "metric", "value"],
    )
    logged: dict[str, Any] = {}
    logger = SimpleNamespace(experiment=SimpleNamespace(log=logged.update, summary={}))
    tracking.log_results(cast(WandbLogger, logger), scores, {"regions": {"WT": 1}}, [])
    table = logged[tracking.CASES]
    assert table.columns == ["case", "patient", "ET/dice", "WT/dice"]
    known = [[None if v != v else v for v in row] for row in table.data]
    assert known == [
        ["p1-1", "p1", 0.25, 0.5],
        ["p1-2", "p1", None, 0.75],
        ["p2-1", "p2", None, None],
    ]
    assert logger.experiment.summary == {"regions/WT": 1}
