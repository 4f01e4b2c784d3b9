"""From described utterances to a prepared corpus: audio looked at, texts normalised, words given phonemes."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from lhotse import AudioSource, CutSet, Recording, SupervisionSegment
from lhotse.cut import Cut, MonoCut
from lhotse.supervision import AlignmentItem
from lhotse.utils import add_durations

from asr.data.audio import TOLERANCE_S, AudioFacts, inspect_audio
from asr.data.corpora.splits import divided
from asr.data.corpora.utterance import Utterance, numbered_lines
from asr.data.corpus import SPLITS, Corpus
from asr.data.overlap import Stretch, overlapping
from asr.errors import AsrError, DataError, LexiconError
from asr.files import content_hash, write_text
from asr.progress import console, track
from asr.text.g2p import complete, is_arpabet, spoken
from asr.text.lexicon import Lexicon, Pronunciation, doubts, is_event, strip_stress
from asr.text.normalize import base_language, normalize

ENGLISH = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ'")


@dataclass(frozen=True)
class Origin:
    """What stays the same for all utterances of a corpus: its name, language, licence and source."""

    name: str
    language: str = "en"
    licence: str = ""
    source: str = ""


def assemble(
    target: Path,
    origin: Origin,
    utterances: Iterable[Utterance],
    problems: list[AsrError],
    *,
    lexicon: Lexicon | None = None,
    text: Path | None = None,
    lm: Path | None = None,
) -> Corpus:
    """Write a prepared corpus; each utterance that cannot be used becomes a problem and is left out.

    Parameters
    ----------
    target
        Folder to write.
    origin
        Name, language, licence, source.
    utterances
        In any order, which is kept. Splits that are missing are carved from train, see `divided`.
    problems
        What the reader of the corpus has already found; more is appended.
    lexicon
        The corpus' own; what it lacks comes from CMUdict where the phonemes are the same, else from
        espeak-ng.
    text
        Sentences for the language model beside those of train, one a line. One that holds a word without a
        pronunciation is left out.
    lm
        An ARPA file that belongs to the corpus.

    Raises
    ------
    DataError
        If no utterance is left.
    """
    english = base_language(origin.language) == "en"
    sentences = [] if text is None else list(sentences_of(text, origin.language, problems))
    heard, facts = usable(utterances, origin.language, problems)
    words = Counter(word for u in heard for word in u.text.split())
    said = (word for _, sentence in sentences for word in sentence.split())
    words.update(word for word in said if not english or ENGLISH.issuperset(word))
    if lexicon is None and not english:
        lexicon = _as_espeak_says(list(words), origin.language)
        guessed = list(words)
    else:
        lexicon = lexicon or Lexicon({})
        try:
            lexicon, guessed = complete(lexicon, words, origin.language)
        except LexiconError as e:  # nothing to guess with: what has all its words goes on
            problems.append(e)
            guessed = []
    missing = Counter({word: n for word, n in words.most_common() if word not in lexicon})
    listed = _list_missing(missing, target)
    pronounced = list(_pronounceable(heard, lexicon, problems))
    if not pronounced:
        why = f"the first problem of {len(problems)}: {problems[0]}" if problems else "there is none at all"
        why += f"; {len(missing):,} words without a pronunciation are in {listed}" if listed else ""
        raise DataError(f"no usable utterance in the {origin.name} corpus, {why}")
    if listed:
        have = "1 word has" if len(missing) == 1 else f"{len(missing):,} words have"
        what = f"{have} no pronunciation, all in {listed}"
        console.print(f"asr: {what}; add them to the lexicon", markup=False, soft_wrap=True)
    named = any(u.split for u in pronounced)
    by_split: dict[str, list[Cut]] = {split: [] for split in SPLITS}
    lm_text: list[str] = []
    for u in _unshared(divided(pronounced), facts, problems, named):
        assert u.split is not None
        by_split.setdefault(u.split, []).append(_cut(u, facts[u.audio], origin.language))
        if u.split == "train":
            lm_text.append(u.text)
    if text is not None:
        lm_text += sayable(sentences, lexicon, text, problems)
    return Corpus.write(
        target,
        origin.name,
        {split: CutSet.from_cuts(cuts) for split, cuts in by_split.items() if cuts},
        lexicon.text(),
        "".join(text + "\n" for text in lm_text),
        language=origin.language,
        licence=origin.licence,
        source=origin.source,
        lm=lm,
        oov=Counter({word: words[word] for word in guessed}),
        problems=[str(problem) for problem in problems],
    )


def own_lexicon(path: Path | None, language: str) -> Lexicon | None:
    """The lexicon that a user gives to a corpus; None where there is none and espeak-ng will do.

    English phonemes lose their stress marks, as CMUdict's do. Says what is doubtful in it (see `doubts`).

    Raises
    ------
    LexiconError
        If it cannot be read, or if there is none and espeak-ng does not speak the language.
    """
    english = base_language(language) == "en"
    if path is None:
        if not english:
            spoken([], language)  # better now than after hours of audio were listened to
        return None
    lexicon = Lexicon.load(path, language).phonemic(path)
    for doubt in doubts(lexicon, path, language):
        console.print(f"asr: {doubt}", markup=False, soft_wrap=True)
    if not english or not is_arpabet(strip_stress(lexicon.phones())):
        return lexicon
    entries: dict[str, dict[Pronunciation, float]] = {word: {} for word in lexicon.entries}
    for word, some in lexicon.entries.items():
        for phones, p in zip(some, lexicon.chances(word), strict=True):
            plain = strip_stress(phones)
            entries[word][plain] = max(p, entries[word].get(plain, 0.0))
    chances = {word: tuple(entries[word].values()) for word in lexicon.probabilities}
    return Lexicon(entries, chances)


def usable(
    utterances: Iterable[Utterance], language: str, problems: list[AsrError]
) -> tuple[list[Utterance], dict[Path, AudioFacts]]:
    """The utterances with words, an id of their own and sound, and what their recordings hold.

    Texts come back normalised and durations known.
    """
    readable = list(_readable(utterances, language, problems))
    described = list(_once(_told_apart(readable, problems), problems))
    looked = look_at({u.audio for u in described})
    heard = list(_audible(described, looked, problems))
    return heard, {path: audio for path, audio in looked.items() if isinstance(audio, AudioFacts)}


def _readable(
    utterances: Iterable[Utterance], language: str, problems: list[AsrError]
) -> Iterable[Utterance]:
    """Utterances with words, normalised."""
    english = base_language(language) == "en"
    events: Counter[str] = Counter()
    for u in utterances:
        text = normalize(_spoken_of(u.text, events), language)
        strange = sorted(set(text) - ENGLISH - {" "}) if english else []
        if not text:
            problems.append(u.error(f"no words in its text {u.text!r}", "transcribe it or leave it out"))
        elif strange:
            what = f"characters outside the letters of English: {' '.join(strange)} in {u.text!r}"
            problems.append(u.error(what, "spell it in A-Z or name its language with --language"))
        else:
            yield replace(u, text=text, audio=Path(os.path.abspath(u.audio)), speaker=u.speaker or None)
    _tell(events, "the transcripts")


def _once(utterances: Iterable[Utterance], problems: list[AsrError]) -> Iterable[Utterance]:
    """Utterances with an id of their own."""
    seen: set[str] = set()
    for u in utterances:
        if u.id in seen:
            problems.append(u.error("the id stands here a second time", "give each utterance its own id"))
        else:
            seen.add(u.id)
            yield u


def _told_apart(utterances: list[Utterance], problems: list[AsrError]) -> list[Utterance]:
    """Without those of one recording that all reach to its end: where they are is not told."""
    texts: defaultdict[tuple[Path, int | None], set[str]] = defaultdict(set)
    for u in utterances:
        if u.duration is None:
            texts[u.audio, u.channel].add(u.text)
    kept = []
    for u in utterances:
        if u.duration is None and (n := len(texts[u.audio, u.channel])) > 1:
            what = f"one of {n:,} different texts that reach to the end of {u.audio.name}"
            problems.append(u.error(what, "say where each is, by `start` and `end` in a table"))
        else:
            kept.append(u)
    return kept


def _spoken_of(text: str, events: Counter[str]) -> str:
    """A text without what stands in brackets for something that is no word; that is counted in `events`."""
    if "[" not in text and "<" not in text:
        return text
    tokens = text.split()
    events.update(filter(is_event, tokens))
    return " ".join(token for token in tokens if not is_event(token))


def _tell(events: Counter[str], where: str) -> None:
    if events:
        some = ", ".join(f"{event} {n}" for event, n in events.most_common(5))
        console.print(
            f"asr: {where}: left out as no words: {some}{', ...' if len(events) > 5 else ''}",
            markup=False,
            soft_wrap=True,
        )


def look_at(paths: Iterable[Path]) -> dict[Path, AudioFacts | AsrError]:
    """What each recording holds, or why it cannot be used; decoding runs on all cores."""

    def look(path: Path) -> AudioFacts | AsrError:
        try:
            return inspect_audio(path)
        except AsrError as e:
            return e

    ordered = sorted(set(paths))
    # libsndfile decodes outside Python's lock: threads are enough
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return dict(zip(ordered, track(pool.map(look, ordered), "listening", len(ordered)), strict=True))


def _audible(
    utterances: Sequence[Utterance], facts: dict[Path, AudioFacts | AsrError], problems: list[AsrError]
) -> Iterable[Utterance]:
    """Utterances whose stretch of the recording exists, with their durations."""
    for u in utterances:
        audio = facts[u.audio]
        if isinstance(audio, AsrError):
            named = type(audio)(audio.what, path=audio.path, utterance=u.id, fix=audio.fix)
            in_line = u.where[1] is not None  # of a table: where the path of the audio is to be corrected
            problems.append(u.error(f"{audio.path}: {audio.what}", audio.fix) if in_line else named)
            continue
        if audio.channels == 1:  # a side of a call that was cut into two files, say
            u = replace(u, channel=None)
        elif u.channel is not None and u.channel >= audio.channels:
            what = f"no channel {u.channel + 1} in {u.audio.name}, which has {audio.channels}"
            problems.append(u.error(what, "correct its channel"))
            continue
        end = audio.seconds if u.duration is None else u.start + u.duration
        some = (min(end, audio.seconds) - u.start) * audio.sample_rate >= 1  # a sample at least
        if not (0 <= u.start and some) or end > audio.seconds + TOLERANCE_S:
            what = f"{u.start:.2f}-{end:.2f} s lies outside {u.audio.name} of {audio.seconds:.2f} s"
            thousandths = u.start > 10 * audio.seconds or end > 100 * audio.seconds
            fix = "if these are milliseconds, call the columns start_ms and end_ms"
            problems.append(u.error(what, fix if thousandths else "correct its start and duration"))
            continue
        if u.start == 0 and u.duration is not None and abs(end - audio.seconds) <= TOLERANCE_S:
            yield replace(u, duration=audio.seconds)  # a rounded figure for the whole recording
        else:
            yield replace(u, duration=min(end, audio.seconds) - u.start)


def _as_espeak_says(words: Sequence[str], language: str) -> Lexicon:
    """A lexicon in espeak-ng's own phonemes, for languages we have no dictionary of."""
    # without stress, and without the marks of a change of language, as in (en)
    pronounced = (re.sub(r"[ˈˌ]|\([\w-]+\)", "", ipa).split() for ipa in spoken(words, language))
    return Lexicon({word: [tuple(p)] for word, p in zip(words, pronounced, strict=True) if p})


