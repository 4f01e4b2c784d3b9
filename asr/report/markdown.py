"""RESULTS.md: the table of a bench and all that is needed to make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asr.record import alarms_of, note_path
from asr.report.figures import Findings, Run, hours_text, unreadable_text, words_text
from asr.stages import STAGES

# heading, column of results.csv, decimals
FIGURES: tuple[tuple[str, str, int], ...] = (
    ("CER %", "cer", 1),
    ("unadapted WER %", "unadapted_wer", 1),
    ("n-gram PER %", "lm_per", 1),
    ("greedy PER %", "per", 1),
    ("greedy CER %", "greedy_cer", 1),
    ("greedy WER %", "greedy_wer", 1),
    ("training s", "train_s", 0),
    ("training CPU s", "train_cpu_s", 0),
    ("training GPU s", "train_gpu_s", 0),
    ("decoding RTF", "decode_rtf", 4),
    ("peak MB", "peak_mb", 0),
    ("system MB", "disk_mb", 1),
    ("parameters", "params", 0),
)

CELLS_NOTE = (
    "Intervals of single cells are bootstrapped over utterances, those of the answer and the curves take "
    "speakers and seeds in, where there are enough. Decoding RTF: CPU seconds for a second of audio. Greedy "
    "figures are of the network alone, the n-gram PER of a search with an n-gram of phonemes."
)
LAWS_NOTE = (
    "A law fits where its p is 0.05 or more. Where it does not, or where that of the smaller budgets "
    "foretells the largest wrongly, crossings are sought between lines from budget to budget. Who leads at "
    "a place is sure at p < 0.05 divided by the number of pairs, and between lines by that of budgets; the "
    "interval of a crossing that is sure is a 95% one. "
    "A recipe without two seeds anywhere is given the spread between trainings of the others; where none "
    "has two that spread is in no interval."
)
LOSSES_NOTE = (
    "Points of WER that go when a stage is put right on top of those before it: a wide search, every word "
    "that was said in the vocabulary, a language model of the very transcripts, the true tokens; and what "
    "then remains, words that the lexicon cannot tell apart. Below zero: it did harm."
)
CONTESTS_NOTE = (
    "Corrected: the larger of both, by Holm's method for all tests of this bench; below 0.05 one is called "
    "better."
)


def table(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells, one row a run; columns that hold nothing are left out."""
    shown = [f for f in FIGURES if any(r.row.get(f[1]) is not None for r in runs)]
    settings = any(r.row.get("setting") for r in runs)
    texts = len({r.row["text_words"] for r in runs}) > 1
    head = [
        "recipe",
        "hours",
        *(["text"] if texts else []),
        "seed",
        "WER %",
        "95% interval",
        "sub",
        "del",
        "ins",
    ]
    rows = []
    for r in runs:
        row = r.row
        interval = "-" if row["wer_low"] is None else f"{row['wer_low']:.1f} to {row['wer_high']:.1f}"
        cells = [row["recipe"], hours_text(row["hours"])]
        cells += [words_text(row["text_words"])] if texts else []
        cells += [str(row["seed"]), _figure(row["wer"], 1), interval]
        cells += [str(row[k]) for k in ("sub", "del", "ins")]
        cells += [_figure(row.get(column), decimals) for _, column, decimals in shown]
        # the name of a variant is told already
        setting = (row["setting"] or "").removeprefix(f"recipe={row['recipe']}").strip()
        rows.append([*cells, setting] if settings else cells)
    return [*head, *(f[0] for f in shown), *(["setting"] if settings else [])], rows


