"""The learning curve: word error rate against hours of training audio."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from asr.files import replacing
from asr.report.figures import Point

# told apart by colour (Okabe and Ito's palette for colour-blind readers), marker and dash
STYLES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#CC79A7", "D", ":"),
    ("#E69F00", "v", "-"),
    ("#56B4E9", "P", "--"),
)
INK = "#010203"  # stands for the colour of the page's text
# text stays text; ids are the same in every run
SAVING: Any = {"svg.fonttype": "none", "svg.hashsalt": "asr"}


def draw_curve(
    points: Sequence[Point], title: str, size: tuple[float, float] = (6.4, 4.4), ink: str = "black"
) -> Figure:
    """Draw a line per recipe over log hours, 95% intervals as bars, each seed as a dot.

    Parameters
    ----------
    points
        From `asr.report.figures.points`.
    title
        Stands above the axes.
    size
        Width and height in inches.
    ink
        Colour of text and axes.
    """
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    settings: Any = dict.fromkeys(inked, ink) | {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 10.5,
    }
    with rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        recipes = list(dict.fromkeys(p.recipe for p in points))
        for i, recipe in enumerate(recipes):
            colour, marker, dash = STYLES[i % len(STYLES)]
            line = [p for p in points if p.recipe == recipe]
            # a hair apart, so that equal intervals do not hide each other
            x = [p.hours * 1.02 ** (i - (len(recipes) - 1) / 2) for p in line]
            low = [max(0.0, p.wer - (p.interval.low or 0.0)) for p in line]
            high = [max(0.0, (p.interval.high or 0.0) - p.wer) for p in line]
            axes.errorbar(
                x, [p.wer for p in line], yerr=[low, high], color=colour, marker=marker, linestyle=dash,
                capsize=3, linewidth=1.8, markersize=6, elinewidth=1.1, label=recipe,
            )  # fmt: skip
            many = [(at, p) for at, p in zip(x, line, strict=True) if len(p.runs) > 1]
            for at, p in many:
                rates = [r.row["wer"] for r in p.runs]
                axes.plot([at] * len(rates), rates, ".", color=colour, alpha=0.5)
        hours = sorted({p.hours for p in points})
        axes.set_xscale("log")
        axes.set_xticks(hours)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda h, _: f"{h:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        if len(hours) == 1:
            axes.set_xlim(hours[0] / 2, hours[0] * 2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("hours of training audio (log scale)")
        axes.set_ylabel("word error rate, %")
        axes.set_title(title, fontsize=10.5)
        axes.grid(axis="y", alpha=0.25, linewidth=0.7)
        axes.legend(frameon=False)
    return figure


def save_curve(figure: Figure, path: Path) -> None:
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
