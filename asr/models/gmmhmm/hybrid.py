"""A network beside the mixtures: posteriors of the tied states, from alignments of the ladder.

Reference
---------
Bourlard and Morgan 1994, "Connectionist speech recognition: a hybrid approach", chapter 7; Hinton et al.
2012, "Deep neural networks for acoustic modeling in speech recognition".
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import lhotse
import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from asr.files import content_hash
from asr.models.gmmhmm.denominator import StateDenominator
from asr.models.gmmhmm.settings import GmmHmmSettings, StateNetworkSettings
from asr.models.gmmhmm.states import Parameters
from asr.models.gmmhmm.store import name_at
from asr.models.gmmhmm.transcribed import Transcribed
from asr.models.networks.batches import Ahead, Batches, Take, Utterances
from asr.models.networks.fit import fit
from asr.models.networks.network import FRAME_SHIFT_S, MINIMUM_FRAMES, SUBSAMPLING, Network
from asr.models.networks.resume import Resume, key_of
from asr.models.networks.schedule import batch_for, dropout_for, scheduled, steps_of
from asr.models.networks.training import Training
from asr.models.networks.transfer import begin
from asr.progress import track

NOWHERE = -1  # label of frames behind the end of an utterance


class StateBatch(NamedTuple):
    """Padded audio, features in the speakers' spaces and states.

    Attributes
    ----------
    waveforms
        (batch, samples) float32.
    samples
        (batch,) int64, length of each.
    features
        (batch, frames of 10 ms, dimensions) float32.
    states
        (batch, frames of 10 ms) int64, NOWHERE behind each utterance.
    speakers
        (batch,) int64, see `Utterances`.
    """

    waveforms: torch.Tensor
    samples: torch.Tensor
    features: torch.Tensor
    states: torch.Tensor
    speakers: torch.Tensor


class Aligned(Dataset[StateBatch]):
    """Training utterances with the state of every frame.

    Parameters
    ----------
    utterances
        Their audio.
    names
        Their ids in `said`.
    said
        Their features and alignments, at other speeds too.
    parameters
        Of the models they were aligned by.
    """

    def __init__(
        self, utterances: Utterances, names: Sequence[str], said: Transcribed, parameters: Parameters
    ) -> None:
        self.utterances, self.names, self.said, self.parameters = utterances, names, said, parameters
        self.entries = {said.store.entries[i].id: i for i in said.numbers}

    def states(self, entry: int) -> np.ndarray:
        """(frames,) states of an entry of `said`."""
        return self.parameters.states.columns[self.said.keys(entry)].astype(np.int64)

    def __getitem__(self, items: Sequence[Take]) -> StateBatch:
        """Padded batch; a copy that could not be aligned is not taken."""
        speakers = self.utterances.who(items)
        copies = [(i, speed, name_at(self.names[i], speed)) for i, speed, *_ in items]
        items = [Take(i, speed if name in self.entries else 1.0) for i, speed, name in copies]
        waveforms, samples = self.utterances.audio_of(items)
        entries = [self.entries[name_at(self.names[i], speed)] for i, speed, *_ in items]
        features = [torch.from_numpy(self.said.features(e, self.parameters)) for e in entries]
        states = [torch.from_numpy(self.states(e)) for e in entries]
        pad = nn.utils.rnn.pad_sequence
        return StateBatch(waveforms, samples, pad(features, True), pad(states, True, NOWHERE), speakers)


class StateTraining(Training):
    """Cross-entropy of the states, and in a second cycle their mutual information; in nats per frame.

    Parameters
    ----------
    network, settings, cycles, seed, key, taken, speakers
        See `Training`.
    log_prior
        (states,) float32 of the states.
    denominator
        What they compete with in the second cycle.

    Reference
    ---------
    Su et al. 2013, "Error back propagation for sequence training of context-dependent deep networks for
    conversational speech transcription", section 3.3 (cross-entropy keeps being a part of the loss).
    """

    def __init__(
        self,
        network: Network,
        settings: StateNetworkSettings,
        cycles: Sequence[int],
        seed: int,
        key: str,
        log_prior: np.ndarray,
        denominator: StateDenominator | None = None,
        taken: Collection[str] = (),
        speakers: int = 0,
    ) -> None:
        super().__init__(network, settings, cycles, seed, key, taken, speakers)
        self.mmi, self.denominator = settings.mmi, denominator
        self.log_prior: torch.Tensor
        # no part of checkpoints, but moved with the module
        self.register_buffer("log_prior", torch.from_numpy(log_prior), persistent=False)

    def training_step(self, batch: StateBatch, index: int) -> torch.Tensor:
        """Mean over the frames of all utterances."""
        heard = self.network.hear(batch.waveforms, batch.samples)
        company = self.speakers.company(heard.moments, batch.speakers)
        encoded = self.network.encode(heard, company, batch.features)
        log_probs = self.network.read(encoded.last, self.network.output)
        states = batch.states[:, : log_probs.shape[1]]
        log_probs, known = log_probs[:, : states.shape[1]], states != NOWHERE
        own = log_probs.gather(2, states.clamp(min=0)[:, :, None])[:, :, 0]
        loss = -own[known].mean()
        if self.denominator is not None and self.global_step >= self.cycles[0]:
            competing = self.denominator(log_probs - self.log_prior, known.sum(1)).sum()
            own = own - self.log_prior[states.clamp(min=0)]
            loss = loss + self.mmi * (competing - own[known].sum()) / known.sum()
        return self.watched(loss)


def train(
    settings: GmmHmmSettings,
    parameters: Parameters,
    said: Transcribed,
    cuts: lhotse.CutSet,
    speeds: Sequence[float],
    seed: int,
    workdir: Path,
) -> tuple[Network, np.ndarray]:
    """A network of the states that `said` was aligned to, and their log prior (states,) float32."""
    workdir.mkdir(parents=True, exist_ok=True)
    known = {said.store.entries[i].id for i in said.numbers}
    usable = lhotse.CutSet.from_cuts(c for c in cuts if c.supervisions[0].id in known)
    utterances = Utterances(usable, [lambda _: []], settings.network.sample_rate, workdir / "audio", "train")
    names = {c.id: c.supervisions[0].id for c in usable}
    aligned = Aligned(utterances, [names[i] for i in utterances.ids], said, parameters)
    counts = np.ones(len(parameters.states.units))
    labels = hashlib.sha256()
    for i in track(said.numbers, "states"):
        states = aligned.states(i)
        counts += np.bincount(states, minlength=len(counts))
        labels.update(states.tobytes())
    log_prior = np.log(counts / counts.sum()).astype(np.float32)
    total_s = float(np.maximum(utterances.seconds, MINIMUM_FRAMES * FRAME_SHIFT_S).sum())
    s = settings.network
    if not utterances.voices:  # it cannot learn what knowing the voice is good for
        s = s.model_copy(update={"alone": 1.0})
    cycles = scheduled(total_s, s, s.mmi_passes if s.mmi else 0.0)
    batches = Batches(utterances.seconds, batch_for(total_s, s), speeds, seed, s.alone)
    size = parameters.mixtures.means.shape[1]
    network = Network.seeded(seed, s, len(counts), size, SUBSAMPLING)
    network.drop(dropout_for(total_s / 3600, s))
    key = content_hash(key_of(settings, parameters.states.units, seed, utterances), labels.hexdigest())
    taken, key = begin(network, [parameters.states.units], s.init_from, key)
    resume = Resume(workdir, key)
    if not resume.finished:
        steps = steps_of(cycles, batches, s)
        denominator = StateDenominator(said, parameters, s.mmi_scale) if len(cycles) > 1 else None
        voices = utterances.voices
        module = StateTraining(network, s, steps, seed, key, log_prior, denominator, taken, voices)
        fit(module, Ahead(aligned, batches), sum(cycles), resume)
    resume.load_final(network)
    (workdir / "audio").unlink()
    return network.eval(), log_prior