def _list_missing(missing: Counter[str], target: Path) -> Path | None:
    """Write the words without a pronunciation beside the corpus, the most frequent first."""
    path = target / "missing_words.txt"
    if not missing:
        path.unlink(missing_ok=True)
        return None
    target.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(f"{word}\t{n}\n" for word, n in missing.items()))
    return path


def _pronounceable(
    utterances: Sequence[Utterance], lexicon: Lexicon, problems: list[AsrError]
) -> Iterable[Utterance]:
    for u in utterances:
        missing = [word for word in u.text.split() if word not in lexicon]
        if missing:
            what = f"no pronunciation for {' '.join(missing)}"
            problems.append(u.error(what, "add it to the lexicon of the corpus"))
        else:
            yield u


def _unshared(
    utterances: Sequence[Utterance], facts: dict[Path, AudioFacts], problems: list[AsrError], named: bool
) -> list[Utterance]:
    """Those whose sound is not in a split that comes first: in test, or in another for those of train.

    `named` tells whether the corpus names splits.
    """

    def stretch(u: Utterance) -> Stretch:
        end = u.start + (u.duration or 0.0)
        return Stretch(u.id, u.split or "", facts[u.audio].digest, u.start, end, u.channel)

    shared: dict[str, Stretch] = {}
    ranked = [stretch(u) for u in utterances]
    for lowest in (1, 0):  # what dev lost to test does not cost train anything
        some = [s for s in ranked if s.rank >= lowest and s.name not in shared]
        shared |= {a.name: b for a, b in overlapping(some) if a.split != b.split}
    fix = "correct its times" + (", or put both in one split" if named else "")
    for u in utterances:
        if other := shared.get(u.id):
            what = f"the same sound as {other.name}, which is in {other.split}"
            problems.append(u.error(what, f"left out of {u.split}; {fix}"))
    return [u for u in utterances if u.id not in shared]


