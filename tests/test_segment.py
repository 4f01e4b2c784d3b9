"""Cutting long recordings: nothing lost, nothing doubled, pauses found, memory bounded."""

import tracemalloc

import numpy as np
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asr.data.audio import read_audio
from asr.segment import cut, piece_s, pieces

RATE = 1000


@given(
    st.lists(st.integers(0, 700), max_size=20),
    st.integers(9, 400),
    st.integers(1, 60),
    st.integers(0, 5),
)
def test_pieces_join_to_the_whole(sizes, longest, hush, seed):
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(size=n).astype(np.float32) for n in sizes]
    whole = np.concatenate([*blocks, np.zeros(0, np.float32)])
    found = list(cut(blocks, longest, hush))
    assert np.array_equal(np.concatenate([*(p.samples for p in found), np.zeros(0, np.float32)]), whole)
    assert [p.start for p in found] == np.cumsum([0, *(p.samples.size for p in found)])[:-1].tolist()
    assert all(p.samples.size <= longest for p in found)
    assert len(found) == 1 or all(p.samples.size >= longest // 3 for p in found)
    # how the recording came in blocks makes no difference
    assert [p.start for p in cut([whole], longest, hush)] == [p.start for p in found]


def test_cuts_fall_into_pauses():
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.3, 100 * RATE).astype(np.float32)
    # short dips in every phrase, one real pause in every stretch of ten seconds
    pauses = [(10 * i + 6.0, 10 * i + 6.5) for i in range(10)]
    for i in range(100):
        sound[i * RATE : i * RATE + 50] = 0.0
    for a, b in pauses:
        sound[int(a * RATE) : int(b * RATE)] *= 0.01
    starts = [p.start / RATE for p in cut([sound], 15 * RATE, 300)][1:]
    assert len(starts) >= 6
    assert all(any(a + 0.1 <= s <= b - 0.1 for a, b in pauses) for s in starts)


def test_digital_silence_is_cut_too():
    assert [p.samples.size for p in cut([np.zeros(100, np.float32)], 40, 4)] == [40, 40, 20]


def test_memory_does_not_grow_with_the_recording():
    def peak(minutes: int) -> int:
        blocks = (np.ones(RATE * 60, np.float32) for _ in range(minutes))
        tracemalloc.start()
        try:
            for _ in cut(blocks, 30 * RATE, 300):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)
    assert peak(60) < 1.2 * peak(4)


def test_pieces_are_as_long_as_long_training_utterances():
    assert piece_s([2.0] * 95 + [12.0] * 6) == 12.0
    assert (piece_s([0.5, 0.6]), piece_s([100.0])) == (6.0, 30.0)


def test_a_short_file_is_one_piece_as_read_audio_reads_it(tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.flac", rng.normal(0, 0.1, (2 * 44100, 2)), 44100)
    (piece,) = pieces(tmp_path / "a.flac", 16000)
    assert piece.start == 0
    assert np.array_equal(piece.samples, read_audio(tmp_path / "a.flac", 16000))
