"""RESULTS.md: the table of a bench and all that is needed to make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asr.report.figures import Run

# heading, column of results.csv, decimals
FIGURES: tuple[tuple[str, str, int], ...] = (
    ("CER %", "cer", 1),
    ("unadapted WER %", "unadapted_wer", 1),
    ("greedy PER %", "per", 1),
    ("greedy CER %", "greedy_cer", 1),
    ("greedy WER %", "greedy_wer", 1),
    ("training s", "train_s", 0),
    ("decoding RTF", "decode_rtf", 4),
    ("peak MB", "peak_mb", 0),
    ("parameters", "params", 0),
)


def table(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells, one row a run; columns that hold nothing are left out."""
    shown = [f for f in FIGURES if any(r.row.get(f[1]) is not None for r in runs)]
    settings = any(r.row.get("setting") for r in runs)
    head = ["recipe", "hours", "seed", "WER %", "95% interval", "sub", "del", "ins"]
    rows = []
    for r in runs:
        row = r.row
        interval = "-" if row["wer_low"] is None else f"{row['wer_low']:.1f} to {row['wer_high']:.1f}"
        cells = [row["recipe"], f"{row['hours']:g}", str(row["seed"]), _figure(row["wer"], 1), interval]
        cells += [str(row[k]) for k in ("sub", "del", "ins")]
        cells += [_figure(row.get(column), decimals) for _, column, decimals in shown]
        rows.append([*cells, row["setting"]] if settings else cells)
    return [*head, *(f[0] for f in shown), *(["setting"] if settings else [])], rows


def results_markdown(
    runs: Sequence[Run],
    answer: Sequence[str],
    failed: Mapping[str, str],
    provenance: Mapping[str, Any],
    curve: str,
) -> str:
    """The text of RESULTS.md.

    Parameters
    ----------
    runs
        The finished cells.
    answer
        Sentences of `asr.report.answer.answer`.
    failed
        Cell → why it failed.
    provenance
        Of this bench, from `asr.record.provenance`.
    curve
        File name of the plot, beside this file.
    """
    first = runs[0].row if runs else None
    lines = [f"# {first['corpus'] if first else 'No finished cell'}", ""]
    if first:
        lines += [f"- {line}" for line in answer]
        lines += ["", f"![word error rate against hours]({curve})", ""]
        head, rows = table(runs)
        lines += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines += [
            "",
            f"{first['split'].capitalize()} split: {first['utterances']} utterances, {first['words']} words. "
            "Intervals are bootstrapped over utterances. RTF: seconds of one core for a second of audio.",
        ]
    if failed:
        lines += ["", "Failed:", "", *(f"- {cell}: {why}" for cell, why in failed.items())]
    versions = ", ".join(f"{k} {v}" for k, v in provenance["packages"].items())
    lines += [
        "",
        f"- Command: `{provenance['command']}`",
        f"- Commit: {provenance['commit'] or 'unknown'}",
        f"- Hardware: {provenance['hardware']}",
        f"- Date: {provenance['date']}",
        f"- Python {provenance['python']}, {versions}",
    ]
    return "\n".join(lines) + "\n"


def _figure(value: Any, decimals: int) -> str:
    return "" if value is None else f"{value:,.{decimals}f}"
