import numpy as np
import pytest

from asr.errors import AsrError, DataError
from asr.espeak import Espeak, phonemes

TEXT = "call jennifer at twenty one past the hour"


def test_phonemes_are_separated_and_in_order():
    assert phonemes(["JENNIFER", "the", "nine"]) == ["dʒ ˈɛ n ɪ f ɚ", "ð ə", "n ˈaɪ n"]


def test_same_request_gives_same_samples_whatever_came_before_and_in_another_process():
    with Espeak() as one, Espeak() as other:
        for voice in ("en-us", "en+f2", "en-us+klatt2", "en-us+whisper"):  # f2 and whisper breathe at random
            first = one.speak(TEXT, voice)
            one.speak("something else", voice)
            again, elsewhere = one.speak(TEXT, voice), other.speak(TEXT, voice)
            assert len(first.samples) > one.sample_rate
            assert np.array_equal(first.samples, again.samples)
            assert np.array_equal(first.samples, elsewhere.samples)
            assert first.phones == again.phones == elsewhere.phones


def test_rate_and_pitch_matter():
    with Espeak() as espeak:
        slow, fast = (espeak.speak(TEXT, "en-us", rate=r) for r in (120, 240))
        low, high = (espeak.speak(TEXT, "en-us", pitch=p) for p in (20, 80))
    assert len(slow.samples) > 1.5 * len(fast.samples)
    assert not np.array_equal(low.samples[: len(high.samples)], high.samples[: len(low.samples)])


def test_word_events_point_into_the_text():
    with Espeak() as espeak:
        speech = espeak.speak("bring nine books", "en-us")
    assert ["bring nine books"[first : first + n] for first, n, _ in speech.words] == [
        "bring",
        "nine",
        "books",
    ]


def test_unknown_voice_is_named_and_the_worker_goes_on():
    with Espeak() as espeak:
        with pytest.raises(DataError, match="unknown voice 'nobody'"):
            espeak.speak(TEXT, "nobody")
        assert len(espeak.speak(TEXT, "en-us").samples)


def test_dead_worker_is_reported():
    with Espeak() as espeak:
        espeak._process.kill()
        espeak._process.wait()
        with pytest.raises(AsrError, match="worker has ended"):
            espeak.phonemes(["one"])
