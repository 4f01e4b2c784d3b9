"""Score a system on one split of a corpus."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lhotse import CutSet
from lhotse.cut import Cut

from asr.cores import one_core
from asr.data.audio import load_cut
from asr.data.corpus import text_of
from asr.data.pool import speaker_batches
from asr.decode.confidence import Calibration, normalised_cross_entropy
from asr.decode.greedy import greedy, words_of
from asr.decode.hypothesis import Hypothesis
from asr.emissions import Emissions
from asr.errors import AudioError
from asr.files import write_json, write_text
from asr.progress import console, track
from asr.score import Result, score_texts
from asr.system import System
from asr.text.units import WORD_END

LOSSES = "stages.json"  # beside the hypotheses whose errors it shares out


class Emitted(NamedTuple):
    """One utterance's emissions.

    Attributes
    ----------
    first
        The text of the first search, where there was one for the sake of adaptation.
    seconds
        What all of that took.
    """

    cut: Cut
    emissions: Emissions
    first: str | None
    seconds: float


def emissions_of(system: System, cuts: CutSet, what: str, adapted: bool = True) -> Iterator[Emitted]:
    """Each cut with its emissions; unreadable audio is named and left out.

    `adapted`: to each cut's speaker, where the model does that, and as the system's settings search.
    """
    model = system.model
    for batch in track(speaker_batches(cuts), what):
        readable, waveforms = [], []
        for cut in batch:
            try:
                waveforms.append(load_cut(cut, model.sample_rate))
                readable.append(cut)
            except AudioError as problem:
                console.print(f"asr: {problem}", style="yellow", markup=False, soft_wrap=True)
        if not readable:
            continue
        began = time.process_time()
        if adapted:
            emissions, first = system.emissions(waveforms, model.sample_rate)
        else:
            emissions, first = model.emit(waveforms, model.sample_rate), None
        seconds = (time.process_time() - began) / len(readable)
        for k, (cut, e) in enumerate(zip(readable, emissions, strict=True)):
            yield Emitted(cut, e, first[k] if first else None, seconds)


def evaluate(system: System, cuts: CutSet, folder: Path, phones: Mapping[str, str]) -> dict[str, Any]:
    """Decode `cuts`, write hyp.jsonl, scores.json and errors.txt to `folder`, return the figures.

    Parameters
    ----------
    system
        The recogniser.
    cuts
        The split to score, one supervision a cut.
    folder
        Where the results go.
    phones
        Reference phonemes of each cut by id, with blanks between them; for systems that emit phonemes.

    Returns
    -------
    dict
        The columns of results.csv that come from scoring; rates in percent. An utterance whose audio cannot
        be read counts as wholly deleted; ``unreadable`` is the number of those. Everything runs on one core,
        so that ``decode_rtf`` is CPU seconds for a second of audio, features, network and search
        together.
    """
    references = {c.id: text_of(c) for c in cuts}
    speakers = {c.id: c.supervisions[0].speaker for c in cuts}
    hypotheses: dict[str, Hypothesis] = {}
    tokens: dict[str, list[str]] = {}
    phonemes: dict[str, str] = {}
    phoneme_system = system.of_phonemes() if system.phoneme_search else None
    unadapted: dict[str, str] = {}
    seconds = audio_s = 0.0
    with one_core():
        # graphs are built and kernels loaded outside the timing: once a process
        system.transcribe([np.zeros(system.sample_rate, np.float32)], system.sample_rate)
        for cut, emissions, first, emit_s in emissions_of(system, cuts, "decoding"):
            began = time.process_time()
            hypotheses[cut.id] = system.decode(emissions)
            seconds += emit_s + time.process_time() - began
            audio_s += cut.duration
            if first is not None:
                unadapted[cut.id] = first
            if emissions.kind == "posterior":
                tokens[cut.id] = greedy(emissions)
            if phoneme_system:
                phonemes[cut.id] = phoneme_system.decode(emissions).text

    texts = {i: h.text for i, h in hypotheses.items()}
    words = score_texts(references, texts, speakers=speakers)
    characters = score_texts(references, texts, unit="character")
    figures: dict[str, Any] = {
        "utterances": len(references),
        "words": words.scores.reference,
        "sub": words.scores.substitutions,
        "del": words.scores.deletions,
        "ins": words.scores.insertions,
        "wer": _rounded(words.scores.rate),
        "wer_low": _rounded(words.interval[0]),
        "wer_high": _rounded(words.interval[1]),
        "cer": _rounded(characters.scores.rate),
        "unadapted_wer": _rounded(score_texts(references, unadapted).scores.rate) if unadapted else None,
        "per": None,
        "lm_per": None,
        "greedy_wer": None,
        "greedy_cer": None,
        "decode_rtf": round(seconds / max(audio_s, 1e-9), 5),
        "unreadable": len(references) - len(hypotheses),
    }
    if tokens and WORD_END in system.model.units:
        spelled = {i: words_of(t) for i, t in tokens.items()}
        figures["greedy_wer"] = _rounded(score_texts(references, spelled).scores.rate)
        figures["greedy_cer"] = _rounded(score_texts(references, spelled, unit="character").scores.rate)
    elif tokens:
        _tell_foreign(phones, system.model.units)
        spoken = {i: " ".join(t) for i, t in tokens.items()}
        figures["per"] = _rounded(score_texts(phones, spoken, unit="phoneme").scores.rate)
        if phoneme_system:
            figures["lm_per"] = _rounded(score_texts(phones, phonemes, unit="phoneme").scores.rate)

    lines = []
    nothing = Hypothesis((), complete=False)
    # all of them: who reads the file must count the words of unreadable audio as the figures do
    for i in references:
        h = hypotheses.get(i, nothing)
        entry = {
            "id": i,
            "text": h.text,
            "reference": references[i],
            "speaker": speakers[i],
            "complete": h.complete,
        }
        entry["words"] = [
            [w.text, round(w.start_s, 3), round(w.duration_s, 3), round(w.confidence, 3)] for w in h.words
        ]
        if i in tokens:
            entry["greedy"] = " ".join(tokens[i])
        if i in phonemes:
            entry["phonemes"] = phonemes[i]
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    (folder / LOSSES).unlink(missing_ok=True)  # they are of other hypotheses
    write_text(folder / "hyp.jsonl", "".join(lines))
    write_text(folder / "errors.txt", words.report())
    nce = _rounded(normalised_cross_entropy(*_marked(hypotheses, words)))
    write_json(folder / "scores.json", {**figures, "nce": nce})
    return figures


def _tell_foreign(phones: Mapping[str, str], units: Container[str]) -> None:
    """Say where references hold phonemes that a model cannot write: it is of another corpus."""
    foreign = {
        i: odd for i, said in phones.items() if (odd := next((p for p in said.split() if p not in units), ""))
    }
    if foreign:
        first = next(iter(foreign))
        what = f"{len(foreign)} of {len(phones)} utterances hold phonemes that the model does not know, as"
        console.print(
            f"asr: {what} {foreign[first]!r} in {first}: they count as errors in its PER",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )


def _marked(hypotheses: Mapping[str, Hypothesis], scored: Result) -> tuple[list[float], list[bool]]:
    """The confidence of every recognised word, and whether it is right by the alignment."""
    confidences = [
        w.confidence for u in scored.utterances if u.id in hypotheses for w in hypotheses[u.id].words
    ]
    pairs = [pair for u in scored.utterances for pair in u.pairs]
    return confidences, [reference == word for reference, word in pairs if word is not None]


def calibrate(system: System, emitted: Sequence[Emitted], references: Mapping[str, str]) -> None:
    """Learn on dev what the confidences of a system's words mean, see `Calibration`."""
    system.calibration = Calibration()
    found = {e.cut.id: system.decode(e.emissions) for e in track(emitted, "calibrating")}
    if not found:
        return
    scored = score_texts({i: references[i] for i in found}, {i: h.text for i, h in found.items()})
    system.calibration = Calibration.fitted(*_marked(found, scored))


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 3)
