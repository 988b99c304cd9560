"""Draws the workloads' results, where matplotlib is installed (the extra ``bench``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring.results import Results

FIGURES = Path(__file__).parents[2] / "docs" / "explanation" / "figures"
OURS_COLOUR, PEER_COLOUR, REFERENCE_COLOUR = "#c2410c", "#2563eb", "#94a3b8"


def plot_all(runs: Sequence[Results]) -> list[Path]:
    """One SVG for each workload: a panel for each figure that it is judged by. Raises ImportError."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    return [path for run in runs if (path := plot(run)) is not None]


def plot(run: Results) -> Path | None:
    import matplotlib as mpl

    mpl.use("Agg")
    # The same results give the same file: no date, no random ids.
    mpl.rcParams["svg.hashsalt"] = run.workload
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    leading = [(case, metric) for case, metric in run.rows() if any(c.leads for c in run.row(case, metric).values())]
    if not leading:
        return None
    figure, panels = plt.subplots(len(leading), 1, figsize=(8, 0.6 + 1.9 * len(leading)), squeeze=False)
    colours = {"ours": OURS_COLOUR, "peer": PEER_COLOUR, "reference": REFERENCE_COLOUR}
    for panel, (case, metric) in zip(panels[:, 0], leading, strict=True):
        cells = list(run.row(case, metric).values())[::-1]
        medians = [cell.median for cell in cells]
        spread = [
            [cell.median - min(cell.rounds.values()) for cell in cells],
            [max(cell.rounds.values()) - cell.median for cell in cells],
        ]
        panel.barh([cell.server for cell in cells], medians, xerr=spread, color=[colours[cell.role] for cell in cells])
        panel.set_title(f"{case}: {metric} ({cells[0].better} is better)", fontsize=9, loc="left")
        if min(medians) > 0 and max(medians) / min(medians) > 50:
            panel.set_xscale("log")
        panel.tick_params(labelsize=8)
    figure.tight_layout()
    path = FIGURES / f"{run.workload}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
