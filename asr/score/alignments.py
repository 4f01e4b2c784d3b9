"""Alignments for people to read, laid out as sclite's pralign and summary reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asr.score.counts import Pairs, Scores, UtteranceScore


def aligned_lines(pairs: Pairs) -> tuple[str, str, str]:
    """The REF, HYP and Eval lines of one utterance: gaps as stars, wrong words marked S, D or I."""
    columns: list[tuple[str, str, str]] = []
    for reference, hypothesis in pairs:
        # a space, where characters are scored, would not show
        left, right = ("_" if token == " " else token for token in (reference, hypothesis))
        width = max(len(left or ""), len(right or ""))
        mark = "I" if left is None else "D" if right is None else "S" if left != right else ""
        cells = ("*" * width if left is None else left, "*" * width if right is None else right, mark)
        columns.append((cells[0].ljust(width), cells[1].ljust(width), cells[2].ljust(width)))
    lines = [" ".join(c[i] for c in columns).rstrip() for i in range(3)]
    return lines[0], lines[1], lines[2]


def alignments_text(
    utterances: Sequence[UtteranceScore], speakers: Mapping[str, Scores], total: Scores
) -> str:
    """Every utterance's alignment, then counts and percentages by speaker and in all.

    Parameters
    ----------
    utterances
        In the order to print.
    speakers
        Counts by speaker; empty where speakers are unknown.
    total
        Counts of all utterances.
    """
    blocks = []
    for u in utterances:
        s = u.scores
        lines = [f"id: ({u.id})"]
        if u.speaker is not None:
            lines.append(f"Speaker: {u.speaker}")
        lines.append(f"Scores: (#C #S #D #I) {s.hits} {s.substitutions} {s.deletions} {s.insertions}")
        for name, line in zip(("REF:  ", "HYP:  ", "Eval: "), aligned_lines(u.pairs), strict=True):
            lines.append((name + line).rstrip())
        blocks.append("\n".join(lines) + "\n")
    return "\n".join([*blocks, _summary(utterances, speakers, total)])


def _summary(utterances: Sequence[UtteranceScore], speakers: Mapping[str, Scores], total: Scores) -> str:
    sentences: dict[str | None, list[int]] = {}
    for u in utterances:
        for key in {u.speaker, None}:
            sentences.setdefault(key, []).append(u.scores.errors > 0)
    width = max(7, *(len(s) for s in speakers)) if speakers else 7
    rows = [f"{'Speaker':<{width}} |  # Snt   # Wrd |   Corr    Sub    Del    Ins    Err  S.Err"]
    rows.append("-" * len(rows[0]))
    for name, scores, key in [*((n, s, n) for n, s in speakers.items()), ("Sum/Avg", total, None)]:
        wrong = sentences.get(key, [])
        counts = (scores.hits, scores.substitutions, scores.deletions, scores.insertions, scores.errors)
        percents = [_percent(c, scores.reference) for c in counts] + [_percent(sum(wrong), len(wrong))]
        rows.append(f"{name:<{width}} | {len(wrong):>6} {scores.reference:>7} | " + " ".join(percents))
    return "\n".join(rows) + "\n"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:6.1f}" if whole else "     -"
