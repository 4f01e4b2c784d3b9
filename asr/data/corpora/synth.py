"""The embedded corpus: sentences of a grammar or a text, spoken by espeak-ng in noisy rooms, exactly timed.

It needs no download. Utterance i of a split depends on the seed alone, so a corpus of more hours starts with
the corpus of fewer, and audio that is already on disk is used again.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import soundfile
from lhotse import AudioSource, CutSet, Recording, SupervisionSegment
from lhotse.cut import Cut
from lhotse.supervision import AlignmentItem

from asr.data.corpora.assemble import ENGLISH, sayable, sentences_of
from asr.data.corpus import Corpus
from asr.data.events import Span
from asr.data.grammar import vocabulary
from asr.data.synth import SAMPLE_RATE, Spoken, Synthesiser, lm_sentences
from asr.errors import AsrError, ConfigError, DataError
from asr.espeak import Espeak
from asr.files import content_hash, replacing
from asr.progress import bar
from asr.text.g2p import complete
from asr.text.lexicon import Lexicon

PART = 100
"""Utterances of a part: its list is written when all its audio is there, so a kill costs one part."""
LM_SENTENCES = 4000
SHARES = 10
OTHERS = {SHARES - 2: "dev", SHARES - 1: "test"}
"""Which of ten sentences of a text are not spoken in train."""
VERSION = 1
"""To be raised by any change that makes other samples, texts or times."""


def prepare(
    target: Path,
    hours: float = 0.5,
    seed: int = 0,
    clean: bool = False,
    dev_hours: float = 0.05,
    test_hours: float = 0.2,
    text: str | Path | None = None,
) -> Corpus:
    """Synthesise the corpus, or more of it.

    Parameters
    ----------
    target
        Folder to write.
    hours, dev_hours, test_hours
        Audio of each split, silences included; the last utterance is the one that reaches it.
    seed
        Chooses sentences, voices, rooms and noises.
    clean
        Without rooms and noises.
    text
        English sentences to speak, one a line, in place of the grammar's, each before any is said again. Of
        ten different ones, one is spoken in dev alone and one in test alone; the others make the language
        model, too.

    Raises
    ------
    ConfigError
        If a split has no hours or the seed is negative.
    DataError
        If the text cannot be read or holds fewer than ten sentences.
    """
    wanted = {"train": hours, "dev": dev_hours, "test": test_hours}
    for split, some in wanted.items():
        if not 0 < some < float("inf"):
            raise ConfigError(f"{some} hours of {split}", fix="ask for a positive number of hours")
    if seed < 0:
        raise ConfigError(f"seed {seed}", fix="use 0 or more")
    problems: list[AsrError] = []
    lexicon, texts, guessed = (_lexicon(), {}, Counter()) if text is None else _own(Path(text), problems)
    # the first word is to be changed with the order that they are spoken in
    of = f"-{content_hash('permuted, other babble', *itertools.chain(*texts.values()))[:8]}" if texts else ""
    kept = target / "audio" / f"v{VERSION}-s{seed}{'-clean' if clean else ''}{of}"
    with Espeak() as espeak, bar() as progress:
        cuts: dict[str, list[Cut]] = {}
        for split, some in wanted.items():
            task = progress.add_task(f"speaking {split} (s)", total=round(some * 3600))
            own = [sentence.lower() for sentence in texts.get(split, ())]
            synthesiser = Synthesiser(espeak, split, seed, clean, own)
            cuts[split] = []
            seconds = 0.0
            while seconds < some * 3600:
                for row in _part(kept / split, len(cuts[split]) // PART, synthesiser):
                    cuts[split].append(_cut(row, kept, lexicon))
                    seconds += row["samples"] / SAMPLE_RATE
                    if seconds >= some * 3600:
                        break
                progress.update(task, completed=round(min(seconds, some * 3600)))
    said = f", text {Path(text).name}" if text is not None else ""
    return Corpus.write(
        target,
        "synth",
        {split: CutSet.from_cuts(some) for split, some in cuts.items()},
        "".join(f"{word} {' '.join(p)}\n" for word, some in lexicon.entries.items() for p in some),
        "".join(sentence + "\n" for sentence in texts.get("train") or lm_sentences(seed, LM_SENTENCES)),
        licence="Apache-2.0 (texts and mixing); speech by espeak-ng, a GPL-3.0 program whose output is free",
        source=f"asr prepare synth, version {VERSION}, seed {seed}" + (", clean" if clean else "") + said,
        oov=guessed,
        problems=[str(problem) for problem in problems],
    )


@cache
def _lexicon() -> Lexicon:
    return Lexicon.cmudict().restricted([word.upper() for word in vocabulary()])


def _own(path: Path, problems: list[AsrError]) -> tuple[Lexicon, dict[str, list[str]], Counter[str]]:
    """A lexicon for a text; its sentences, each once, in the split that speaks them; words it guessed at."""
    first = {sentence: i for i, sentence in reversed(list(sentences_of(path, "en", problems)))}
    sentences = sorted((i, sentence) for sentence, i in first.items())
    words = [word for _, sentence in sentences for word in sentence.split() if ENGLISH.issuperset(word)]
    lexicon, guessed = complete(Lexicon({}), words)
    kept = sayable(sentences, lexicon, path, problems)
    if len(kept) < SHARES:
        raise DataError(
            f"{len(kept)} different sentences", path=path, fix=f"give {SHARES} or more, one a line"
        )
    texts: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for k, sentence in enumerate(kept):
        texts[OTHERS.get(k % SHARES, "train")].append(sentence)
    many = Counter(word for sentence in kept for word in sentence.split())
    return lexicon.restricted(many), texts, Counter({word: many[word] for word in guessed if word in many})


def _part(folder: Path, number: int, synthesiser: Synthesiser) -> list[dict[str, Any]]:
    """The rows of a part, from disk where it is finished."""
    path = folder / f"part-{number:05d}.jsonl"
    if path.exists():
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = []
    for i in range(number * PART, (number + 1) * PART):
        spoken = synthesiser.utterance(i)
        name = f"{synthesiser.split}-{i:06d}"
        with replacing(folder / f"{name}.flac") as temporary:
            soundfile.write(temporary, spoken.samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        rows.append(_row(name, synthesiser.split, spoken))
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def _row(name: str, split: str, spoken: Spoken) -> dict[str, Any]:
    """What there is to know about an utterance, without the samples and without the place of its file."""
    return {
        "id": f"synth-{name}",
        "audio": f"{split}/{name}.flac",
        "samples": len(spoken.samples),
        "text": spoken.text,
        "speaker": spoken.speaker,
        "words": [_seconds(span) for span in spoken.words],
        "phones": [_seconds(span) for span in spoken.phones],
        "mixing": {"noise": spoken.noise, "snr_db": spoken.snr_db, "t60_s": spoken.t60_s},
    }


def _seconds(span: Span) -> tuple[str, float, float]:
    """Symbol, start and duration."""
    return span.symbol, span.start / SAMPLE_RATE, (span.end - span.start) / SAMPLE_RATE


def _cut(row: dict[str, Any], folder: Path, lexicon: Lexicon) -> Cut:
    recording = Recording(
        id=row["id"],
        sources=[AudioSource(type="file", channels=[0], source=str((folder / row["audio"]).absolute()))],
        sampling_rate=SAMPLE_RATE,
        num_samples=row["samples"],
        duration=row["samples"] / SAMPLE_RATE,
    )
    cut = recording.to_cut()
    cut.id = row["id"]
    cut.supervisions = [
        SupervisionSegment(
            id=row["id"],
            recording_id=row["id"],
            start=0,
            duration=recording.duration,
            text=row["text"],
            language="en",
            speaker=row["speaker"],
            alignment={
                kind: [AlignmentItem(symbol, start, duration) for symbol, start, duration in row[f"{kind}s"]]
                for kind in ("word", "phone")
            },
            custom={"phones": lexicon.pronounce(row["text"]), **row["mixing"]},
        )
    ]
    return cut
