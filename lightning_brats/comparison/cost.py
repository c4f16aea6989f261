"""What a choice costs beside what it scores."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lightning_brats.comparison.alignment import Aligned
from lightning_brats.comparison.result import COSTS
from lightning_brats.comparison.settings import Settings


def cost_table(aligned: Aligned, settings: Settings) -> pd.DataFrame:
    """Columns choice, the costs, score, and `least_`, `most_` and `pareto_<cost>` for each cost.

    Costs are means over runs, NaN where unknown, with their least and most. `score` is the main
    metric's mean over regions. A choice is on a front where no other is at least as good and as
    cheap, and better in one of both.
    """
    cells = [cell for cell in aligned.cells if cell.metric == settings.main]
    if not cells:
        ranges = [f"{end}_{name}" for name in COSTS for end in ("least", "most", "pareto")]
        return pd.DataFrame(columns=["choice", *COSTS, "score", *ranges])
    scores = np.mean([cell.means.mean(0) for cell in cells], axis=0)
    table = pd.DataFrame({"choice": aligned.choices})
    for name in COSTS:
        known = [[e.cost[name] for e in runs if name in e.cost] for runs in aligned.runs]
        for column, of in ((name, np.mean), (f"least_{name}", min), (f"most_{name}", max)):
            table[column] = [float(of(values)) if values else np.nan for values in known]
    table["score"] = scores
    for name in COSTS:
        table[f"pareto_{name}"] = front(table[name].to_numpy(float), cells[0].sign * scores)
    return table


def front(costs: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Which choices no other dominates.

    Args:
        costs: (C,), less is better; NaN is never on the front.
        quality: (C,), more is better.

    Returns:
        (C,) bool.
    """
    cheaper = costs[None] <= costs[:, None]
    as_good = quality[None] >= quality[:, None]
    strictly = (costs[None] < costs[:, None]) | (quality[None] > quality[:, None])
    dominated = (cheaper & as_good & strictly).any(1)
    return ~dominated & ~np.isnan(costs)
