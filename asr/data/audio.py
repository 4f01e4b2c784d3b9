"""Reading recordings as float32 mono waveforms, with errors that name the file."""

from __future__ import annotations

import numpy as np
from lhotse.cut import Cut

from asr.errors import AudioError


def load_cut(cut: Cut, sample_rate: int) -> np.ndarray:
    """Waveform of a cut, (samples,) float32 in -1..1, at `sample_rate` Hz, channels averaged.

    Raises
    ------
    AudioError
        If the recording cannot be read, is empty or holds NaN; names file and utterance.
    """
    path = cut.recording.sources[0].source if cut.has_recording else None
    try:
        if cut.sampling_rate != sample_rate:
            cut = cut.resample(sample_rate)
        samples = cut.load_audio()
    except Exception as e:  # lhotse wraps back-end errors of many kinds
        raise AudioError("cannot be read", path=path, utterance=cut.id, fix="run `asr check` on the corpus") from e
    waveform = samples.mean(axis=0, dtype=np.float32) if samples.shape[0] > 1 else samples[0]
    if waveform.size == 0:
        raise AudioError("holds no samples", path=path, utterance=cut.id, fix="remove it from the corpus")
    if not np.isfinite(waveform).all():
        raise AudioError("holds NaN or infinite samples", path=path, utterance=cut.id, fix="remove or repair it")
    return np.ascontiguousarray(waveform, dtype=np.float32)
