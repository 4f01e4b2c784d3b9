"""`asr compare`: is one run better than another on the same test set?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def compare(
    run_a: Annotated[
        Path, typer.Argument(help="A run folder of `asr train` or `asr bench`, or a folder in its decode/.")
    ],
    run_b: Annotated[Path, typer.Argument(help="Another one, on the same corpus.")],
    split: Annotated[
        str | None, typer.Option(help="The split that both decoded; when left out the one A was scored on.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare the word errors of two runs on the utterances that both decoded: MAPSSWE and paired bootstrap.

    It is about these two trainings; whether a recipe is better takes several seeds of both, see `asr bench`.
    """
    from asr.errors import DataError
    from asr.record import scored_split
    from asr.score import SPEAKERS, compare_bootstrap, mapsswe, read_decoded, score_texts

    split = split or scored_split(run_a)
    a, b = read_decoded(run_a, split), read_decoded(run_b, split)
    both = [i for i in a.references if i in b.references]
    differ = next((i for i in both if a.references[i] != b.references[i]), None)
    if differ is not None or not both:
        raise DataError(
            f"{run_a} and {run_b} decoded different utterances",
            utterance=differ,
            fix="compare runs on one corpus",
        )
    # an utterance that one could not read is there with no word; one that is missing was in another test set
    references = {i: a.references[i] for i in both}
    only = {"a": len(a.references) - len(both), "b": len(b.references) - len(both)}
    one, two = (score_texts(references, t.texts, speakers=t.speakers) for t in (a, b))
    counts = [u.scores for u in one.utterances], [u.scores for u in two.utterances]
    # counts are those of the runs' own scores; segments are cut where sc_stats cuts them
    pairs_a, pairs_b = (
        [u.pairs for u in score_texts(references, t.texts, method="sclite").utterances] for t in (a, b)
    )
    segments = mapsswe(pairs_a, pairs_b)
    paired = compare_bootstrap(*counts, seed=seed)
    everyone = {i: s for i, s in (a.speakers | b.speakers).items() if i in references}
    people = len(set(everyone.values()))
    by_speaker = None
    if people > 1 and everyone.keys() >= references.keys():
        by_speaker = compare_bootstrap(*counts, [everyone[i] for i in references], seed=seed)
    if as_json:
        figures = {
            "utterances": len(both),
            "only_in": only,
            "a": one.as_dict(),
            "b": two.as_dict(),
            "mapsswe": asdict(segments),
            "bootstrap": asdict(paired),
            "bootstrap_speakers": asdict(by_speaker) if by_speaker else None,
        }
        typer.echo(json.dumps(figures, indent=2, ensure_ascii=False))
        return
    if any(only.values()):
        typer.echo(f"on {len(both)} utterances; left out: {only['a']} of A alone, {only['b']} of B alone")
    for name, run, result in (("A", run_a, one), ("B", run_b, two)):
        typer.echo(f"{name} {run}: {result.scores.kaldi()} 95% interval {result.interval}")
    typer.echo(f"A - B: {paired.difference:+.2f} points of WER, 95% interval {paired.interval(2)}")
    typer.echo(f"paired bootstrap over utterances: {_p(paired.p)}, B better in {100 * paired.b_better:.1f}%")
    enough = by_speaker is not None and people >= SPEAKERS
    if by_speaker:
        typer.echo(
            f"paired bootstrap over {people} speakers: {_p(by_speaker.p)}, "
            f"interval {by_speaker.interval(2)}"
            + ("" if enough else f"; fewer than {SPEAKERS} say nothing of others")
        )
    typer.echo(f"MAPSSWE: {_p(segments.p)} (z = {segments.z:.3f}, {segments.segments} segments)")
    judge = by_speaker if by_speaker and enough else paired
    tests = f"MAPSSWE and the bootstrap over {'speakers' if enough else 'utterances'}"
    if not enough:
        tests += ", for these speakers"
    typer.echo(_verdict(segments.p, judge.p, paired.difference, tests))


def _p(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}"


def _verdict(segment_p: float, bootstrap_p: float, difference: float, tests: str) -> str:
    if max(segment_p, bootstrap_p) < 0.05:
        return f"{'B' if difference > 0 else 'A'} makes fewer errors ({tests}, p < 0.05)."
    if min(segment_p, bootstrap_p) < 0.05:
        return f"{tests} disagree at p = 0.05: take it as undecided."
    return f"The data cannot tell which one is better ({tests}, p >= 0.05)."
