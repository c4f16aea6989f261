"""The table of a paper: mean ± standard deviation, as LaTeX, Markdown and CSV.

The best mean of a column is bold only where it is significantly better than the second best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from lightning_brats.comparison.result import Comparison
from lightning_brats.comparison.words import digits, metric_name, plural
from lightning_brats.metrics import METRICS

LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "·": r"$\cdot$",
        "±": r"$\pm$",
        "−": "$-$",
        "–": "--",
        "≥": r"$\geq$",
    }
)


@dataclass(frozen=True)
class PaperTable:
    """A table to be published.

    Args:
        columns: (region, metric) in order.
        rows: Choice → one (mean, standard deviation over patients) a column.
        bold: (choice, region, metric) of what stands out.
        footnote: Test, family and numbers.
    """

    columns: tuple[tuple[str, str], ...]
    rows: dict[str, list[tuple[float, float]]]
    bold: frozenset[tuple[str, str, str]]
    footnote: str

    @classmethod
    def of(cls, comparison: Comparison) -> PaperTable:
        """The table of a comparison."""
        summary = comparison.summary
        keys = summary[["region", "metric"]].drop_duplicates()
        columns = tuple(keys.itertuples(index=False, name=None))
        cells = summary.set_index(["choice", "region", "metric"])
        rows = {
            choice: [
                (cells.loc[(choice, *column), "mean"], cells.loc[(choice, *column), "sd_cases"])
                for column in columns
            ]
            for choice in comparison.choices
        }
        return cls(columns, rows, frozenset(_standing_out(comparison)), _footnote(comparison))

    def markdown(self) -> str:
        """A pipe table with its footnote."""
        heads = [f"{region} {_head(metric)}" for region, metric in self.columns]
        lines = [["", *heads], ["---", *["---:"] * len(heads)]]
        for choice, values in self.rows.items():
            texts = [f"**{text}**" if bold else text for text, bold in self._cells(choice, values)]
            lines.append([choice.replace("|", "\\|"), *texts])
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{table}\n\n{self.footnote}\n"

    def latex(self) -> str:
        """A `tabular` with rules of booktabs, in a `table` with caption."""
        heads = [f"{region} {_head(metric, latex=True)}" for region, metric in self.columns]
        lines = [" & ".join(["", *heads]) + r" \\", r"\midrule"]
        for choice, values in self.rows.items():
            texts = [
                rf"\textbf{{{text.translate(LATEX)}}}" if bold else text.translate(LATEX)
                for text, bold in self._cells(choice, values)
            ]
            lines.append(" & ".join([choice.translate(LATEX), *texts]) + r" \\")
        body = "\n".join(lines)
        return (
            "% needs \\usepackage{booktabs}\n"
            "\\begin{table}\n\\centering\n"
            f"\\begin{{tabular}}{{l{'r' * len(self.columns)}}}\n\\toprule\n{body}\n\\bottomrule\n"
            f"\\end{{tabular}}\n\\caption{{{self.footnote.translate(LATEX)}}}\n\\end{{table}}\n"
        )

    def frame(self) -> pd.DataFrame:
        """For CSV: choice, region, metric, mean, sd, text, best (stands out)."""
        rows = [
            (choice, *column, *value, text, bold)
            for choice, values in self.rows.items()
            for column, value, (text, bold) in zip(
                self.columns, values, self._cells(choice, values), strict=True
            )
        ]
        names = ["choice", "region", "metric", "mean", "sd", "text", "best"]
        return pd.DataFrame(rows, columns=names)

    def _cells(self, choice: str, values: list[tuple[float, float]]) -> Iterator[tuple[str, bool]]:
        for (region, metric), (mean, sd) in zip(self.columns, values, strict=True):
            places = digits(metric)
            spread = "" if pd.isna(sd) else f" ± {sd:.{places}f}"
            yield f"{mean:.{places}f}{spread}", (choice, region, metric) in self.bold


def _standing_out(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    """The best of each column, where it beats the second."""
    pairs = comparison.pairs[comparison.pairs["significant"]]
    for (region, metric), rows in comparison.summary.groupby(["region", "metric"], sort=False):
        higher = bool(METRICS[str(metric)].higher_is_better)
        ordered = rows.sort_values("mean", ascending=not higher, kind="stable")["choice"].tolist()
        best, second = ordered[:2]
        own = pairs[(pairs["region"] == region) & (pairs["metric"] == metric)]
        for row in own.itertuples(index=False):
            winner, loser = (row.a, row.b) if row.advantage > 0 else (row.b, row.a)
            if (winner, loser) == (best, second):
                yield best, str(region), str(metric)


def _head(metric: str, latex: bool = False) -> str:
    """`Dice ↑`, `HD95 (mm) ↓`."""
    declared = METRICS[metric]
    unit = f" ({declared.unit})" if declared.unit else ""
    up = bool(declared.higher_is_better)
    arrow = (r"$\uparrow$" if up else r"$\downarrow$") if latex else ("↑" if up else "↓")
    name = f"{metric_name(metric)}{unit}"
    return f"{name.translate(LATEX) if latex else name} {arrow}"


def _footnote(comparison: Comparison) -> str:
    summary, pairs = comparison.summary, comparison.pairs
    low, high = int(summary["n_seeds"].min()), int(summary["n_seeds"].max())
    seeds = plural(low, "seed") if low == high else f"{low} to {high} seeds"
    averaged, variance = (", averaged", " with the variance of seeds") if high > 1 else ("", "")
    patients = sorted({int(n) for n in pairs["n"]})
    number = f"{patients[0]}" if len(patients) == 1 else f"{patients[0]} to {patients[-1]}"
    noun = "patient" if patients == [1] else "patients"
    alpha = f"{comparison.settings.alpha:g}"
    tests = int(pairs["p_holm"].notna().sum())
    return (
        f"Mean ± standard deviation over {number} {noun}; {seeds} each{averaged}. Bold: better "
        f"than the second best (Wilcoxon signed-rank and t-test{variance}, both "
        f"p < {alpha} after Holm's correction for {plural(tests, 'test')})."
    )
