"""What is wrong with a corpus, a manifest, a lexicon or a language model, one finding a line."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lhotse.cut import Cut
from lhotse.qa import validate

from asr.data.audio import TOLERANCE_S, AudioFacts, inspect_audio
from asr.data.corpora import kaldi
from asr.data.corpora.assemble import ENGLISH, look_at, usable
from asr.data.corpora.csv import read_table
from asr.data.corpora.jsonl import read_manifest
from asr.data.corpus import Corpus, phones_of, text_of
from asr.data.doubts import doubts, same_sound
from asr.errors import AsrError, AudioError, DataError, LexiconError
from asr.text.lexicon import Lexicon, unspaced
from asr.text.lexicon import doubts as lexicon_doubts
from asr.text.ngram import NGram
from asr.text.normalize import base_language, unknown_characters, wrong_case

# what the acoustic models ask for, which are a layer above: a test holds these against them
FRAMES_PER_S = 25  # of the networks, one label a frame at most
MINIMUM_FRAMES = 20  # that shorter utterances are padded to
HMM_FRAMES_PER_S = 100
HMM_FRAMES_PER_PHONEME = 3
SHORTEST_S, LONGEST_S = 0.1, 40.0


@dataclass
class Findings:
    """Problems, which make something unusable in part, warnings, which need not, and a summary."""

    problems: list[AsrError] = field(default_factory=list)
    warnings: list[AsrError] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    def attempt(self, error: AsrError | None) -> None:
        """Add a problem unless there is none."""
        if error is not None:
            self.problems.append(error)


def check_corpus(folder: Path) -> Findings:
    """Check a prepared corpus: every cut, every second of audio, lexicon and language model."""
    found = Findings()
    corpus = Corpus.open(folder)
    cuts: dict[str, list[Cut]] = {}
    for split in dict.fromkeys(("train", "dev", "test", *corpus.splits)):
        try:
            some = list(corpus.cuts(split))
        except DataError as e:
            found.problems.append(e)
            continue
        cuts[split] = [cut for cut in some if cut.has_recording]
        lost = [cut for cut in some if not cut.has_recording]
        found.problems.extend(_error(cut, corpus, split, "has no recording") for cut in lost)
    try:
        lexicon = Lexicon.load(corpus.lexicon_path, corpus.language)
        if (joined := unspaced(lexicon, corpus.lexicon_path)) is not None:
            found.warnings.append(joined)
    except LexiconError as e:
        found.problems.append(e)
        lexicon = None
    seen: set[str] = set()
    for split, some in cuts.items():
        for cut in some:
            _check_cut(cut, corpus, split, lexicon, found)
            if cut.id in seen:
                found.problems.append(_error(cut, corpus, split, "the id stands here a second time"))
            seen.add(cut.id)
            if not SHORTEST_S <= cut.duration <= LONGEST_S:
                length = "short" if cut.duration < SHORTEST_S else "long"
                found.warnings.append(_error(cut, corpus, split, f"very {length}: {cut.duration:.2f} s"))
    _check_sound(cuts, corpus, found)
    _check_speakers(cuts, corpus, found)
    found.warnings.extend(doubts(corpus, cuts))
    if corpus.lm_path is not None:
        _check_lm(corpus.lm_path, found)
    hours = sum(cut.duration for some in cuts.values() for cut in some) / 3600
    found.facts |= {
        "utterances": ", ".join(f"{split} {len(some):,}" for split, some in cuts.items()),
        "hours": f"{hours:.2f}",
        "words in the lexicon": "none" if lexicon is None else f"{len(lexicon):,}",
    }
    if corpus.problems:
        found.facts["left out when it was prepared"] = f"{len(corpus.problems):,} (see corpus.json)"
    return found


def check_manifest(path: Path, language: str = "en") -> Findings:
    """Check a JSON lines file, a table or a Kaldi data folder as `asr prepare` would."""
    found = Findings()
    if path.is_dir():
        utterances = [
            u
            for folder, split in kaldi.folders(path)
            for u in kaldi.read_folder(folder, found.problems, split)
        ]
    else:
        reader = read_table if path.suffix.lower() in (".csv", ".tsv") else read_manifest
        utterances = list(reader(path, found.problems))
    heard, facts = usable(utterances, language, found.problems)
    audible = []
    for u in heard:
        if facts[u.audio].is_silent(u.channel):
            found.problems.append(u.error("silent", "leave it out"))
        else:
            audible.append(u)
    oov = Lexicon.cmudict().oov(u.text for u in heard) if base_language(language) == "en" else None
    if oov:
        some = ", ".join(f"{word} {n}" for word, n in oov.most_common(10))
        what = f"{len(oov)} words are not in CMUdict, their pronunciations will be guesses: {some}"
        found.warnings.append(DataError(what, path=path))
    found.facts |= {
        "usable utterances": f"{len(audible):,}",
        "hours": f"{sum(u.duration or 0 for u in audible) / 3600:.2f}",
    }
    return found


def check_lexicon(path: Path, language: str = "en") -> Findings:
    """Check a lexicon: every line readable, no phoneme that looks like a slip."""
    found = Findings()
    try:
        lexicon = Lexicon.load(path, language)
    except LexiconError as e:
        found.problems.append(e)
        return found
    uses = Counter(phone for some in lexicon.entries.values() for one in some for phone in one)
    found.warnings.extend(lexicon_doubts(lexicon, path, language))
    found.facts |= {
        "words": f"{len(lexicon):,}",
        "pronunciations": f"{sum(map(len, lexicon.entries.values())):,}",
        "phonemes": f"{len(uses)}: {' '.join(lexicon.phones())}",
    }
    return found


def check_lm(path: Path) -> Findings:
    """Check an ARPA file."""
    found = Findings()
    _check_lm(path, found)
    return found


def check_audio(path: Path) -> Findings:
    """Check one recording."""
    found = Findings()
    try:
        facts = inspect_audio(path)
    except AudioError as e:
        found.problems.append(e)
        return found
    found.attempt(_silence(facts, path, None))
    found.facts |= {
        "seconds": f"{facts.seconds:.2f}",
        "sample rate": f"{facts.sample_rate} Hz",
        "channels": str(facts.channels),
        "peak": f"{20 * math.log10(max(facts.peak, 1e-9)):.1f} dBFS",
    }
    return found


def _error(cut: Cut, corpus: Corpus, split: str, what: str, fix: str = "leave it out") -> DataError:
    return DataError(what, path=corpus.cuts_path(split), utterance=cut.id, fix=fix)


def _check_cut(cut: Cut, corpus: Corpus, split: str, lexicon: Lexicon | None, found: Findings) -> None:
    """What is wrong with the description of an utterance."""

    def bad(what: str, fix: str = "leave it out") -> None:
        found.problems.append(_error(cut, corpus, split, what, fix))

    again = "run `asr prepare` again"
    try:
        validate(cut)
    except AssertionError as e:
        return bad(f"invalid for Lhotse ({e})", again)
    if len(cut.supervisions) != 1:
        return bad(f"{len(cut.supervisions)} supervisions instead of one", again)
    text = text_of(cut)
    words = text.split()
    if not words:
        return bad("no words in its text")
    if cased := wrong_case(text, corpus.language):
        fix = f"write it as the lexicon does, or {again}"
        return bad(f"in the wrong case, texts are in capitals: {cased}", fix)
    english = base_language(corpus.language) == "en"
    outside = unknown_characters("".join(words), ENGLISH) if english else ()
    if outside:
        bad(f"characters outside the letters of English: {' '.join(outside)}", "correct its text")
    missing = [word for word in words if lexicon is not None and word not in lexicon]
    if missing:
        fix = f"add it to {corpus.lexicon_path} or correct the text"
        bad(f"not in the lexicon: {' '.join(missing)}", fix)
    if lexicon is not None and not missing:
        phonemes = lexicon.pronounce(" ".join(words))
        fewest = sum(min(map(len, lexicon.entries[word])) for word in words)
        spoken = phones_of(cut) or phonemes
        # an HMM may take the shortest pronunciations, which then are what is named
        needed, labels = max(
            (_seconds_needed(cut, spoken), len(spoken)), (_hmm_seconds_needed(cut, fewest), fewest)
        )
        if needed:
            what = _too_short(cut, f"{labels} phonemes", needed)
            return bad(what, "correct its text or leave it out")
    characters = [*"|".join(words), "|"]
    if needed := _seconds_needed(cut, characters):
        what = _too_short(cut, f"{len(characters)} characters", needed)
        found.warnings.append(_error(cut, corpus, split, what, "systems that write characters pass over it"))


def _too_short(cut: Cut, labels: str, needed: float) -> str:
    return f"{cut.duration:.2f} s are too short for its {labels}: {needed:.2f} s needed"


def _seconds_needed(cut: Cut, labels: list[str]) -> float:
    """Audio that a network needs for `labels`; 0 if the cut has enough."""
    needed = frames_needed(labels)
    return needed / FRAMES_PER_S if needed > frames_of(cut.num_samples, cut.sampling_rate) else 0.0


def _hmm_seconds_needed(cut: Cut, phonemes: int) -> float:
    """Audio that an HMM system needs for so many phonemes; 0 if the cut has enough."""
    needed = phonemes * HMM_FRAMES_PER_PHONEME
    return needed / HMM_FRAMES_PER_S if needed > hmm_frames_of(cut.num_samples, cut.sampling_rate) else 0.0


def frames_of(samples: int, sample_rate: int) -> int:
    """Frames of a network: a begun one counts, and there is a least number."""
    return max(MINIMUM_FRAMES, -(-samples * FRAMES_PER_S // sample_rate))


def hmm_frames_of(samples: int, sample_rate: int) -> int:
    """Frames of MFCC features: those whose centres lie inside."""
    return (samples * HMM_FRAMES_PER_S + sample_rate // 2) // sample_rate


def frames_needed(labels: list[str]) -> int:
    """Fewest frames a CTC path through `labels` has: one each, and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))


