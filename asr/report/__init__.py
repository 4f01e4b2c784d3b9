"""What a bench leaves for people: RESULTS.md, the plot and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asr.errors import AsrError
from asr.files import write_text


def write_report(
    to: Path,
    folders: Sequence[Path],
    failed: Mapping[str, str],
    provenance: Mapping[str, Any],
    corpus: Path | None = None,
) -> list[str]:
    """Write RESULTS.md, its plots and report.html, and return the answer in sentences.

    Parameters
    ----------
    to
        Folder to write to.
    folders
        Run folders of the finished cells.
    failed
        Cell → why it failed.
    provenance
        Of this bench, from `asr.record.provenance`.
    corpus
        Prepared folder that it was run on, for recordings in the page; None: without them.
    """
    from asr.data.corpus import Corpus
    from asr.report.answer import answer
    from asr.report.figures import Findings, Run
    from asr.report.markdown import results_markdown
    from asr.report.page import page
    from asr.report.plot import draw_cost, draw_curve, draw_stages, draw_texts, save

    failed = dict(failed)
    runs = []
    for folder in folders:
        try:
            runs.append(Run.load(folder))
        except AsrError as e:
            failed[folder.name] = str(e)
    findings = Findings.of(runs)
    runs = findings.runs
    sentences = answer(findings)
    drawings = {
        "curve": runs and draw_curve(findings, f"{runs[0].row['corpus']}: word error rate against hours"),
        "texts": draw_texts(findings),
        "stages": draw_stages(findings),
        "cost": runs and draw_cost(findings),
    }
    plots = {}
    for name, figure in drawings.items():
        if figure:
            save(figure, to / f"{name}.svg")
            plots[name] = f"{name}.svg"
        else:  # an earlier bench may have drawn one there
            (to / f"{name}.svg").unlink(missing_ok=True)
    if drawings["curve"]:
        save(drawings["curve"], to / "curve.png")
    write_text(to / "RESULTS.md", results_markdown(findings, sentences, failed, provenance, plots))
    heard = None if corpus is None else Corpus.open(corpus)
    write_text(to / "report.html", page(findings, sentences, failed, provenance, heard))
    return sentences
