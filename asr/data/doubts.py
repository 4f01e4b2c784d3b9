"""What may be wrong with a prepared corpus without making any of its utterances unusable."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from lhotse.cut import Cut

from asr.data.corpus import Corpus, text_of
from asr.data.overlap import Stretch, overlapping
from asr.errors import DataError

# the first words of the Unicode names of letters that are written without spaces between words
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
LONG_WORD = {"CJK": 4, "HIRAGANA": 6, "KATAKANA": 8}  # mean characters that no language's words have
LONG_ELSEWHERE = 12
FEWEST_WORDS = 3  # of a sentence that seldom is said again by chance
BY_CHANCE = 0.05  # of the sentences of a split may stand in any text


def doubts(corpus: Corpus, cuts: Mapping[str, Sequence[Cut]]) -> list[DataError]:
    """The doubts about a corpus, of which these are the cuts by split."""
    return [*_twice(corpus, cuts), *_sentences_known(corpus, cuts), *_unspaced(corpus, cuts)]


def same_sound(
    cuts: Mapping[str, Sequence[Cut]], digests: Mapping[str, str] | None = None
) -> Iterator[tuple[Stretch, Stretch]]:
    """Utterances that are mostly the same stretch of a recording, the one to be kept second.

    Parameters
    ----------
    cuts
        By split.
    digests
        Of the samples in the file of each path, where they are known: copies of a recording have one.
    """
    paths = digests or {}
    return overlapping(
        Stretch(
            name=cut.id,
            split=split,
            sound=paths.get(path := str(cut.recording.sources[0].source), path),
            start=cut.start,
            end=cut.start + cut.duration,
            channel=cut.channel if isinstance(cut.channel, int) else None,
        )
        for split, some in cuts.items()
        for cut in some
        if cut.has_recording
    )


def _twice(corpus: Corpus, cuts: Mapping[str, Sequence[Cut]]) -> Iterator[DataError]:
    pairs = [(a, b) for a, b in same_sound(cuts) if a.split == b.split and a.name != b.name]
    if pairs:
        a, b = pairs[0]
        many = "1 utterance is" if len(pairs) == 1 else f"{len(pairs):,} utterances are"
        what = f"{many} the same stretch of a recording as another, {a.name} as {b.name} first"
        yield DataError(what, path=corpus.folder, fix="look whether all have their times")


def _sentences_known(corpus: Corpus, cuts: Mapping[str, Sequence[Cut]]) -> Iterator[DataError]:
    """Sentences of dev and test that the language model learns from a text, not from what train says."""
    if corpus.lm_path is not None or not corpus.lm_text_path.exists():
        return
    said = {split: [text_of(cut) for cut in some] for split, some in cuts.items()}
    read = set(corpus.lm_text_path.read_text(encoding="utf-8").splitlines()) - set(said.pop("train", ()))
    for split, texts in said.items():
        long = [text for text in texts if text.count(" ") + 1 >= FEWEST_WORDS]
        known = sum(text in read for text in long)
        if known > BY_CHANCE * len(long):
            what = f"{known:,} of {len(long):,} sentences of {split} stand in the text of the language model"
            fix = "leave them out of it, or errors will be fewer than with new sentences"
            yield DataError(what, path=corpus.lm_text_path, fix=fix)


def _unspaced(corpus: Corpus, cuts: Mapping[str, Sequence[Cut]]) -> Iterator[DataError]:
    texts = (text_of(cut) for some in cuts.values() for cut in some)
    words = Counter(word for text in texts for word in text.split())
    scripts: Counter[str] = Counter()
    for word, n in words.items():
        for c in word:
            scripts[unicodedata.name(c, "").split(" ")[0]] += n
    if not words or (script := scripts.most_common(1)[0][0]) not in UNSPACED:
        return
    mean = scripts.total() / words.total()
    if mean > LONG_WORD.get(script, LONG_ELSEWHERE):
        what = f"words of {mean:.1f} characters on average, as {words.most_common(1)[0][0]}"
        fix = "if these are sentences, put spaces between words (or characters) first, by a segmenter"
        yield DataError(what, path=corpus.folder, fix=fix)