def results_markdown(
    findings: Findings,
    answer: Sequence[str],
    failed: Mapping[str, str],
    provenance: Mapping[str, Any],
    plots: Mapping[str, str],
) -> str:
    """The text of RESULTS.md.

    Parameters
    ----------
    findings
        Of the bench.
    answer
        Sentences of `asr.report.answer.answer`.
    failed
        Cell → why it failed.
    provenance
        Of this bench, from `asr.record.provenance`.
    plots
        Of ``curve``, ``texts``, ``stages`` and ``cost`` those that were drawn → file names, beside this file.
    """
    runs = findings.runs
    first = runs[0].row if runs else None
    lines = [f"# {first['corpus'] if first else 'No finished cell'}", ""]
    if first:
        lines += [f"- {line}" for line in answer]
        lines += [*_plot(plots, "curve", "word error rate against hours"), ""]
        head, rows = table(runs)
        lines += grid(head, rows)
        lines += [
            "",
            f"{first['split'].capitalize()} split: {first['utterances']} utterances, {first['words']} words. "
            f"{CELLS_NOTE}",
            *_plot(plots, "texts", "word error rate over hours of audio and words of text"),
            *_texts(findings),
            *_plot(plots, "stages", "points of word error rate lost by each stage"),
            *_laws(findings),
            *_plot(plots, "cost", "word error rate against seconds of training"),
        ]
    if failed:
        lines += ["", "Failed:", "", *(f"- {cell}: {why}" for cell, why in failed.items())]
    if lost := unreadable(runs):
        lines += ["", "Unreadable audio:", "", *(f"- {line}" for line in lost)]
    if wrong := alarms(runs):
        lines += ["", "Trainings to look at:", "", *(f"- {line}" for line in wrong)]
    versions = ", ".join(f"{k} {v}" for k, v in provenance["packages"].items())
    if runs:
        lines += ["", "How the cells were made:", "", *origins(runs), "", "And this report:"]
    lines += [
        "",
        f"- Command: `{provenance['command']}`",
        f"- Commit: {provenance['commit'] or 'unknown'}",
        f"- Hardware: {provenance['hardware']}",
        f"- Date: {provenance['date']}",
        f"- Python {provenance['python']}, {versions}",
    ]
    return "\n".join(lines) + "\n"


def _plot(plots: Mapping[str, str], name: str, shows: str) -> list[str]:
    return ["", f"![{shows}]({plots[name]})"] if name in plots else []


def _texts(findings: Findings) -> list[str]:
    """Which text all but the table is of, and what is missing there."""
    if len(findings.by_text) < 2:
        return []
    most = words_text(list(findings.by_text)[-1])
    lines = ["", f"Curves, laws and tests are of the most text, {most}."]
    every = {p.recipe for found in findings.by_text.values() for p in found}
    if missing := sorted(every - set(findings.recipes)):
        lines[-1] += f" Not run with it: {', '.join(missing)}."
    return lines


def unreadable(runs: Sequence[Run]) -> list[str]:
    """A line for each run that could not read all of its test audio."""
    found = ((r, unreadable_text(r.row)) for r in runs)
    return [f"{_cell(r, runs)}: {text}" for r, text in found if text is not None]


def alarms(runs: Sequence[Run]) -> list[str]:
    """A line for each thing that was said to go wrong in a training, by the first cell that has it."""
    found = alarms_of((_cell(r, runs), r.record) for r in runs)
    return [f"{cell}: training {alarm}" for cell, alarm in found]


def _cell(run: Run, runs: Sequence[Run]) -> str:
    """Which of several cells one is."""
    several = len({r.row["text_words"] for r in runs}) > 1
    text = f", {words_text(run.row['text_words'])}" if several else ""
    return f"{run.row['recipe']}, {hours_text(run.row['hours'])} h, seed {run.row['seed']}{text}"


def origins(runs: Sequence[Run]) -> list[str]:
    """A line for each way that cells were made: command, commit, hardware, date, versions and notes."""
    made: dict[str, list[Run]] = {}
    for run in runs:
        p, note = run.record.provenance, _note(run)
        said = note and f". {note}"
        how = (
            f"`{p['command']}`; commit {p['commit'] or 'unknown'}; {p['hardware']}; {p['date'][:10]}; "
            f"Python {p['python']}, torch {p['packages']['torch']}{said}"
        )
        made.setdefault(how, []).append(run)
    return [f"- {_cells(some) if len(made) > 1 else 'All'}: {how}" for how, some in made.items()]


