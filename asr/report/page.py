"""One self-contained HTML page of a bench: no network, and no script but one that plays a word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.figure import Figure

from asr.data.corpus import Corpus
from asr.report.figures import Findings, Point, Run, hours_text, words_text
from asr.report.listen import recordings, word_times
from asr.report.markdown import (
    CELLS_NOTE,
    CONTESTS_NOTE,
    LAWS_NOTE,
    LOSSES_NOTE,
    alarms,
    contests,
    laws,
    losses,
    notes,
    table,
    unreadable,
)
from asr.report.plot import INK, draw_cost, draw_curve, draw_stages, draw_texts, inline_svg
from asr.score import Pairs, UtteranceScore

WORST = 8  # utterances shown for each recipe
SCRIPT = """<script>
document.addEventListener("click", event => {
  const word = event.target.closest("[data-at]"), line = word && word.closest("[data-audio]");
  if (!line) return;
  document.querySelectorAll("audio").forEach(other => other.pause());
  const audio = document.getElementById(line.dataset.audio);
  audio.currentTime = word.dataset.at;
  audio.play().catch(() => {});  // a click on another word stops it before it has begun
});
</script>"""


def page(
    findings: Findings,
    answer: Sequence[str],
    failed: Mapping[str, str],
    provenance: Mapping[str, Any],
    corpus: Corpus | None = None,
) -> str:
    """The page.

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
    corpus
        What it was run on, for the recordings of the worst utterances; None: without them.
    """
    runs = findings.runs
    body = [_list("answer", answer)] if answer else []
    if failed:
        body.append("<h2>Failed</h2>" + _list("failed", [f"{cell}: {why}" for cell, why in failed.items()]))
    if lost := unreadable(runs):
        body.append("<h2>Unreadable audio</h2>" + _list("failed", lost))
    if wrong := alarms(runs):
        body.append("<h2>Trainings to look at</h2>" + _list("failed", wrong))
    subtitle = provenance["date"]
    title = "No finished cell"
    if runs:
        first = runs[0].row
        title = f"Word error rate against hours: {first['corpus']}"
        subtitle = (
            f"{first['split']} split, {first['utterances']} utterances, {first['words']} words · {subtitle}"
        )
        body += [
            _curve(findings),
            _texts(findings),
            _stages(findings),
            _cost(findings),
            _table("Power laws", *laws(findings), LAWS_NOTE),
            _table("Pair by pair", *contests(findings), CONTESTS_NOTE),
            _table("Every cell", *table(runs), CELLS_NOTE),
            _worst(findings.points, corpus),
        ]
    body.append(_origin(runs, provenance))
    frame = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    return frame.substitute(title=escape(title), subtitle=escape(subtitle), body="\n".join(body))


def _list(kind: str, items: Sequence[str]) -> str:
    return f'<div class="{kind}"><ul>' + "".join(f"<li>{escape(i)}</li>" for i in items) + "</ul></div>"


def _figure(heading: str, label: str, drawings: Sequence[Figure | None], prefix: str, note: str = "") -> str:
    """A heading and a drawing in two widths, the narrow one for phones; nothing where there is no drawing."""
    wide, narrow = drawings
    if wide is None or narrow is None:
        return ""
    caption = f"<figcaption><small>{note}</small></figcaption>" if note else ""
    return (
        f'<h2>{heading}</h2><figure role="img" aria-label="{label}; the figures are in the table below">'
        f'<div class="wide">{inline_svg(wide, f"{prefix}-wide-")}</div>'
        f'<div class="narrow">{inline_svg(narrow, f"{prefix}-narrow-")}</div>{caption}</figure>'
    )


def _curve(findings: Findings) -> str:
    notes = [f"Bars: 95% interval over {findings.resampled}."]
    if any(len(p.runs) > 1 for p in findings.points):
        notes.append("Dots: single seeds.")
    if any(len(c.hours) > 2 and c.lawful for c in findings.curves.values()):
        notes.append("Smooth curves: power laws with their 95% band over the same.")
    if any(c.foretells for c in findings.curves.values()):
        notes.append("Dotted: a forecast.")
    if any(c.crossings for c in findings.comparisons.values()):
        notes.append("Shaded: the 95% interval of a crossing.")
    drawings = [draw_curve(findings, "", size, INK) for size in ((6.4, 4.4), (3.9, 3.9))]
    label = "Word error rate against hours of training audio"
    return _figure("Learning curves", label, drawings, "curve", " ".join(notes))


def _texts(findings: Findings) -> str:
    drawings = [draw_texts(findings, width, INK) for width in (6.4, 3.9)]
    label = "Word error rate over hours of training audio and words of text"
    most = words_text(list(findings.by_text)[-1]) if findings.by_text else ""
    note = f"Numbers: WER in percent. All else on this page is of the most text, {most}."
    return _figure("Audio and text", label, drawings, "texts", note)


def _stages(findings: Findings) -> str:
    drawings = [draw_stages(findings, width, INK) for width in (6.4, 3.9)]
    label = "Points of word error rate lost by each stage"
    figure = _figure("Which stage lost the words", label, drawings, "stages")
    return figure and figure + _table("", *losses(findings), LOSSES_NOTE)


def _cost(findings: Findings) -> str:
    drawings = [draw_cost(findings, size, INK) for size in ((6.4, 4.0), (3.9, 3.6))]
    return _figure("What it cost", "Word error rate against the cost of training", drawings, "cost")


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> str:
    if not rows:
        return ""
    headings = "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return (
        (f"<h2>{title}</h2>" if title else "")
        + f'<div class="scroll" tabindex="0" role="region" aria-label="{title or "Figures"}">'
        f"<table><thead><tr>{headings}</tr></thead><tbody>{body}</tbody></table></div>"
        f"<p><small>{escape(note)}</small></p>"
    )


def _worst(points: Sequence[Point], corpus: Corpus | None) -> str:
    shown = [
        max((p for p in points if p.recipe == recipe), key=lambda p: p.hours).runs[0]
        for recipe in dict.fromkeys(p.recipe for p in points)
    ]
    worst = {}
    for run in shown:
        ranked = sorted(run.result.utterances, key=lambda u: (-u.scores.errors, u.id))
        worst[run.folder] = [u for u in ranked[:WORST] if u.scores.errors]
    ids = {u.id for some in worst.values() for u in some}
    audio = recordings(corpus, shown[0].row["split"], ids) if corpus is not None else {}
    starts = {run.folder: word_times(run.folder, run.row["split"], ids) for run in shown}
    timed = audio and any(starts.values())
    listen = " A recognised word plays from where it was recognised." if timed else ""
    parts = [
        "<h2>Worst utterances</h2><p class='soft'>With the most audio. Reference above, recognised below; "
        "<b>bold</b> below: another word, struck out above: missed, a dot above: put in."
        f"{listen}</p>",
        # each recording once, however many recipes failed on it
        *(f'<audio id="audio-{escape(i)}" src="{data}" preload="none"></audio>' for i, data in audio.items()),
    ]
    for run in shown:
        parts.append(f"<h3>{escape(run.row['recipe'])}, {hours_text(run.row['hours'])} h</h3>")
        parts += [
            _utterance(u, u.id in audio, starts[run.folder].get(u.id, [])) for u in worst[run.folder]
        ] or ["<p>None: every word is right.</p>"]
    return "".join(parts) + (SCRIPT if audio else "")


def _utterance(u: UtteranceScore, audible: bool, times: Sequence[float]) -> str:
    who = f" · speaker {escape(u.speaker)}" if u.speaker else ""
    errors = f"{u.scores.errors} error{'s' * (u.scores.errors != 1)} in {u.scores.reference} words"
    play = f' data-audio="audio-{escape(u.id)}"' if audible else ""
    button = '<button type="button" data-at="0">play</button> ' if audible else ""
    return (
        f'<div class="utterance"{play}><small>{button}{escape(u.id)}{who} · {errors}</small>'
        f'<div class="words">{_words(u.pairs, times if audible else [])}</div></div>'
    )


def _words(pairs: Pairs, times: Sequence[float]) -> str:
    """Reference over recognised words; those are buttons where it is known when they start."""
    cells = []
    starts = iter(times)
    for reference, hypothesis in pairs:
        wrong = "S" if reference != hypothesis else ""
        kind = "I" if reference is None else "D" if hypothesis is None else wrong
        above, below = (escape(t) if t is not None else "·" for t in (reference, hypothesis))
        at = next(starts, None) if hypothesis is not None else None
        if at is not None:
            below = f'<button type="button" data-at="{at:.2f}" title="at {at:.2f} s">{below}</button>'
        cells.append(f'<span class="{kind}"><b>{above}</b><i>{below}</i></span>')
    return "".join(cells)


def _origin(runs: Sequence[Run], provenance: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{k} {v}" for k, v in provenance["packages"].items())
    lines = [
        f"<p>Command: <code>{escape(provenance['command'])}</code></p>",
        f"<p>Commit {escape(provenance['commit'] or 'unknown')} · {escape(provenance['hardware'])}</p>",
        f"<p>Python {escape(provenance['python'])}, {escape(packages)}</p>",
    ]
    lines += [f"<p>{escape(note)}</p>" for note in notes(runs)]
    for run in runs:
        record = run.record
        facts = {
            "command": record.provenance.get("command"),
            "commit": record.provenance.get("commit"),
            "date": record.provenance.get("date"),
            "hardware": record.provenance.get("hardware"),
            "versions": record.provenance.get("packages"),
            "budget": record.budget,
            "seconds": record.seconds,
            "settings": record.config,
        }
        inner = "".join(
            f"<p>{name}: <code>{escape(v if isinstance(v, str) else json.dumps(v))}</code></p>"
            for name, v in facts.items()
            if v
        )
        lines.append(f"<details><summary>{escape(run.folder.name)}</summary>{inner}</details>")
    return "<h2>How it was made</h2>" + "".join(lines)
