"""Every acoustic model, trained for a moment on tone words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from asr.config import parse
from asr.models import factory
from asr.models.base import AcousticModel
from asr.models.ctc.settings import CtcSettings
from asr.models.gmmhmm.settings import GmmHmmSettings
from asr.text.lexicon import Lexicon

RATE = 16000
LEXICON = Lexicon({"LOW": [("L", "OW")], "MID": [("M", "IH", "D"), ("M", "IH")], "HIGH": [("HH", "AY")]})
TONES = {"LOW": 300.0, "MID": 900.0, "HIGH": 2500.0}
_GMM = {"type": "gmmhmm", "gaussians": 30, "passes": 6, "frames_per_gaussian": 10}
_CTC = {"type": "ctc", "channels": 16, "width": 32, "blocks": 1, "lstm_layers": 1, "epochs": 2}

# one entry for each acoustic model there is: a new one adds a line here and is under contract
SETTINGS = {
    "gmmhmm": (
        GmmHmmSettings,
        _GMM,
    ),
    "gmmhmm-network": (
        GmmHmmSettings,
        {**_GMM, "acoustic": "network", "network": {k: v for k, v in _CTC.items() if k != "type"}},
    ),
    "ctc-phonemes": (CtcSettings, {**_CTC, "targets": "phonemes"}),
    "ctc-characters": (CtcSettings, {**_CTC, "targets": "characters"}),
}


def wave_of(words: list[str], rng: np.random.Generator) -> np.ndarray:
    """Tone words with short gaps and a little noise, (samples,) float32."""
    pieces = [np.zeros(1600)]
    for word in words:
        t = np.arange(int(RATE * (0.3 + 0.1 * rng.random()))) / RATE
        pieces += [np.cos(2 * np.pi * TONES[word] * t) * np.hanning(len(t)) * 0.3, np.zeros(1600)]
    wave = np.concatenate(pieces)
    return (wave + 0.003 * rng.standard_normal(len(wave))).astype(np.float32)


@dataclass
class Trained:
    """A model, how to train another one like it, what it was trained on, and two new waveforms."""

    kind: str
    model: AcousticModel
    cuts: CutSet
    waveforms: list[np.ndarray]

    def again(self, workdir: Path, seed: int = 0) -> AcousticModel:
        """The same training from the start."""
        settings = parse(*SETTINGS[self.kind])
        model = factory.create(settings, LEXICON, seed)
        model.fit(self.cuts, self.cuts, workdir)
        return model


@pytest.fixture(scope="session")
def cuts(tmp_path_factory) -> CutSet:
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    made = []
    for i in range(12):
        words = [str(w) for w in rng.choice(list(TONES), rng.integers(1, 4))]
        path = folder / f"tone{i}.wav"
        soundfile.write(path, wave_of(words, rng), RATE)
        recording = Recording.from_file(path, recording_id=f"tone{i}")
        said = SupervisionSegment(
            f"tone{i}", f"tone{i}", 0.0, recording.duration, text=" ".join(words), speaker=f"s{i % 2}"
        )
        made.append(MonoCut(f"tone{i}", 0.0, recording.duration, 0, [said], recording=recording))
    return CutSet.from_cuts(made)


@pytest.fixture(scope="session", params=list(SETTINGS))
def trained(request, cuts, tmp_path_factory) -> Trained:
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    waveforms = [wave_of(["LOW", "HIGH", "MID"], rng), wave_of(["MID", "LOW"], rng)]
    out = Trained(request.param, None, cuts, waveforms)  # type: ignore[arg-type]
    out.model = out.again(tmp_path_factory.mktemp("work"))
    return out
