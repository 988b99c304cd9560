"""A workload's results as a table: Markdown, so that the same text serves a terminal and a page."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measuring.results import Cell, Results


def number(value: float) -> str:
    """Three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if len(cell.rounds) == 1:
        return number(cell.median)
    return f"{number(cell.median)} ({number(min(cell.rounds.values()))}-{number(max(cell.rounds.values()))})"


def table(results: Results) -> Iterator[str]:
    """Lines: a row for each case and metric, a column for each server; the last says how we stand to the best peer."""
    servers = list(dict.fromkeys(cell.server for cell in results.cells))
    ratios = {(ratio.case, ratio.metric): ratio for ratio in results.ratios()}
    lines = [["case", "metric", *servers, "ours : best peer"]]
    for case, metric in results.rows():
        row = results.row(case, metric)
        ratio = ratios.get((case, metric))
        lines.append(
            [case, metric, *(_cell(row.get(name)) for name in servers), f"{ratio.median:.2f} x" if ratio else ""]
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for index, line in enumerate(lines):
        yield "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        if index == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