def _check_sound(cuts: dict[str, list[Cut]], corpus: Corpus, found: Findings) -> None:
    """Decode every recording; name the damaged, the silent, the ones that come twice."""
    users: defaultdict[Path, list[tuple[str, Cut]]] = defaultdict(list)
    for split, some in cuts.items():
        for cut in some:
            users[Path(cut.recording.sources[0].source)].append((split, cut))
    same: defaultdict[str, list[Path]] = defaultdict(list)
    for path, facts in look_at(users).items():
        split, cut = users[path][0]
        if isinstance(facts, AsrError):
            found.problems.append(type(facts)(facts.what, path=path, utterance=cut.id, fix=facts.fix))
            continue
        same[facts.digest].append(path)
        for _, user in users[path]:
            channel = user.channel if isinstance(user.channel, int) and facts.channels > 1 else None
            if error := _silence(facts, path, user.id, channel):
                found.problems.append(error)
                break
        expected = cut.recording
        if facts.sample_rate != expected.sampling_rate or facts.seconds < expected.duration - TOLERANCE_S:
            what = (
                f"changed since it was prepared: {facts.seconds:.2f} s at {facts.sample_rate} Hz, "
                f"was {expected.duration:.2f} s at {expected.sampling_rate} Hz"
            )
            found.problems.append(
                AudioError(what, path=path, utterance=cut.id, fix="run `asr prepare` again")
            )
    for paths in same.values():
        if len(paths) > 1:
            splits = {split for path in paths for split, _ in users[path]}
            names = ", ".join(str(path) for path in paths)
            what = f"the same sound in {len(paths)} files, in {' and '.join(sorted(splits))}: {names}"
            found.warnings.append(AudioError(what, path=corpus.folder))
    # what is in train and test makes the test worthless; twice in train does no harm
    for a, b in same_sound(cuts, {str(path): digest for digest, paths in same.items() for path in paths}):
        if a.split != b.split:
            what = f"the same stretch of sound as {b.name}, which is in {b.split}"
            found.problems.append(
                DataError(what, path=corpus.cuts_path(a.split), utterance=a.name, fix="leave it out")
            )


