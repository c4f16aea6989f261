"""What docs/make_recipes.py writes into the recipes' heads."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pandas as pd
import pytest
from doc_pages import DOCS


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """docs/make_recipes.py."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("make_recipes")
    finally:
        sys.path.remove(str(DOCS))


def test_cases_without_a_region_do_not_lift_its_score(made: ModuleType) -> None:
    values = {
        ("a", "WT"): (0.8, 100.0),
        ("b", "WT"): (0.6, 50.0),
        ("a", "RC"): (0.0, 20.0),
        ("b", "RC"): (1.0, 0.0),
    }
    rows = [
        {"case": case, "patient": "p", "region": region, "metric": metric, "value": value}
        for (case, region), pair in values.items()
        for metric, value in zip(("dice", "volume_reference"), pair, strict=True)
    ]
    dice = made.dice_where_present(pd.DataFrame(rows))
    assert dice == {"WT": [pytest.approx(0.7), 2], "RC": [0.0, 1]}
    found = {"cases": 2, "patients": 1, "dice": dice}
    assert made.seen(found) == "2 phantom cases of 1 patient"
    assert made.scores(found) == "WT .70, RC .00 (1 case)"
