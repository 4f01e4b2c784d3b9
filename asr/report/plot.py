"""The learning curve: word error rate against hours of training audio."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from asr.files import replacing
from asr.report.figures import FURTHER, Findings, Point, hours_text, words_text
from asr.stages import STAGES

# told apart by colour (Okabe and Ito's palette for colour-blind readers), marker and dash
STYLES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#CC79A7", "D", ":"),
    ("#E69F00", "v", "-"),
    ("#56B4E9", "P", "--"),
)
# of the stages: search, vocabulary, language model, acoustics, pronunciation
BARS = (("#999999", ""), ("#E69F00", "//"), ("#56B4E9", ""), ("#0072B2", ""), ("#CC79A7", ".."))
INK = "#010203"  # stands for the colour of the page's text
# text stays text; ids are the same in every run
SAVING: Any = {"svg.fonttype": "none", "svg.hashsalt": "asr"}


def draw_curve(
    findings: Findings, title: str, size: tuple[float, float] = (6.4, 4.4), ink: str = "black"
) -> Figure:
    """Draw a curve per recipe over log hours, with measured rates, intervals and crossings.

    Bars are 95% intervals and small dots single seeds. A power law that fits is drawn through the rates with
    its 95% band, dotted where it is a forecast; rates that no law fits are joined by lines. The interval of a
    crossing is shaded.

    Parameters
    ----------
    findings
        Of the bench.
    title
        Stands above the axes.
    size
        Width and height in inches.
    ink
        Colour of text and axes.
    """
    with rc_context(_axes_in(ink)):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        recipes, hours = findings.recipes, findings.budgets
        for compared in findings.comparisons.values():
            for c in compared.crossings:
                axes.axvspan(c.low, c.high, color=ink, alpha=0.07, linewidth=0)
                axes.axvline(c.hours, color=ink, alpha=0.4, linewidth=0.8)
        for i, recipe in enumerate(recipes):
            colour, marker, dash = _style(i)
            line = findings.line(recipe)
            law = _draw_law(axes, findings, recipe, colour, dash)
            # a hair apart, so that equal intervals do not hide each other
            x = [p.hours * 1.02 ** (i - (len(recipes) - 1) / 2) for p in line]
            low = [0.0 if p.interval.low is None else max(0.0, p.wer - p.interval.low) for p in line]
            high = [0.0 if p.interval.high is None else max(0.0, p.interval.high - p.wer) for p in line]
            axes.errorbar(
                x, [p.wer for p in line], yerr=[low, high], color=colour, marker=marker,
                linestyle="none" if law else dash,
                capsize=3, linewidth=1.8, markersize=6, elinewidth=1.1,
            )  # fmt: skip
            # for the legend alone: lines are those of laws where there are any
            axes.plot([], [], color=colour, marker=marker, linestyle=dash, label=recipe)
            for at, p in zip(x, line, strict=True):
                if len(p.runs) > 1:  # beside the bar, which would hide them
                    rates = [r.row["wer"] for r in p.runs]
                    axes.plot([at * 1.05] * len(rates), rates, ".", color=colour, markersize=4)
        axes.set_xscale("log")
        ahead = any(c.foretells for c in findings.curves.values())
        axes.set_xticks([*hours, FURTHER * hours[-1]] if ahead else hours)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda h, _: hours_text(h)))
        axes.xaxis.set_minor_locator(NullLocator())
        if len(hours) == 1:
            axes.set_xlim(hours[0] / 2, hours[0] * 2)
        top = max((p.interval.high or p.wer for p in findings.points), default=1.0)
        axes.set_ylim(0, max(1.0, 1.08 * top))
        axes.set_xlabel("hours of training audio (log scale)")
        axes.set_ylabel("word error rate, %")
        axes.set_title(title, fontsize=10.5)
        axes.grid(axis="y", alpha=0.25, linewidth=0.7)
        axes.legend(frameon=False, handlelength=3)
        figure.draw_without_rendering()  # places everything
        _hide_covered([*axes.get_xticklabels()])
    return figure


def _style(i: int) -> tuple[str, str, str]:
    """Colour, marker and dash of the i-th recipe: another pairing in every round."""
    again, n = divmod(i, len(STYLES))
    (colour, *_), (_, marker, _), (_, _, dash) = (STYLES[(n + k * again) % len(STYLES)] for k in range(3))
    return colour, marker, dash


def _hide_covered(labels: Sequence[Text]) -> None:
    """Hide labels, of a figure that is drawn, that would cover one before them."""
    shown: list[Bbox] = []
    for label in labels:
        box = label.get_window_extent()
        label.set_visible(not any(box.overlaps(other) for other in shown))
        shown += [box] if label.get_visible() else []


def _draw_law(axes: Axes, findings: Findings, recipe: str, colour: str, dash: str) -> bool:
    """Draw the power law of a recipe where it may stand for the curve; tell whether it does."""
    curve = findings.curves.get(recipe)
    if curve is None or len(curve.hours) < 3 or not curve.lawful:
        return False
    seen = np.geomspace(curve.hours[0], curve.hours[-1], 60)
    ahead = np.geomspace(curve.hours[-1], FURTHER * curve.hours[-1], 30 if curve.foretells else 0)
    for hours, style, shade in ((seen, dash, 0.16), (ahead, ":", 0.08)):
        low, high = np.quantile(curve.laws.at(hours), [0.025, 0.975], axis=0)
        axes.fill_between(hours, low, high, color=colour, alpha=shade, linewidth=0)
        axes.plot(hours, curve.law.at(hours), color=colour, linestyle=style, linewidth=1.8)
    return True


def draw_stages(findings: Findings, width: float = 6.4, ink: str = "black") -> Figure | None:
    """Draw what each stage lost as one stacked bar a budget and recipe, in points of WER; None where unknown.

    A stage that did harm when put right is left of zero; marks then say where the error rate is.
    """
    known = [(h, p) for h in findings.budgets for p in findings.points if p.hours == h and p.lost is not None]
    if not known:
        return None
    with rc_context(_axes_in(ink)):
        figure = Figure(figsize=(width, 1.1 + 0.28 * len(known)), layout="constrained")
        axes = figure.subplots()
        right, left = np.zeros(len(known)), np.zeros(len(known))
        rows = np.arange(len(known))[::-1]
        for stage, (colour, hatch) in zip(STAGES, BARS, strict=True):
            points = np.array([(p.lost or {})[stage] for _, p in known])
            axes.barh(
                rows, points, left=np.where(points < 0, left, right), height=0.75, color=colour, hatch=hatch,
                edgecolor="white", linewidth=0, label=stage,
            )  # fmt: skip
            right += np.maximum(points, 0)
            left += np.minimum(points, 0)
        if left.any():
            rates = right + left
            axes.plot(rates, rows, "|", color=ink, markersize=16, markeredgewidth=1.8, label="WER")
            axes.axvline(0, color=ink, linewidth=0.8)
            axes.margins(x=0.02)
        else:
            axes.set_xlim(left=0)
        axes.set_yticks(rows, [f"{hours_text(h)} h {p.recipe}" for h, p in known])
        axes.set_xlabel("points of word error rate")
        figure.legend(frameon=False, ncols=3 if width > 5 else 2, loc="outside upper center")
    return figure


def draw_cost(
    findings: Findings, size: tuple[float, float] = (6.4, 4.0), ink: str = "black"
) -> Figure | None:
    """Draw word error rate against the seconds of training, a line per recipe; None where unknown.

    Those of the GPU where all trainings of a point used one, else those of the CPU. Points are labelled with
    their hours of audio, but where one label would cover another.
    """
    lines = {recipe: findings.line(recipe) for recipe in findings.recipes}
    costs = {recipe: [_cost(p) for p in line] for recipe, line in lines.items()}
    known = [c for line in costs.values() for c in line if c is not None]
    if len(known) < sum(map(len, lines.values())):
        return None
    with rc_context(_axes_in(ink)):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        labels = []
        for i, (recipe, line) in enumerate(lines.items()):
            colour, marker, dash = _style(i)
            x = [c[1] for c in costs[recipe] if c is not None]
            y = [p.wer for p in line]
            axes.plot(x, y, color=colour, marker=marker, linestyle=dash, linewidth=1.8, label=recipe)
            for at, p in zip(x, line, strict=True):
                labels.append(
                    axes.annotate(
                        f"{hours_text(p.hours)} h", (at, p.wer), (4, 5), textcoords="offset points",
                        fontsize=8, color=ink,
                    )
                )  # fmt: skip
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        # as many as have room beside each other
        room = size[0] / np.log10(high / low)
        ticks = (1, 2, 3, 5, 7) if room > 4.4 else (1, 2, 5) if room > 1.8 else (1,)
        axes.xaxis.set_major_locator(LogLocator(subs=ticks))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{s:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0, max(1.0, 1.08 * max(p.wer for line in lines.values() for p in line)))
        gpu = any(column == "train_gpu_s" for column, _ in known)
        kind = "CPU seconds, GPU seconds where it used one," if gpu else "CPU seconds"
        axes.set_xlabel(f"{kind} of training (log scale)")
        axes.set_ylabel("word error rate, %")
        axes.grid(axis="y", alpha=0.25, linewidth=0.7)
        axes.legend(frameon=False)
        figure.draw_without_rendering()
        _hide_covered(labels)
    return figure


def _cost(point: Point) -> tuple[str, float] | None:
    """What its trainings cost: the column of results.csv, and the mean of it; None where not all tell."""
    for column in ("train_gpu_s", "train_cpu_s"):
        seconds = [float(run.row.get(column) or 0) for run in point.runs]
        if all(seconds):
            return column, float(np.mean(seconds))
    return None


def draw_texts(findings: Findings, width: float = 6.4, ink: str = "black") -> Figure | None:
    """Draw word error rates over hours of audio and words of text, a table of colours for each recipe.

    None where there is only one text.
    """
    texts, recipes = list(findings.by_text), findings.recipes
    if len(texts) < 2:
        return None
    every = [p for found in findings.by_text.values() for p in found]
    hours = sorted({p.hours for p in every})
    worst = max((p.wer for p in every), default=0.0) or 1.0
    # beside each other where there is room
    shape = (1, len(recipes)) if width > 5 else (len(recipes), 1)
    height = shape[0] * (0.8 + 0.36 * len(texts)) + 0.4
    with rc_context(_axes_in(ink)):
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, recipe, (colour, *_) in zip(panels, recipes, itertools.cycle(STYLES)):
            axes.set_title(recipe, fontsize=10.5)
            for row, words in enumerate(texts):
                for p in findings.by_text[words]:
                    if p.recipe == recipe:
                        x, share = hours.index(p.hours), 0.08 + 0.5 * p.wer / worst
                        axes.bar(x, 1, width=1, bottom=row - 0.5, color=colour, alpha=share, linewidth=0)
                        axes.text(x, row, f"{p.wer:.1f}", ha="center", va="center", fontsize=9, color=ink)
            axes.set_xlim(-0.5, len(hours) - 0.5)
            axes.set_ylim(-0.5, len(texts) - 0.5)
            axes.set_xticks(range(len(hours)), [hours_text(h) for h in hours])
            axes.set_yticks(range(len(texts)), [words_text(w) for w in texts])
            axes.tick_params(length=0)
            axes.spines[["left", "bottom"]].set_visible(False)
        figure.supxlabel("hours of training audio", fontsize=10.5, color=ink)
    return figure


def _axes_in(ink: str) -> Any:
    """Settings of axes without a frame, in one colour."""
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    plain = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 10.5}
    # a dollar sign in a name is no formula
    plain["text.parse_math"] = False
    return dict.fromkeys(inked, ink) | plain


def save(figure: Figure, path: Path) -> None:
    """Write a figure, on white, as the PNG or SVG that the suffix says."""
    with replacing(path) as temporary, rc_context(SAVING):
        # without the date an unchanged curve is an unchanged file
        undated: Any = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(temporary, dpi=160, facecolor="white", metadata=undated)


def inline_svg(figure: Figure, prefix: str) -> str:
    """The figure as an <svg> element in the colours of the page it stands in.

    Parameters
    ----------
    figure
        From `draw_curve` with ink INK.
    prefix
        Put before every id, so that two figures can stand in one page.
    """
    text = io.StringIO()
    undated: Any = {"Date": None}
    with rc_context(SAVING):
        figure.savefig(text, format="svg", transparent=True, metadata=undated)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    # the view box alone decides the shape, the page the size
    head, rest = svg.split(">", 1)
    return re.sub(r' (width|height)="[^"]*"', "", head) + ">" + rest
