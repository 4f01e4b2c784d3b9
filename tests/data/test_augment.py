import numpy as np
import pytest
from scipy.signal import welch

from asr.data import augment

RATE = 16000
EVERYTHING = slice(None)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("snr_db", [5.0, 17.3, 30.0])
def test_noise_has_the_ratio_asked_for(random, snr_db):
    speech = np.zeros(3 * RATE, np.float32)
    active = slice(RATE // 2, 2 * RATE)
    speech[active] = np.sin(np.arange(RATE * 3 // 2) * 0.3)
    talkers = [random.standard_normal(RATE).astype(np.float32) for _ in range(6)]
    seen = set()
    for _ in range(20):
        kind, noise = augment.noise(len(speech), RATE, talkers, random)
        seen.add(kind)
        added = augment.add_noise(speech, noise, snr_db, active) - speech
        measured = 10 * np.log10(np.mean(speech[active] ** 2) / np.mean(added**2))
        assert measured == pytest.approx(snr_db, abs=0.1)
    assert seen == {"white", "pink", "brown", "hum", "babble"}


@pytest.mark.parametrize("slope", [0, 1, 2])
def test_colours_fall_as_they_should(random, slope):
    frequency, power = welch(augment.coloured(60 * RATE, slope, random), RATE, nperseg=2048)
    band = (frequency > 100) & (frequency < 6000)
    fitted = np.polyfit(np.log10(frequency[band]), np.log10(power[band]), 1)[0]
    assert fitted == pytest.approx(-slope, abs=0.1)


def test_hum_has_lines_at_multiples_of_the_mains(random):
    frequency, power = welch(augment.hum(20 * RATE, RATE, random), RATE, nperseg=RATE)
    strongest = frequency[power.argmax()]
    assert strongest in (50, 60)
    assert power[int(3 * strongest)] > 20 * power[int(3.5 * strongest)]


@pytest.mark.parametrize("t60_s", [0.1, 0.35, 0.6])
def test_room_decays_by_60_db_in_t60(random, t60_s):
    tails = [augment.room(t60_s, 0.0, RATE, random)[1:] for _ in range(200)]
    energy = np.mean(np.square(tails), axis=0)
    early, late = (slice(int(a * len(energy)), int((a + 0.1) * len(energy))) for a in (0.1, 0.6))
    fall_db = 10 * np.log10(energy[early].mean() / energy[late].mean())
    assert fall_db == pytest.approx(30, abs=1.5)


def test_room_keeps_time_and_the_direct_share(random):
    response = augment.room(0.4, 6.0, RATE, random)
    assert response[0] == 1
    assert -10 * np.log10(np.sum(response[1:] ** 2)) == pytest.approx(6.0, abs=0.01)
    click = np.zeros(RATE, np.float32)
    click[5000] = 1
    wet = augment.reverberate(click, response)
    assert len(wet) == len(click)
    assert np.abs(wet[:5000]).max() < 1e-5
    assert wet.argmax() == 5000