def sentences_of(path: Path, language: str, problems: list[AsrError]) -> Iterable[tuple[int, str]]:
    """The lines of a text that hold words, normalised, with their numbers."""
    events: Counter[str] = Counter()
    for i, line in numbered_lines(path, problems):
        if sentence := normalize(_spoken_of(line, events), language):
            yield i, sentence
    _tell(events, str(path))


def sayable(
    sentences: Sequence[tuple[int, str]], lexicon: Lexicon, path: Path, problems: list[AsrError]
) -> list[str]:
    """The sentences whose words all have a pronunciation; one problem tells of the others."""
    missing = Counter(word for _, sentence in sentences for word in sentence.split() if word not in lexicon)
    kept = [sentence for _, sentence in sentences if not missing.keys() & set(sentence.split())]
    if missing:
        first = next(i for i, sentence in sentences if missing.keys() & set(sentence.split()))
        some = ", ".join(word for word, _ in missing.most_common(5))
        what = (
            f"{len(sentences) - len(kept)} of {len(sentences)} sentences left out, this one first: "
            f"no pronunciation for {some}{', ...' if len(missing) > 5 else ''}"
        )
        fix = "add them to the lexicon, if you gave one, or remove the sentences"
        problems.append(DataError(what, path=path, line=first, fix=fix))
    return kept


