import time
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest

from asr.data import synth
from asr.data.events import STOPS
from asr.data.synth import SAMPLE_RATE, Synthesiser
from asr.data.voices import SPEAKERS, voices
from asr.errors import DataError
from asr.espeak import Espeak
from asr.text.lexicon import Lexicon


@pytest.fixture(scope="module")
def espeak():
    with Espeak() as running:
        yield running


@pytest.fixture(scope="module")
def clean(espeak):
    speaker = Synthesiser(espeak, "train", 0, clean=True)
    return [speaker.utterance(i) for i in range(100)]


def test_utterance_depends_on_seed_and_number_alone(espeak):
    forwards = Synthesiser(espeak, "dev", 5)
    some = [forwards.utterance(i) for i in range(4)]
    with Espeak() as other:
        backwards = Synthesiser(other, "dev", 5)
        for i in reversed(range(4)):
            again = backwards.utterance(i)
            assert np.array_equal(again.samples, some[i].samples)
            assert {**asdict(again), "samples": 0} == {**asdict(some[i]), "samples": 0}
    assert Synthesiser(espeak, "dev", 6).utterance(0).text != some[0].text


def test_at_least_sixty_voices_and_no_speaker_or_variant_in_two_splits():
    by_split = {split: voices(split, 0) for split in SPEAKERS}
    names = [voice.name for some in by_split.values() for voice in some]
    assert len(names) == len(set(names)) >= 60
    for kind in ("name", "espeak"):
        sets = [{getattr(v, kind).partition("+")[2] or v.name for v in some} for some in by_split.values()]
        assert sum(map(len, sets)) == len(set().union(*sets))


def test_all_voices_exist_and_have_arpabet_phones(espeak):
    known = set(Lexicon.cmudict().phones())
    for split in SPEAKERS:
        speaker = Synthesiser(espeak, split, 0, clean=True)
        for i in range(SPEAKERS[split]):
            spoken = speaker.utterance(i)
            assert spoken.speaker == speaker.voices[i].name
            assert {span.symbol for span in spoken.phones} <= known


def test_times_are_ordered_inside_the_audio_and_fit_the_text(clean):
    for spoken in clean:
        assert " ".join(span.symbol for span in spoken.words) == spoken.text
        for spans in (spoken.words, spoken.phones):
            assert spans[0].start >= 0 and spans[-1].end <= len(spoken.samples)
            assert all(span.start < span.end for span in spans)
            assert all(a.end <= b.start for a, b in pairwise(spans))
        edges = {p.start for p in spoken.phones}, {p.end for p in spoken.phones}
        assert {w.start for w in spoken.words} <= edges[0] and {w.end for w in spoken.words} <= edges[1]


def test_sound_is_where_the_times_say(clean):
    for spoken in clean:
        power = np.square(spoken.samples)
        first, last = spoken.words[0].start, spoken.words[-1].end
        margin = SAMPLE_RATE // 200
        assert power[: first - margin].sum() + power[last + margin :].sum() < 1e-3 * power.sum()
        for before, after in pairwise(spoken.phones):
            if after.start - before.end > 2 * margin:  # a pause is silent
                assert power[before.end + margin : after.start - margin].max() < 1e-2 * power.max()


def test_closure_belongs_to_the_stop_and_vowels_are_loud(clean):
    def mean_power(spoken, symbols):
        parts = [spoken.samples[p.start : p.end] for p in spoken.phones if p.symbol in symbols]
        return np.mean(np.concatenate(parts) ** 2) if parts else None

    pairs = [(mean_power(s, ("AA", "AE", "AY")), mean_power(s, STOPS)) for s in clean]
    ratios = [vowel / stop for vowel, stop in pairs if vowel is not None and stop is not None]
    assert len(ratios) > 50
    assert np.mean(np.array(ratios) > 4) > 0.9


def test_noise_changes_samples_alone_and_has_the_recorded_ratio(espeak, clean, monkeypatch):
    speaker = Synthesiser(espeak, "train", 0)
    mixed: list[tuple[np.ndarray, np.ndarray, slice]] = []
    add = synth.augment.add_noise

    def recording(speech, noise, snr_db, active):
        result = add(speech, noise, snr_db, active)
        mixed.append((speech, result - speech, active))
        return result

    monkeypatch.setattr(synth.augment, "add_noise", recording)
    kinds = set()
    for i in range(30):
        spoken = speaker.utterance(i)
        assert (spoken.text, spoken.words, spoken.phones) == (clean[i].text, clean[i].words, clean[i].phones)
        assert np.abs(spoken.samples).max() < 1
        speech, noise, active = mixed[-1]
        measured = 10 * np.log10(np.mean(speech[active] ** 2) / np.mean(noise**2))
        assert measured == pytest.approx(spoken.snr_db, abs=0.1)
        assert 5 <= spoken.snr_db <= 30 and 0.1 <= spoken.t60_s <= 0.6
        kinds.add(spoken.noise)
    assert len(kinds) == 5


@pytest.mark.slow
def test_fifty_times_faster_than_real_time_on_one_core(tmp_path):
    import resource

    from asr.data.corpora.synth import prepare

    def cpu_seconds() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in used)

    before, started = cpu_seconds(), time.perf_counter()
    corpus = prepare(tmp_path, hours=0.5)
    spent = cpu_seconds() - before  # processor time, so that other work on the machine does not count
    audio = 3600 * sum(numbers["hours"] for numbers in corpus.splits.values())
    print(f"{audio / spent:.0f} x real time, {audio / (time.perf_counter() - started):.0f} x by the clock")
    assert audio > 50 * spent


def test_every_sentence_is_spoken_before_one_is_again(espeak):
    texts = [f"number {word}" for word in ("one", "two", "three", "four", "five")]
    speaker = Synthesiser(espeak, "train", 3, True, texts)
    said = [speaker.utterance(i).text for i in range(15)]
    turns = [said[k : k + 5] for k in (0, 5, 10)]
    assert all(sorted(turn) == sorted(text.upper() for text in texts) for turn in turns)
    assert turns[0] != turns[1]
    # any of them may be asked for first
    assert Synthesiser(espeak, "train", 3, True, texts).utterance(12).text == said[12]


def test_a_sentence_that_espeak_runs_together_gives_way_to_another(espeak, monkeypatch):
    times = synth.times

    def picky(speech, words, isolated):
        if "bad" in words:
            raise DataError("the events do not fit the words")
        return times(speech, words, isolated)

    monkeypatch.setattr(synth, "times", picky)
    speaker = Synthesiser(espeak, "train", 0, True, ["a bad one", "a good one"])
    assert {speaker.utterance(i).text for i in range(6)} == {"A GOOD ONE"}
    with pytest.raises(DataError, match="do not fit"):
        Synthesiser(espeak, "train", 0, True, ["a bad one"]).utterance(0)


def test_talkers_of_babble_say_other_sentences_than_the_utterances_of_their_voices(espeak, monkeypatch):
    said = []

    def speak(self, text, voice, random):
        said.append((text, voice.name))
        return np.zeros(1), [], []

    monkeypatch.setattr(Synthesiser, "_speak", speak)
    speaker = Synthesiser(espeak, "dev", 0, texts=tuple(f"sentence {i}" for i in range(200)))
    talkers = len(speaker._talkers)
    for i in range(talkers):
        speaker._some_sentence(speaker.voices[i % len(speaker.voices)], np.random.default_rng(i), i)
    babble, utterances = said[:talkers], said[talkers:]
    assert len(set(utterances)) == talkers and len(set(babble) & set(utterances)) < talkers / 4
