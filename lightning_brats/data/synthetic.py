"""Cases made by a model: how a data set says so, and whom they were made from.

`experiments/synthesize.py` leaves a `synthetic.json` in the data set's folder and begins every
identifier with `SYNTH-`. Either without the other is an error, so that a made-up case that is
copied elsewhere cannot pass for a real one. A synthetic case belongs to the patient in whose brain
it lies, and knows every patient that it was made from: donor, host, and all that its generator
learned from. `check_split` wants these among the training patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_brats.data.case import Case
from lightning_brats.data.exclusion import BadCases
from lightning_brats.data.layouts.files import read_json
from lightning_brats.errors import DataError
from lightning_brats.labels import LabelScheme

MARK = "SYNTH-"
"""Begins the identifier of every synthetic case."""
RECORD = "synthetic.json"
"""Describes synthetic cases, in the folder that theirs lie in."""


@dataclass(frozen=True)
class Record:
    """What a data set says of its synthetic cases.

    Args:
        path: The file.
        scheme: Coding of their masks.
        trained_on: Patients that the generator learned from.
        cases: Identifier → facts, among them `patient`, `donor_patient` and `host_patient`.
    """

    path: Path
    scheme: LabelScheme
    trained_on: tuple[str, ...]
    cases: Mapping[str, Mapping[str, Any]]

    @classmethod
    def find(cls, root: Path) -> Record | None:
        """The record in a folder or, where it is a case's own, beside it; `None` without one.

        Raises:
            DataError: The file is damaged, or describes cases that do not bear the mark.
        """
        path = (root.parent if root.name.startswith(MARK) else root) / RECORD
        return cls.load(path) if path.is_file() else None

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read what `synthesize.py` wrote.

        Raises:
            DataError: See `find`.
        """
        content = read_json(path)
        try:
            labels = content["labels"]
            codes = {int(value): int(label) for value, label in labels["codes"].items()}
            scheme = LabelScheme(labels["name"], codes, tuple(labels["regions"]))
            cases = {name: _checked(facts) for name, facts in content["cases"].items()}
            record = cls(path, scheme, tuple(content["trained_on"]), cases)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            remedy = "restore it as experiments/synthesize.py wrote it"
            problem = f"not a record of synthetic cases ({error!r})"
            raise DataError(problem, file=path, remedy=remedy) from error
        for name in cases:
            if not name.startswith(MARK):
                problem = f"it is recorded as synthetic, but its name does not begin with {MARK}"
                remedy = "give the case's folder and files their names back"
                raise DataError(problem, case=name, file=path, remedy=remedy)
        return record

    def adopt(self, case: Case) -> Case:
        """The case with the mark, its host's patient and cohort, and whom it was made from."""
        facts = self.cases[case.case]
        parents = (facts["donor_patient"], facts["host_patient"])
        more = [patient for patient in parents if patient not in self.trained_on]
        return replace(
            case,
            patient=facts["patient"],
            cohort=facts.get("cohort", case.cohort),
            grade=facts.get("grade"),
            synthetic=True,
            # One tuple for all cases where nobody has changed the record.
            origins=(*self.trained_on, *dict.fromkeys(more)) if more else self.trained_on,
        )


def is_marked(name: str) -> bool:
    """Whether an identifier is a synthetic case's, also behind the prefix of a data set."""
    return MARK in name


def mark(cases: Sequence[Case], record: Record | None, bad: BadCases) -> list[Case]:
    """The cases, those that a record describes marked as synthetic.

    Args:
        cases: Of one data set.
        record: Its own, if it has one.
        bad: Takes cases named like synthetic ones that no record describes.

    Raises:
        DataError: There is such a case, and bad cases are not skipped.
    """
    marked: list[Case] = []
    for case in cases:
        if record is not None and case.case in record.cases:
            marked.append(record.adopt(case))
        elif is_marked(case.case):
            bad.add(unrecorded(case.case, next(iter(case.files), None)))
        else:
            marked.append(case)
    return marked


def unrecorded(name: str, file: Path | None) -> DataError:
    """The error of a case that is named like a synthetic one, and nothing more is known of it."""
    return DataError(
        f"its name says that it is synthetic, but no {RECORD} says whom it was made from",
        case=name,
        file=file,
        remedy=f"leave synthetic cases in the folder that experiments/synthesize.py wrote, beside "
        f"{RECORD}, and name that in data.roots; rename the case if it is a real one",
    )


def _checked(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ("patient", "donor_patient", "host_patient"):
        if not isinstance(facts[key], str):
            raise TypeError(key)
    return facts