def _cut(u: Utterance, facts: AudioFacts, language: str) -> Cut:
    """The Lhotse cut of an utterance; of all channels of its recording where it names none."""
    assert u.duration is not None
    whole = u.start == 0 and u.duration == facts.seconds
    channels = list(range(facts.channels))
    recording = Recording(
        id=u.id if whole else f"{u.audio.stem}-{content_hash(str(u.audio))[:8]}",
        sources=[AudioSource(type="file", channels=channels, source=str(u.audio))],
        sampling_rate=facts.sample_rate,
        num_samples=facts.samples,
        duration=facts.seconds,
    )
    alignment = {
        kind: [
            AlignmentItem(symbol, round(start, 6), round(duration, 6)) for symbol, start, duration in spans
        ]
        for kind, spans in (("word", u.words), ("phone", u.phone_times))
        if spans
    }
    cut = recording.to_cut()
    if u.channel is not None:
        cut = MonoCut(u.id, 0, recording.duration, u.channel, recording=recording)
    if not whole:
        end = min(facts.seconds, add_durations(u.start, u.duration, sampling_rate=facts.sample_rate))
        cut = cut.truncate(offset=u.start, duration=end - u.start)
    cut.id = u.id
    cut.supervisions = [
        SupervisionSegment(
            id=u.id,
            recording_id=recording.id,
            start=0,
            duration=cut.duration,
            channel=cut.channel,
            text=u.text,
            language=language,
            speaker=u.speaker,
            alignment=alignment or None,
            custom={"phones": list(u.phones)} if u.phones else None,
        )
    ]
    return cut
