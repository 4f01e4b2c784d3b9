"""Train SpeechBrain's CTC network on the hours, targets, lexicon and language model of ours, set beside it.

Network, features, augmentation, optimiser and schedule are those of its TIMIT CTC recipe (CRDNN with LiGRU,
Adadelta and NewBob, the checkpoint that is best on dev), but for the noise, which that recipe downloads. It
trains for as many minutes as it is given, best those of the run beside it, even within a pass; then its
posteriors are tuned on dev and searched as ours are. Audio seconds per second are those that went through the
network: four copies of each utterance here, of ours one or, where it is masked twice, two.
"""

from __future__ import annotations

import copy
import itertools
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import lhotse
import numpy as np
import speechbrain as sb
import torch
import typer
from lhotse import CutSet
from speechbrain.augment.augmenter import Augmenter
from speechbrain.augment.time_domain import DropChunk, DropFreq, SpeedPerturb
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.CRDNN import CRDNN
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.losses import ctc_loss
from speechbrain.nnet.schedulers import NewBobScheduler, update_learning_rate
from speechbrain.processing.features import InputNormalization
from speechbrain.utils.metric_stats import ErrorRateStats

from asr.cell import ExperimentSettings, LmSettings
from asr.config import parse
from asr.data.audio import load_cut
from asr.data.budget import Budget
from asr.data.corpus import Corpus
from asr.decode.search import SearchSettings
from asr.decode.topology import Topology
from asr.emissions import Emissions
from asr.errors import AsrError, UsageError
from asr.experiment import evaluate_split, full_lexicon, language_model, search_lexicon, tune_on
from asr.files import write_json
from asr.models.ctc.settings import CtcSettings
from asr.models.ctc.targets import Targets
from asr.models.ctc.training import heard_hours
from asr.record import RunRecord, provenance
from asr.system import System

RATE = 16000
SHIFT_S = 0.02  # 10 ms, halved by its pooling over time
MELS = 40
BATCH = 8  # utterances
PRIOR_UTTERANCES = 200  # of the training set, that the mean posterior is taken over
OURS = {"phonemes": "phoneme_ctc", "characters": "raw_ctc"}
Kind = StrEnum("Kind", list(OURS))


def parts(units: int) -> torch.nn.ModuleDict:
    """Its modules, sized as in its recipe."""
    network = CRDNN(
        input_size=MELS, activation=torch.nn.LeakyReLU, dropout=0.15, cnn_blocks=2, cnn_channels=(128, 256),
        cnn_kernelsize=(3, 3), time_pooling=True, rnn_layers=4, rnn_neurons=512, rnn_bidirectional=True,
        dnn_blocks=2, dnn_neurons=512,
    )  # fmt: skip
    output = Linear(n_neurons=units, input_size=512, bias=True)
    return torch.nn.ModuleDict(
        {"model": network, "output": output, "normalize": InputNormalization(norm_type="global")}
    )


class Spent(Exception):
    """The minutes are over."""


