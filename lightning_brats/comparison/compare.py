"""From entries to everything that can be said about them."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_brats.comparison.alignment import align, long_table
from lightning_brats.comparison.checks import check_entries
from lightning_brats.comparison.cost import cost_table
from lightning_brats.comparison.entry import Entry
from lightning_brats.comparison.history import learning_curves
from lightning_brats.comparison.interactions import find_interactions
from lightning_brats.comparison.notes import notes
from lightning_brats.comparison.paired import compare_pairs
from lightning_brats.comparison.power import needs
from lightning_brats.comparison.ranking import critical_difference, rank_choices
from lightning_brats.comparison.result import Comparison
from lightning_brats.comparison.settings import Settings
from lightning_brats.comparison.spread import summarise
from lightning_brats.comparison.subgroups import find_subgroups
from lightning_brats.comparison.variance import variance_shares
from lightning_brats.comparison.verdict import verdicts
from lightning_brats.errors import ConfigError

__all__ = ["Settings", "compare"]


def compare(entries: Sequence[Entry], settings: Settings | None = None) -> Comparison:
    """Compare runs and scored masks.

    Args:
        entries: From `load_entries`; at least two choices.
        settings: Metrics, regions, baseline and the like.

    Raises:
        ConfigError: They cannot be compared, or not as they are; see `check_entries`.
    """
    settings = settings or Settings()
    warnings = check_entries(entries, settings)
    aligned = align(entries, settings)
    if settings.baseline is not None and settings.baseline not in aligned.choices:
        remedy = f"baseline= one of: {'; '.join(aligned.choices)}"
        raise ConfigError(f"the baseline '{settings.baseline}' is no choice", remedy=remedy)
    ranking = rank_choices(aligned, settings)
    aligned = aligned.ordered(list(ranking["choice"]))
    pairs = compare_pairs(aligned, settings)
    tables = {
        "ranking": ranking,
        "pairs": pairs,
        "power": needs(aligned, pairs, settings),
        "interactions": find_interactions(aligned),
        "cost": cost_table(aligned, settings),
        "subgroups": find_subgroups(aligned, settings),
    }
    return Comparison(
        choices=aligned.choices,
        baseline=settings.baseline,
        warnings=tuple(warnings),
        notes=tuple(notes(aligned, settings, pairs)),
        scores=long_table(aligned),
        summary=summarise(aligned, settings),
        critical=critical_difference(aligned, settings.alpha),
        variance=variance_shares(aligned),
        verdicts=verdicts(aligned, settings, tables),
        histories=learning_curves(aligned),
        entries=tuple(entries),
        settings=settings,
        **tables,
    )
