"""The one exception a user is expected to meet: it says what is wrong, where, and what to do."""

from __future__ import annotations

from pathlib import Path


class BratsError(Exception):
    """Something the user can put right.

    Entry points print the message without a traceback and exit with status 2.

    Args:
        problem: What was found, and what was expected.
        case: Identifier of the case concerned.
        file: File or folder concerned.
        remedy: What the user can do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        case: str | None = None,
        file: str | Path | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem, self.case, self.file, self.remedy = problem, case, file, remedy
        lines = [f"Case {case}: {problem}" if case else problem]
        if file is not None:
            lines.append(f"  file:   {file}")
        if remedy:
            lines.append(f"  remedy: {remedy}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple:
        # Workers hand exceptions to the trainer by pickle, which would drop keyword arguments.
        return _rebuild, (type(self), self.problem, self.case, self.file, self.remedy)


class DataError(BratsError):
    """A folder, file or volume that cannot be used as it is."""


class LabelError(DataError):
    """A mask whose values do not belong to its label scheme."""


class ConfigError(BratsError):
    """A setting, or a combination of settings, that cannot work."""


def _rebuild(
    kind: type[BratsError],
    problem: str,
    case: str | None,
    file: str | Path | None,
    remedy: str | None,
) -> BratsError:
    return kind(problem, case=case, file=file, remedy=remedy)
