"""Which audio of a split could not be read: the figures of a run give only their number."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from asr.data.audio import load_cut
from asr.data.corpus import Corpus
from asr.errors import AsrError, AudioError
from asr.score import read_decoded


def unreadable_audio(corpus: Path, split: str, runs: Iterable[Path]) -> list[AsrError]:
    """What is wrong with the audio that some runs counted as deleted: one error an utterance.

    Only utterances for which a run has no words are read. A run or corpus that is damaged is named, too, and
    audio that was repaired since is not.

    Parameters
    ----------
    corpus
        The prepared folder.
    split
        The split that was scored.
    runs
        Run folders.
    """
    silent: set[str] = set()
    problems: list[AsrError] = []
    for run in runs:
        try:
            silent.update(i for i, text in read_decoded(run, split).texts.items() if not text)
        except AsrError as e:
            problems.append(e)
    try:
        for cut in Corpus.open(corpus).cuts(split):
            if cut.id in silent:
                try:
                    load_cut(cut, cut.sampling_rate)
                except AudioError as e:
                    problems.append(e)
    except AsrError as e:
        problems.append(e)
    return problems
