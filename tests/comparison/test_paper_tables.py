"""Tables for papers: bold only what stands out."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from simulated import Truth, entry, quick

from lightning_brats.comparison import Comparison, compare
from lightning_brats.comparison.tables import PaperTable


@pytest.fixture(scope="module")
def found() -> Comparison:
    rng = np.random.default_rng(0)
    clear = Truth(seed=0.0).draw(rng, (0.1, 0.0, -0.1), 25, 2)
    alike = Truth(seed=0.0, choice_patient=0.1).draw(rng, (0.001, 0.0, -0.2), 25, 2)
    entries = [
        entry(
            f"{name}{seed}",
            name,
            seed,
            {
                ("WT", "dice"): clear[number][:, seed],
                ("ET", "dice"): alike[number][:, seed],
                ("WT", "hd95"): 50 * (1 - clear[number][:, seed]),
                ("ET", "hd95"): 50 * (1 - alike[number][:, seed]),
            },
        )
        for number, name in enumerate(("new_unet", "unet · dice", "100 % old"))
        for seed in (0, 1)
    ]
    return compare(entries, quick(metrics=("dice", "hd95")))


def test_bold_stands_only_where_the_second_is_beaten(found: Comparison) -> None:
    frame = PaperTable.of(found).frame()
    bold = frame[frame["best"]][["choice", "region", "metric"]].to_numpy().tolist()
    assert bold == [["new_unet", "WT", "dice"], ["new_unet", "WT", "hd95"]]
    row = frame.query("choice == 'new_unet' and region == 'WT' and metric == 'dice'").iloc[0]
    values = found.scores.query("choice == 'new_unet' and region == 'WT' and metric == 'dice'")
    by_case = values.groupby("case")["value"].mean()
    assert row["mean"] == pytest.approx(by_case.mean())
    assert row["sd"] == pytest.approx(by_case.std())
    assert row["text"] == f"{by_case.mean():.3f} ± {by_case.std():.3f}"


def test_markdown(found: Comparison) -> None:
    lines = PaperTable.of(found).markdown().splitlines()
    assert lines[0] == "|  | WT Dice ↑ | WT HD95 (mm) ↓ | ET Dice ↑ | ET HD95 (mm) ↓ |"
    assert lines[2].startswith("| new_unet | **0.")
    assert lines[2].count("**") == 4
    assert all("**" not in line for line in lines[3:5])
    assert "25 patients; 2 seeds each" in lines[-1]
    assert "Wilcoxon" in lines[-1]
    assert "Holm's correction for 12 tests" in lines[-1]


def test_latex_escapes_names(found: Comparison) -> None:
    text = PaperTable.of(found).latex()
    assert r"new\_unet & \textbf{0." in text
    assert r"100 \% old" in text
    assert r"unet $\cdot$ dice" in text
    assert r"WT HD95 (mm) $\downarrow$" in text
    assert text.count(r"\textbf") == 2
    assert "±" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(found: Comparison, tmp_path: Path) -> None:
    body = PaperTable.of(found).latex()
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}"
        f"{body}\\end{{document}}"
    )
    subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