def _cells(runs: Sequence[Run]) -> str:
    """Their recipes, hours and seeds, whatever their text."""
    seeds: dict[tuple[str, str], set[int]] = {}
    for run in runs:
        seeds.setdefault((run.row["recipe"], hours_text(run.row["hours"])), set()).add(run.row["seed"])
    hours: dict[tuple[str, str], list[str]] = {}
    for (recipe, budget), some in seeds.items():
        which = f"seed{'s' * (len(some) > 1)} {', '.join(map(str, sorted(some)))}"
        hours.setdefault((recipe, which), []).append(budget)
    return "; ".join(f"{recipe}, {', '.join(some)} h, {which}" for (recipe, which), some in hours.items())


def notes(runs: Sequence[Run]) -> list[str]:
    """What was noted of cells beside their records, each note once."""
    noted: dict[str, list[Run]] = {}
    for run in runs:
        if note := _note(run):
            noted.setdefault(note, []).append(run)
    return [f"{_cells(some)}: {note}" for note, some in noted.items()]


def _note(run: Run) -> str:
    """What was noted of a cell; empty where nothing was."""
    path = note_path(run.folder)
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, the first column to the left and figures to the right."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)]


def laws(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the power laws, one row a recipe with three budgets or more."""
    head = [
        "recipe",
        "law a·h^-b + c: WER % at h hours",
        "a, 95%",
        "b, 95%",
        "c, 95%",
        "fits, p",
        "seeds",
        "foretold from smaller budgets",
        "measured",
    ]
    rows = []
    for recipe, curve in findings.curves.items():
        if len(curve.hours) < 3:
            continue
        scale, exponent, floor = curve.law
        hidden = curve.hidden
        told = f"{hidden.rate:.1f} ({hidden.low:.1f} to {hidden.high:.1f})" if hidden else "-"
        law = f"{float(scale):.3g}·h^-{float(exponent):.2g} + {float(floor):.3g}"
        ends = (np.quantile(part, [0.025, 0.975]) for part in curve.laws)
        between = [f"{low:.2g} to {high:.2g}" for low, high in ends]
        rows.append(
            [recipe, law, *between, f"{curve.fit_p:.3f}", str(curve.seeds), told, f"{curve.rates[-1]:.1f}"]
        )
    return head, rows


def contests(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the pairwise tests, one row a budget and pair."""
    head = [
        "hours",
        "A",
        "B",
        "A - B, points of WER",
        "95% interval",
        "p bootstrap",
        "p MAPSSWE",
        "p corrected",
    ]
    rows = [
        [
            hours_text(c.a.hours), c.a.recipe, c.b.recipe, f"{c.paired.difference:+.1f}",
            c.paired.interval(1),
            *("<0.0001" if p < 1e-4 else f"{p:.4f}" for p in (c.paired.p, c.segment_p, c.p)),
        ]
        for c in findings.contests
    ]  # fmt: skip
    return head, rows


def losses(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of what each stage lost, one row a budget and recipe where it is known."""
    known = sorted((p.hours, i, p, p.lost) for i, p in enumerate(findings.points) if p.lost is not None)
    rows = [
        [
            hours_text(hours),
            p.recipe,
            ", ".join(str(r.row["seed"]) for r in p.runs if r.losses is not None),
            *(f"{round(points, 1) + 0.0:.1f}" for points in lost.values()),  # + 0.0: no "-0.0"
            f"{sum(lost.values()):.1f}",
        ]
        for hours, _, p, lost in known
    ]
    return ["hours", "recipe", "seeds", *STAGES, "WER %"], rows


def _laws(findings: Findings) -> list[str]:
    """The tables of stages, laws and contests with what they mean."""
    lines = []
    for (head, rows), note in (
        (losses(findings), LOSSES_NOTE),
        (laws(findings), LAWS_NOTE),
        (contests(findings), CONTESTS_NOTE),
    ):
        if rows:
            lines += ["", *grid(head, rows), "", note]
    if findings.curves:
        lines += ["", f"Intervals of answer, curves, laws and tests are over {findings.resampled}."]
    return lines


def _figure(value: Any, decimals: int) -> str:
    return "" if value is None else f"{value:,.{decimals}f}"