def _silence(
    facts: AudioFacts, path: Path, utterance: str | None, channel: int | None = None
) -> AudioError | None:
    if not facts.is_silent(channel):
        return None
    return AudioError("silent", path=path, utterance=utterance, fix="leave it out")


def _check_speakers(cuts: dict[str, list[Cut]], corpus: Corpus, found: Findings) -> None:
    """Warn of speakers that are in train and elsewhere, or may be."""
    speakers = {split: set(filter(None, map(_speaker, some))) for split, some in cuts.items()}
    named = {split for split, some in speakers.items() if some}
    held_out = {split for split, some in cuts.items() if some and split != "train"}
    who = None
    if not named:
        who = "no speakers are named"
    elif held_out and "train" not in named:
        who = "no speakers of train are named"
    elif held_out and not held_out & named:
        who = "only speakers of train are named"
    if who is None and (unnamed := sum(not _speaker(cut) for some in cuts.values() for cut in some)):
        who = "1 utterance has no speaker" if unnamed == 1 else f"{unnamed:,} utterances have no speaker"
    if who:
        what = f"{who}: dev and test may hold voices of train"
        found.warnings.append(DataError(what, path=corpus.folder, fix="name them, if you know them"))
    for split in speakers:
        shared = speakers.get("train", set()) & speakers[split] if split != "train" else set()
        if shared:
            what = f"{_some(shared)} of {len(speakers[split])} speakers of {split} also speak in train"
            found.warnings.append(DataError(what, path=corpus.folder))


def _speaker(cut: Cut) -> str | None:
    return cut.supervisions[0].speaker if cut.supervisions else None


def _some(names: Iterable[str], most: int = 3) -> str:
    listed = sorted(names)
    return f"{len(listed)} ({', '.join(listed[:most])}{', ...' if len(listed) > most else ''})"


def _check_lm(path: Path, found: Findings) -> None:
    try:
        lm = NGram.read(path)
    except AsrError as e:
        found.problems.append(e)
        return
    found.facts["language model"] = f"order {lm.order}, {len(lm.vocabulary):,} words"
