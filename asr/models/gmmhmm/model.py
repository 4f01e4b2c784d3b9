"""The classical acoustic model: Gaussian mixture HMMs of phonemes over cepstra."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np
import safetensors.numpy
import torch
from hmmlearn.hmm import GMMHMM
from lhotse import CutSet
from safetensors import SafetensorError

from asr.config import parse
from asr.cores import one_core
from asr.data.audio import resampled
from asr.decode.topology import Topology
from asr.emissions import Emissions
from asr.errors import ModelError
from asr.features.mfcc import FRAME_SHIFT_S, SpeakerNorm, mfcc
from asr.files import replacing, write_json
from asr.models.gmmhmm.mixtures import Mixtures
from asr.models.gmmhmm.settings import STEPS, WITH_COPIES, GmmHmmSettings
from asr.models.gmmhmm.states import SILENCE, Parameters
from asr.models.gmmhmm.store import FeatureStore, native_rate
from asr.models.gmmhmm.training import Ladder
from asr.models.gmmhmm.transcribed import Transcribed
from asr.models.gmmhmm.transform import RowStatistics, affine, fmllr
from asr.models.networks.network import SUBSAMPLING, Network
from asr.models.networks.posteriors import posteriors
from asr.text.lexicon import Lexicon, Spoken
from asr.text.units import Units

SAMPLE_RATE = 16000
ADAPTATIONS = 2  # rounds of explaining and transforming a speaker's frames


class GmmHmm:
    """Three-state phoneme models with Gaussian mixtures, trained on sentence transcripts.

    Parameters
    ----------
    settings
        Sizes and schedule.
    lexicon
        Pronunciations; its phonemes are the inventory.
    seed
        Of the network, if there is one: nothing else is random.
    """

    sample_rate = SAMPLE_RATE
    log_prior: np.ndarray | None = None  # likelihoods have none

    def __init__(self, settings: GmmHmmSettings, lexicon: Lexicon, seed: int = 0) -> None:
        self.settings = settings
        self.lexicon: Lexicon | None = lexicon
        self.seed = seed
        self.phones = lexicon.phones()
        self.native_rate = SAMPLE_RATE
        self.spoken: Spoken = {}
        self.alarms: list[str] = []
        self._parameters: Parameters | None = None
        self.network: Network | None = None
        self.state_prior: np.ndarray | None = None

    @property
    def parameters(self) -> Parameters:
        """What training found; ModelError before it."""
        if self._parameters is None:
            raise ModelError("the model is not trained", fix="call fit or load first")
        return self._parameters

    @property
    def units(self) -> Units:
        """The HMM states, columns of the emissions."""
        return self.parameters.states.units

    @property
    def topology(self) -> Topology:
        """How phonemes and pauses pass through the states, with the trained transitions."""
        return self.parameters.topology

    @property
    def adapts(self) -> bool:
        """Whether `adapt` changes anything."""
        return self.parameters.unadapted is not None

    def fit(self, train: CutSet, dev: CutSet, workdir: Path) -> None:
        """Train on `train`; goes on from what is in `workdir`.

        Raises
        ------
        DataError
            If nothing could be read or aligned.
        """
        if self.lexicon is None:
            raise ModelError("a loaded model has no lexicon to train with", fix="make a new one")
        workdir = Path(workdir)
        self.native_rate = min(SAMPLE_RATE, native_rate(train, SAMPLE_RATE))
        # one task a core: neither BLAS nor torch may start threads of its own below them
        with ThreadPoolExecutor(torch.get_num_threads()) as pool, one_core():
            rates = (SAMPLE_RATE, self.native_rate)
            others = self.settings.speeds if self.settings.step in WITH_COPIES else ()
            speeds = (1.0, *(s for s in others if s != 1.0))
            store = FeatureStore.create(
                train, workdir / "features", self.settings.features, rates, pool, speeds
            )
            said = Transcribed(store, self.phones, self.lexicon, workdir / "alignment.i32")
            self._parameters = Ladder(self.settings, said, workdir, pool).climb()
            # by the finished models, whichever pass the last alignment was of; the network alone needs copies
            said.use(copies=self.settings.acoustic == "network")
            said.align(self._parameters, pool)
            self.spoken = said.spoken()
        if self.settings.acoustic == "network":
            # Lightning is slow to import, and `transcribe` never needs it
            from asr.models.gmmhmm.hybrid import train as train_network

            self.network, self.state_prior = train_network(
                self.settings, self._parameters, said, train, speeds, self.seed, workdir / "network"
            )
            # as it was trained in the end
            self.settings = self.settings.model_copy(update={"network": self.network.settings})

    def emit(self, waveforms: Sequence[np.ndarray], sample_rate: int) -> list[Emissions]:
        """Log likelihoods of the states; cepstra are normalised over the given utterances of one speaker."""
        mixtures = self.parameters.unadapted or self.parameters.mixtures
        return [self._emissions(mixtures, x) for x in self._features(waveforms, sample_rate)]

    def adapt(
        self, waveforms: Sequence[np.ndarray], sample_rate: int, columns: Sequence[np.ndarray]
    ) -> list[Emissions]:
        """Emissions in the speaker's own feature space.

        Parameters
        ----------
        waveforms, sample_rate
            As for `emit`.
        columns
            (frames,) the column that each frame of each utterance was recognised as.

        Reference
        ---------
        Gales 1998, "Maximum likelihood linear transformations for HMM-based speech recognition".
        """
        p = self.parameters
        features = self._features(waveforms, sample_rate)
        if p.unadapted is None or p.prior is None:
            return [self._emissions(p.mixtures, x) for x in features]
        frames, state = np.concatenate(features), np.concatenate(columns)
        spoken = state < p.states.silence[0]
        frames, state = frames[spoken], state[spoken]
        transform, mixtures = None, p.unadapted
        for _ in range(ADAPTATIONS):
            rows = RowStatistics.of(mixtures, affine(frames, transform), state, frames)
            transform = fmllr(rows.with_prior(p.prior.astype(float), self.settings.adaptation_frames))
            mixtures = p.mixtures
        moved = [affine(x, transform) for x in features]
        if self.network is None:
            return [self._emissions(p.mixtures, x) for x in moved]
        assert self.state_prior is not None
        share, found = np.float32(self.settings.mixture_share), []
        for x, scores in zip(moved, posteriors(self.network, waveforms, sample_rate, moved), strict=True):
            scores = (1 - share) * (scores[: len(x)] - self.state_prior)
            if share:
                scores += share * p.mixtures.log_likelihoods(x)
            found.append(Emissions(scores, self.units, FRAME_SHIFT_S, "likelihood"))
        return found

    def _features(self, waveforms: Sequence[np.ndarray], sample_rate: int) -> list[np.ndarray]:
        settings = self.settings.features
        rows = []
        for waveform in waveforms:
            waveform = resampled(waveform, sample_rate, SAMPLE_RATE)
            rows.append(mfcc(waveform, SAMPLE_RATE, settings, self.native_rate))
        mean, factor = SpeakerNorm.of(rows, settings.cepstra).scale(settings.variance)
        return [self.parameters.features((x - mean) * factor) for x in rows]

    def _emissions(self, mixtures: Mixtures, features: np.ndarray) -> Emissions:
        return Emissions(mixtures.log_likelihoods(features), self.units, FRAME_SHIFT_S, "likelihood")

    def phoneme_model(
        self, phone: str, left: str = SILENCE, right: str = SILENCE, place: str = "I"
    ) -> GMMHMM:
        """A trained phoneme between two others, or ``SIL``, as an hmmlearn object.

        hmmlearn knows no exit from a model, so the last state keeps its exit probability for itself. States
        with fewer Gaussians than others repeat their last one with its weight shared: the same density.

        Parameters
        ----------
        phone
            A phoneme, or ``SIL``.
        left, right
            Its neighbours.
        place
            Where in its word it is: ``B`` first, ``I`` inside, ``E`` last, ``S`` alone.
        """
        topology, tokens = self.topology, self.parameters.states.tokens
        before, token, behind = (
            tokens.index(x if x == SILENCE else f"{x}_{place}") for x in (left, phone, right)
        )
        chain = topology.chain(topology.classes[before], token, topology.classes[behind])
        columns = list(topology.states[chain])
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

    def steps(self, workdir: Path) -> list[tuple[str, Self]]:
        """The models that each step of the training in `workdir` ended with."""
        found = []
        for step in STEPS[: STEPS.index(self.settings.step) + 1]:
            model = copy.copy(self)
            tensors = safetensors.numpy.load_file(Path(workdir) / f"{step}.safetensors")
            model._parameters = Parameters.of(tensors, self.phones)
            model.network = None
            found.append((step, model))
        return [*found, ("network", self)] if self.network is not None else found

    def save(self, folder: Path) -> None:
        """Write model.safetensors, units.txt and model.json."""
        folder = Path(folder)
        with replacing(folder / "model.safetensors") as temporary:
            safetensors.numpy.save_file(self.parameters.tensors() | self._network_tensors(), temporary)
        self.units.save(folder / "units.txt")
        head = {"settings": self.settings.model_dump(mode="json"), "phones": self.phones}
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
            model.phones = tuple(head["phones"])
            model.native_rate, model.seed, model.lexicon = head["native_rate"], head["seed"], None
            model.spoken, model.alarms = {}, []
            model._parameters = Parameters.of(tensors, model.phones)
            model.network = model.state_prior = None
            if model.settings.acoustic == "network":
                model._load_network(tensors)
            if not model._parameters.mixtures.states == len(model.units) == len(set(model.units)):
                raise ValueError("model.json and model.safetensors do not belong together")
            if Units.load(folder / "units.txt") != model.units:
                raise ValueError("model.json and units.txt do not belong together")
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as e:
            raise ModelError(f"no usable GMM-HMM ({e})", path=folder, fix="train it again") from e
        return model

    def _network_tensors(self) -> dict[str, np.ndarray]:
        if self.network is None or self.state_prior is None:
            return {}
        # safetensors would write a strided array as another one
        weights = {
            f"network.{name}": np.ascontiguousarray(value.numpy())
            for name, value in self.network.state_dict().items()
        }
        return weights | {"state_prior": self.state_prior}

    def _load_network(self, tensors: dict[str, np.ndarray]) -> None:
        p = self.parameters
        size = p.mixtures.means.shape[1]
        self.network = Network.seeded(self.seed, self.settings.network, len(self.units), size, SUBSAMPLING)
        weights = {k: torch.from_numpy(v) for k, v in tensors.items() if k.startswith("network.")}
        self.network.load_state_dict({k.removeprefix("network."): v for k, v in weights.items()})
        self.state_prior = tensors["state_prior"]

    def parameters_count(self) -> int:
        """Number of trained numbers."""
        weights = sum(w.numel() for w in self.network.parameters()) if self.network is not None else 0
        return self.parameters.count() + weights
