"""Cases that cannot be used: the first one stops everything, or each is left out and listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lightning_brats.errors import ConfigError, DataError

SETTING = "data.on_bad_case"


class BadCases:
    """What happens to cases that cannot be used.

    Args:
        policy: `error` stops at the first one, `skip` leaves each out and lists it.
        setting: The user's way to `skip`, told where a case stops everything; `None` where there
            is none.

    Raises:
        ConfigError: There is no such policy.
    """

    def __init__(self, policy: str = "error", setting: str | None = None) -> None:
        if policy not in ("error", "skip"):
            raise ConfigError(
                f"{setting or 'on_bad_case'}={policy} is unknown", remedy="choose error or skip"
            )
        self.skips, self.setting = policy == "skip", setting
        self.excluded: list[DataError] = []

    def add(self, error: DataError) -> None:
        """Take note of a case that cannot be used.

        Raises:
            DataError: The case's own, unless such cases are skipped.
        """
        if not self.skips:
            raise self._advised(error)
        self.excluded.append(error)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Run what concerns one case, leaving the case out where it cannot be used."""
        try:
            yield
        except DataError as error:
            self.add(error)

    def _advised(self, error: DataError) -> DataError:
        hint = f"to go on without it: {self.setting}=skip"
        if self.setting is None or error.case is None or hint in (error.remedy or ""):
            return error
        remedy = f"{error.remedy}; {hint}" if error.remedy else hint
        return type(error)(error.problem, case=error.case, file=error.file, remedy=remedy)


def describe(excluded: Sequence[DataError]) -> list[dict[str, Any]]:
    """Excluded cases as plain types: `case`, `problem`, `file`, `remedy`."""
    return [
        {
            "case": error.case,
            "problem": error.problem,
            "file": None if error.file is None else str(error.file),
            "remedy": error.remedy,
        }
        for error in excluded
    ]


def restore(described: Sequence[Mapping[str, Any]]) -> tuple[DataError, ...]:
    """Inverse of `describe`."""
    return tuple(
        DataError(one["problem"], case=one["case"], file=one["file"], remedy=one["remedy"])
        for one in described
    )


def none_left(excluded: Sequence[DataError]) -> DataError:
    """The error of a data set of which every case had to be left out."""
    first = excluded[0]
    return DataError(
        f"none of {len(excluded)} cases can be used; the first one: {first.problem}",
        case=first.case,
        file=first.file,
        remedy=first.remedy,
    )
