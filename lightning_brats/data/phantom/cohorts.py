"""Several phantom cohorts side by side, such as two hospitals with scanners of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_brats.data.phantom.scanner import STANDARD, Scanner
from lightning_brats.errors import ConfigError


def of_cohorts(
    shared: Mapping[str, Any], cohorts: Mapping[str, Mapping[str, Any] | None]
) -> dict[str, dict[str, Any]]:
    """What `write_phantom` is to make for each cohort: a data set of its own.

    Args:
        shared: Arguments of `write_phantom`, of all cohorts.
        cohorts: Cohort → the arguments in which it differs. Of `scanner`, the fields that are not
            given stay as they are in `shared`. Each cohort without a `seed` gets its own, and so
            other patients.

    Raises:
        ConfigError: The cohorts are no mapping, a scanner cannot be, or two cohorts have the same
            patients.
    """
    if not isinstance(cohorts, Mapping) or not cohorts:
        raise ConfigError(
            f"data.phantom.cohorts={cohorts} names no cohorts",
            remedy="for example 'data.phantom.cohorts={A: {}, B: {scanner: {noise: 2}}}'",
        )
    found = {
        str(name): _one(shared, own or {}, place)
        for place, (name, own) in enumerate(cohorts.items())
    }
    owners: dict[int, str] = {}
    for name, own in found.items():
        other = owners.setdefault(own["seed"], name)
        if other != name:
            raise ConfigError(
                f"data.phantom.cohorts: {other} and {name} have the same seed, so the same "
                "patients, who could then be trained and tested on",
                remedy="give them other seeds, or none",
            )
    return found


def _one(shared: Mapping[str, Any], own: Mapping[str, Any], place: int) -> dict[str, Any]:
    scanner = Scanner.of(shared.get("scanner", STANDARD)).changed(own.get("scanner") or {})
    seed = shared.get("seed", 0) + place
    return {**shared, "seed": seed, **own, "scanner": scanner}
