"""The classical acoustic model: Gaussian mixture HMMs of phonemes over cepstra."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np
import safetensors.numpy
import torch
import torchaudio.functional
from hmmlearn.hmm import GMMHMM
from lhotse import CutSet
from safetensors import SafetensorError
from threadpoolctl import threadpool_limits

from asr.config import parse
from asr.decode.topology import Topology
from asr.emissions import Emissions
from asr.errors import ModelError
from asr.features.mfcc import FRAME_SHIFT_S, SpeakerNorm, mfcc
from asr.files import replacing, write_json
from asr.models.gmmhmm import training
from asr.models.gmmhmm.settings import GmmHmmSettings
from asr.models.gmmhmm.states import Parameters, States
from asr.models.gmmhmm.store import FeatureStore, native_rate
from asr.models.gmmhmm.transcribed import Transcribed
from asr.text.lexicon import Lexicon
from asr.text.units import Units

SAMPLE_RATE = 16000


class GmmHmm:
    """Three-state phoneme models with Gaussian mixtures, trained on sentence transcripts.

    Parameters
    ----------
    settings
        Sizes and schedule.
    lexicon
        Pronunciations; its phonemes are the inventory.
    seed
        Kept for the record: nothing in this training is random.
    """

    sample_rate = SAMPLE_RATE
    log_prior: np.ndarray | None = None  # likelihoods have none

    def __init__(self, settings: GmmHmmSettings, lexicon: Lexicon, seed: int = 0) -> None:
        self.settings = settings
        self.lexicon: Lexicon | None = lexicon
        self.seed = seed
        self.states = States(lexicon.phones())
        self.native_rate = SAMPLE_RATE
        self._parameters: Parameters | None = None

    @property
    def units(self) -> Units:
        """The HMM states, columns of the emissions."""
        return self.states.units

    @property
    def parameters(self) -> Parameters:
        """What training found; ModelError before it."""
        if self._parameters is None:
            raise ModelError("the model is not trained", fix="call fit or load first")
        return self._parameters

    @property
    def topology(self) -> Topology:
        """How phonemes and pauses pass through the states, with the trained transitions."""
        return self.parameters.topology(self.states)

    def fit(self, train: CutSet, dev: CutSet, workdir: Path) -> None:
        """Train on `train`, log the likelihood of `dev`; goes on from what is in `workdir`.

        Raises
        ------
        DataError
            If nothing could be read or aligned.
        """
        if self.lexicon is None:
            raise ModelError("a loaded model has no lexicon to train with", fix="make a new one")
        workdir = Path(workdir)
        self.native_rate = min(SAMPLE_RATE, native_rate(train, SAMPLE_RATE))
        threads = torch.get_num_threads()
        # one task a core: neither BLAS nor torch may start threads of its own below them
        torch.set_num_threads(1)
        try:
            with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
                sets = []
                for name, cuts in (("train", train), ("dev", dev)):
                    folder, rates = workdir / "features" / name, (SAMPLE_RATE, self.native_rate)
                    store = FeatureStore.create(cuts, folder, self.settings.features, rates, pool)
                    sets.append(Transcribed(store, self.states, self.lexicon))
                self._parameters = training.train(self.settings, self.states, sets[0], sets[1], workdir, pool)
        finally:
            torch.set_num_threads(threads)

    def emit(self, waveforms: Sequence[np.ndarray], sample_rate: int) -> list[Emissions]:
        """Log likelihoods of the states; cepstra are normalised over the given utterances of one speaker."""
        features = self.settings.features
        rows = []
        for waveform in waveforms:
            if sample_rate != SAMPLE_RATE:
                given = torch.from_numpy(np.asarray(waveform, dtype=np.float32))
                waveform = torchaudio.functional.resample(given, sample_rate, SAMPLE_RATE).numpy()
            rows.append(mfcc(waveform, SAMPLE_RATE, features, self.native_rate))
        p = self.parameters
        mean, factor = SpeakerNorm.of(rows, features.cepstra).scale(features.variance)
        return [
            Emissions(
                p.mixtures.log_likelihoods(p.features((x - mean) * factor)),
                self.units,
                FRAME_SHIFT_S,
                "likelihood",
            )
            for x in rows
        ]

    def phoneme_model(self, phone: str) -> GMMHMM:
        """A trained phoneme, or ``SIL``, as an hmmlearn object.

        hmmlearn knows no exit from a model, so the last state keeps its exit probability for itself. States
        with fewer Gaussians than others repeat their last one with its weight shared: the same density.
        """
        columns = list(self.states.columns[phone])
        mixtures, n = self.parameters.mixtures, len(columns)
        begin, end = mixtures.start[columns], mixtures.start[1:][columns]
        most = int((end - begin).max())
        model = GMMHMM(n_components=n, n_mix=most, covariance_type="diag")
        stay = self.parameters.stay[columns]
        model.startprob_ = np.eye(n)[0]
        model.transmat_ = np.diag(stay) + np.diag(1 - stay[:-1], 1)
        model.transmat_[-1, -1] = 1.0
        model.n_features = mixtures.means.shape[1]
        rows = np.array(
            [np.minimum(mixtures.start[c] + np.arange(most), mixtures.start[c + 1] - 1) for c in columns]
        )
        copies = most - (end - begin) + 1
        model.weights_ = mixtures.weights[rows]
        for weights, k in zip(model.weights_, copies, strict=True):
            weights[most - k :] /= k
        model.means_, model.covars_ = mixtures.means[rows], mixtures.variances[rows]
        return model

    def save(self, folder: Path) -> None:
        """Write model.safetensors, units.txt and model.json."""
        folder = Path(folder)
        with replacing(folder / "model.safetensors") as temporary:
            safetensors.numpy.save_file(self.parameters.tensors(), temporary)
        self.units.save(folder / "units.txt")
        head = {"settings": self.settings.model_dump(mode="json"), "phones": self.states.phones}
        write_json(folder / "model.json", {**head, "native_rate": self.native_rate, "seed": self.seed})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            If a file is missing, damaged or does not fit the others.
        """
        folder = Path(folder)
        try:
            head = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            tensors = safetensors.numpy.load_file(folder / "model.safetensors")
            model = cls.__new__(cls)
            model.settings = parse(GmmHmmSettings, head["settings"], folder / "model.json")
            model.states = States(tuple(head["phones"]))
            model.native_rate, model.seed, model.lexicon = head["native_rate"], head["seed"], None
            model._parameters = Parameters.of(tensors)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as e:
            raise ModelError(f"no usable GMM-HMM ({e})", path=folder, fix="train it again") from e
        if model._parameters.mixtures.states != len(model.units):
            raise ModelError("model.json and model.safetensors do not belong together", path=folder)
        return model

    def parameters_count(self) -> int:
        """Number of trained numbers."""
        return self.parameters.count()