class Brain(sb.Brain):  # type: ignore[misc]
    """Its training loop: log-mel, network, CTC; greedy errors on dev decide rate and checkpoint."""

    def prepare(self, minutes: float) -> None:
        """What a recipe keeps in its hparams."""
        self.features = Fbank(sample_rate=RATE, n_fft=400, n_mels=MELS)
        self.augment = Augmenter(
            concat_original=True, min_augmentations=3, max_augmentations=3, augment_prob=1.0,
            augmentations=[
                SpeedPerturb(RATE, [95, 100, 105]),
                DropFreq(drop_freq_low=0, drop_freq_high=1, drop_freq_count_low=1, drop_freq_count_high=3),
                DropChunk(
                    drop_length_low=1000, drop_length_high=2000, drop_count_low=1, drop_count_high=5
                ),
            ],
        )  # fmt: skip
        self.anneal = NewBobScheduler(1.0, annealing_factor=0.8, improvement_threshold=0.0025)
        self.minutes, self.best, self.best_modules = minutes, float("inf"), self.modules
        self.began, self.audio_s = time.perf_counter(), 0.0
        self.epochs: list[dict[str, float]] = []

    def compute_forward(self, batch: Any, stage: sb.Stage) -> Any:
        """Log posteriors (batch, frames, units) and relative lengths (batch,)."""
        waveforms, lengths = batch.sig
        if stage == sb.Stage.TRAIN:
            if self.train_s >= 60 * self.minutes:
                raise Spent
            waveforms, lengths = self.augment(waveforms, lengths)
            self.audio_s += float((lengths * waveforms.shape[1]).sum()) / RATE
        return self.posteriors(waveforms, lengths), lengths

    def posteriors(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(batch, frames, units) of (batch, samples)."""
        features = self.modules.normalize(self.features(waveforms), lengths)
        return self.modules.output(self.modules.model(features)).log_softmax(2)

    def compute_objectives(self, predictions: Any, batch: Any, stage: sb.Stage) -> torch.Tensor:
        """The CTC loss, its default mean."""
        log_probs, lengths = predictions
        labels, label_lengths = batch.labels
        if stage == sb.Stage.TRAIN:
            labels = self.augment.replicate_labels(labels)
            label_lengths = self.augment.replicate_labels(label_lengths)
        else:
            found = sb.decoders.ctc_greedy_decode(log_probs, lengths, blank_id=0)
            self.errors.append(batch.id, found, labels, target_len=label_lengths)
        return ctc_loss(log_probs, labels, lengths, label_lengths, 0)

    @property
    def train_s(self) -> float:
        """Since training began, looks at dev and reading of audio included, as for ours."""
        return time.perf_counter() - self.began

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Count errors anew."""
        self.errors = ErrorRateStats()

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """After each look at dev, and one when the time is over: anneal, keep the best."""
        if stage == sb.Stage.TRAIN:
            return
        error = self.errors.summarize("error_rate")
        _, rate = self.anneal(error)
        update_learning_rate(self.optimizer, rate)
        if error < self.best:
            self.best = error
            # a copy of all: normalisation keeps statistics beside its weights
            self.best_modules = copy.deepcopy(self.modules)
        self.epochs.append({"dev_error": error, "minutes": self.train_s / 60, "rate": rate})
        typer.echo(f"dev error {error:.2f}% after {self.train_s / 60:.1f} min", err=True)


class Peer:
    """Its trained network as an acoustic model of ours."""

    sample_rate = RATE
    adapts = False

    def __init__(self, brain: Brain, targets: Targets, train: CutSet) -> None:
        self.brain, self.units = brain, targets.units
        self.topology, self.spoken = Topology.ctc(targets.units), {}
        some = itertools.islice(train, PRIOR_UTTERANCES)
        frames = np.concatenate([np.exp(self.emit([load_cut(c, RATE)], RATE)[0].scores) for c in some])
        self.log_prior = np.log(np.maximum(frames.mean(axis=0), 1e-8)).astype(np.float32)

    @torch.inference_mode()
    def emit(self, waveforms: Sequence[np.ndarray], sample_rate: int) -> list[Emissions]:
        """One utterance at a time, without padding."""
        found = []
        for waveform in waveforms:
            scores = self.brain.posteriors(torch.from_numpy(waveform)[None], torch.ones(1))[0]
            found.append(Emissions(scores.numpy(), self.units, SHIFT_S, "posterior"))
        return found

    def parameters_count(self) -> int:
        """Number of trained numbers."""
        return sum(p.numel() for p in self.brain.modules.parameters())


def dataset(cuts: CutSet, targets: Targets) -> Any:
    """Its data set of audio and labels, the shortest first, as its recipe sorts it."""
    entries = {}
    for cut in cuts:
        entries[cut.id] = {"cut": cut, "duration": cut.duration, "encoded": targets.encode(cut)}
    data = sb.dataio.dataset.DynamicItemDataset(entries)
    data.add_dynamic_item(lambda cut: torch.from_numpy(load_cut(cut, RATE)), takes="cut", provides="sig")
    data.add_dynamic_item(lambda labels: torch.tensor(labels), takes="encoded", provides="labels")
    data.set_output_keys(["id", "sig", "labels"])
    return data.filtered_sorted(sort_key="duration")


def main(
    data: Annotated[Path, typer.Option(help="A corpus folder made by `asr prepare`.")],
    to: Annotated[Path, typer.Option(help="Folder of the peer's files and of peer.json.")],
    targets: Annotated[Kind, typer.Option(help="What the network writes.")] = Kind.phonemes,
    minutes: Annotated[float | None, typer.Option(help="Of training; by default those of --ours.")] = None,
    hours: Annotated[float | None, typer.Option(help="Hours of training audio; all when left out.")] = None,
    seed: Annotated[int, typer.Option(help="Of budget and training.")] = 0,
    ours: Annotated[Path | None, typer.Option(help="A run of ours, or what is kept of one.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
) -> None:
    """Train and score SpeechBrain's CTC network as our recipes are: same hours, compute, lexicon and LM."""
    beside, heard_s = None, 0.0
    if ours is not None:
        beside = RunRecord.load(ours)
        if (beside.row["recipe"], beside.budget["hours"], beside.row["seed"]) != (OURS[targets], hours, seed):
            raise UsageError(
                f"--ours {ours} is not {OURS[targets]} of these hours and this seed", fix="give another"
            )
        settings = parse(CtcSettings, beside.config["model"])
        heard_s = 3600 * heard_hours(beside.budget["seconds"] / 3600, settings)
    if minutes is None:
        if beside is None:
            raise UsageError("how long to train?", fix="give --minutes, or --ours with a run of ours")
        minutes = beside.row["train_s"] / 60
    torch.set_num_threads(threads)
    lhotse.utils.fix_random_seed(seed)
    to.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.open(data)
    lm = language_model(corpus, LmSettings())
    lexicon = full_lexicon(corpus, lm)
    wanted = Targets("phonemes" if targets is Kind.phonemes else "characters", lexicon)
    train = Budget(hours, seed).select(corpus.cuts("train").to_eager())
    if beside is not None and beside.budget["sha256"] != Budget.digest(train):
        raise UsageError(f"--ours {ours} learned other utterances", fix="give a run on this corpus")
    modules = parts(len(wanted.units))
    brain = Brain(
        modules, lambda p: torch.optim.Adadelta(p, lr=1.0, rho=0.95, eps=1e-8), run_opts={"device": "cpu"}
    )
    brain.prepare(minutes)
    options = {"batch_size": BATCH}
    developing = dataset(corpus.cuts("dev").to_eager(), wanted)
    try:
        brain.fit(
            itertools.count(1),  # the time decides
            dataset(train, wanted),
            developing,
            progressbar=False,
            train_loader_kwargs=options,
            valid_loader_kwargs=options,
        )
    except Spent:
        train_s = brain.train_s
    brain.evaluate(developing, progressbar=False, test_loader_kwargs=options)
    brain.modules = brain.best_modules.eval()

    peer: Any = Peer(brain, wanted, train)
    system = System(
        OURS[wanted.kind], corpus.language, peer, search_lexicon(peer, lexicon, lm), lm, SearchSettings()
    )
    tune_on(system, corpus.cuts("dev"), ExperimentSettings.model_fields["tune_utterances"].default, seed)
    row = evaluate_split(system, corpus, lexicon, "test", to)
    greedy = "per" if wanted.kind == "phonemes" else "greedy_cer"
    row |= {"train_s": round(train_s, 1), "audio_per_s": round(brain.audio_s / train_s, 1)}
    row |= {"params": peer.parameters_count(), "targets": wanted.kind, "hours": hours, "seed": seed}
    write_json(to / "peer.json", {**row, "epochs": brain.epochs, "provenance": provenance()})

    head = ("", "WER %", f"greedy {'PER' if greedy == 'per' else 'CER'} %", "train s", "audio s per s")
    lines = [("speechbrain", row["wer"], row[greedy], row["train_s"], row["audio_per_s"])]
    if beside is not None:
        r = beside.row
        lines.append((r["recipe"], r["wer"], r[greedy], r["train_s"], round(heard_s / r["train_s"], 1)))
    for line in (head, *lines):
        typer.echo(f"{line[0]:14}" + "".join(f"{x!s:>16}" for x in line[1:]))


if __name__ == "__main__":
    try:
        typer.run(main)
    except AsrError as e:
        sys.exit(f"speechbrain_ctc: error: {e}")
