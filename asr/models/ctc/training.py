"""What a CTC network is taught, and how that is judged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from jiwer import process_words
from torch import nn

from asr.models.ctc.alarm import Alarm
from asr.models.ctc.denominator import Denominator
from asr.models.ctc.settings import CtcSettings
from asr.models.networks.batches import Ahead, Batch, Batches, Utterances
from asr.models.networks.fit import fit
from asr.models.networks.heard import valid
from asr.models.networks.network import FRAME_SHIFT_S, MINIMUM_FRAMES, Network
from asr.models.networks.parallel import count_only, world
from asr.models.networks.resume import Resume
from asr.models.networks.schedule import batch_for, dropout_for, scheduled, steps_of
from asr.models.networks.speakers import by_speaker, others
from asr.models.networks.training import Training
from asr.progress import console

TIME_MASKS = 2.5  # times as many where each batch is masked twice
SUFFIXES = ("", "_characters")  # of what is logged of a first and of a second task
QUIET = 1e-3  # frames 30 dB below the loudest of their utterance hold no speech, says the flat start


def collapse(labels: np.ndarray) -> list[int]:
    """Best path (frames,) without repeats and blanks, which are 0."""
    return [int(k) for k, _ in itertools.groupby(labels) if k != 0]


def spread_loss(log_probs: torch.Tensor, frames: torch.Tensor, batch: Batch, hop: int) -> torch.Tensor:
    """Cross-entropy of labels spread evenly over the loud frames of their utterance, in nats per frame.

    The flat start of HMM training, for a network; quiet frames are blank. CTC alone may settle on peaks that
    lie nowhere near their sounds and hardly ever leaves them: on grid_s1 (0.34 h, characters, seed 1) dev
    errors after eight passes were 18% with the flat start and 42% without.

    Parameters
    ----------
    log_probs
        (batch, longest, units).
    frames
        (batch,) frames of each utterance.
    batch
        The audio and its labels.
    hop
        Samples of a frame.

    Reference
    ---------
    Young et al. 2006, "The HTK Book", section 8.3 (flat start).
    """
    longest = log_probs.shape[1]
    inside = valid(frames, longest)[:, 0].bool()
    samples = torch.nn.functional.pad(batch.waveforms, (0, longest * hop - batch.waveforms.shape[1]))
    energy = samples.view(len(samples), longest, hop).square().mean(2)
    loud = inside & (energy > energy.amax(1, keepdim=True) * QUIET)
    counts = batch.target_lengths[:, None]
    rank = (loud.cumsum(1) - 1).clamp(min=0) * counts // loud.sum(1, keepdim=True).clamp(min=1)
    firsts = batch.target_lengths.cumsum(0)[:, None] - counts
    labels = torch.where(loud, batch.targets[firsts + rank.minimum(counts - 1)], 0)
    return -(log_probs.gather(2, labels[:, :, None])[:, :, 0] * inside).sum() / inside.sum()


def divergence(log_probs: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """How far two views of each utterance lie apart: each one's posteriors as the target of the other.

    Parameters
    ----------
    log_probs
        (2 · batch, longest, units), the second views below the first.
    frames
        (2 · batch,) of each.

    Returns
    -------
    torch.Tensor
        Half the sum of both Kullback-Leibler divergences over all frames, in nats; targets have no gradient.

    Reference
    ---------
    Yao et al. 2024, "CR-CTC: Consistency regularization on CTC for improved speech recognition", section 3.
    """
    one, other = log_probs.chunk(2)
    inside = valid(frames[: len(one)], log_probs.shape[1])[:, 0, :, None]
    total = torch.zeros((), device=log_probs.device)
    for given, target in ((one, other.detach()), (other, one.detach())):
        total = total + (target.exp() * (target - given) * inside).sum()
    return 0.5 * total


def written(log_probs: torch.Tensor, frames: torch.Tensor, batch: Batch) -> tuple[float, float]:
    """Share of blanks on the best paths of (batch, longest, units), and their labels for each true one."""
    paths = log_probs.argmax(2)
    inside = valid(frames, paths.shape[1])[:, 0].bool()
    spoken = (paths != 0) & inside
    begins = spoken & (paths != nn.functional.pad(paths, (1, 0))[:, :-1])
    counts = torch.stack([spoken.sum(), inside.sum(), begins.sum(), batch.target_lengths.sum()])
    labelled, frames_of_all, labels, true = counts.tolist()  # at once: a GPU waits each time
    return 1.0 - labelled / frames_of_all, labels / true


def heard_hours(hours: float, settings: CtcSettings) -> float:
    """Hours of audio that go through the network in a training on `hours`, each masking counted."""
    settings = settings.for_hours(hours)
    cycles = scheduled(3600 * hours, settings, settings.again)
    passes = float(sum(cycles))
    if settings.consistency:
        passes += passes - settings.calm_start * cycles[0]
    return hours * passes


class CtcTraining(Training):
    """CTC loss after a flat start, then a share of the denominator too; error rate of the best path on dev.

    With two tasks the losses are added up, each times its share; blanks, labels and dev errors are those of
    the first, and with ``_characters`` behind their names of the second. As the settings say, utterances are
    masked twice, both views are drawn together, and the middle of the encoder is taught as well.

    Parameters
    ----------
    network, settings, cycles, seed, key, taken, speakers
        See `Training`.
    denominators
        One a task; none for CTC alone.

    Reference
    ---------
    Graves et al. 2006, "Connectionist temporal classification"; Xiang and Ou 2019, "CRF-based single-stage
    acoustic modeling with CTC topology"; Caruana 1997, "Multitask learning"; Lee and Watanabe 2021,
    "Intermediate loss regularization for CTC-based speech recognition", section 3.
    """

    def __init__(
        self,
        network: Network,
        settings: CtcSettings,
        cycles: Sequence[int],
        seed: int,
        key: str,
        denominators: Sequence[Denominator] = (),
        taken: Collection[str] = (),
        speakers: int = 0,
    ) -> None:
        super().__init__(network, settings, cycles, seed, key, taken, speakers)
        self.taught, self.denominators = settings, denominators
        self.consistency = settings.consistency or 0.0
        share = settings.phoneme_share or 1.0
        self.shares = (share, 1.0 - share) if len(network.heads) > 1 else (1.0,)
        self.hop = round(FRAME_SHIFT_S * settings.sample_rate)
        # the steps at which the flat start has ended, and at which masks begin
        self.begins = math.ceil(settings.flat_start * cycles[0]), math.ceil(settings.calm_start * cycles[0])
        writes = max(self.begins[0], sum(cycles) // 10)
        units = network.heads[0].out_features
        self.alarm = Alarm(settings.learning_rate, writes, cycles, units, settings.tasks)
        self.errors, self.reference = [0] * len(self.shares), [0] * len(self.shares)
        self.dev_loss, self.dev_moments = 0.0, torch.zeros(0)

    @property
    def alarms(self) -> list[str]:
        """What the alarm has said so far."""
        return self.alarm.said

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down what the alarm has seen and said, too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["alarm"] = self.alarm.state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with it."""
        super().on_load_checkpoint(checkpoint)
        if "alarm" in checkpoint:  # one from before it was kept has none
            self.alarm.state = checkpoint["alarm"]

    def _loss(self, log_probs: torch.Tensor, frames: torch.Tensor, batch: Batch) -> torch.Tensor:
        sums = torch.nn.functional.ctc_loss(
            log_probs.transpose(0, 1), batch.targets, frames, batch.target_lengths, reduction="none"
        )
        return sums.sum() / batch.target_lengths.sum()

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """CTC loss and log Z in nats per label; during the flat start mixed with `spread_loss`.

        The denominator counts in the second cycle alone: within the first it brought nothing.
        """
        flat_steps = self.taught.flat_start * self.cycles[0]
        flat = 1.0 - self.global_step / flat_steps if flat_steps else 0.0
        if self.global_step in self.begins and self.global_step != self.alarm.seen:
            self.running = math.nan  # nothing of the other loss stays in the smoothed one
            if self.global_step == self.begins[1]:
                self.alarm.begin_anew(self.global_step)
        whole, (number, of) = batch, world()
        if of > 1:
            batch = whole.part(number, of)
            count_only(self.network, number < len(whole.samples))
        # gradients of the processes are averaged: each loss counts as its part of the batch
        weight = float(of * (number < len(whole.samples)))
        views = 2 if self.consistency and not self.calm else 1
        all_frames = self.network.frames(whole.samples).repeat(views)
        longest = int(all_frames.max())
        heard = self.network.hear(batch.waveforms, batch.samples, longest)
        company = self.speakers.company(heard.moments, batch.speakers, number < len(whole.samples))
        encoded = self.network.encode(heard, company, views=views)
        frames, batch, whole = encoded.frames, batch.repeated(views), whole.repeated(views)
        total = judged = torch.zeros((), device=frames.device)
        writes = []
        tasks = zip(self.network.heads, batch.tasks, whole.tasks, strict=True)
        for k, (head, task, all_of_it) in enumerate(tasks):
            log_probs = self.network.read(encoded.last, head)
            plain = loss = self._loss(log_probs, frames, task)
            if middle := self.taught.intermediate:
                early = self._loss(self.network.read(encoded.middle, head), frames, task)
                loss = (1.0 - middle) * loss + middle * early
            if views > 1:
                apart = views * divergence(log_probs, frames) / task.target_lengths.sum()
                loss = loss + self.consistency * apart
            if self.denominators and self.global_step >= self.cycles[0]:
                competing = self.denominators[k](log_probs, frames).sum() / task.target_lengths.sum()
                loss = loss + (1.0 - middle) * self.taught.crf * competing
            writes.append(written(log_probs.detach(), frames, task))
            loss = loss * (weight * task.target_lengths.sum() / all_of_it.target_lengths.sum())
            if flat > 0.0:
                share = weight * frames.sum() / all_frames.sum()
                spread = spread_loss(log_probs, frames, task, self.hop)
                plain = (1.0 - flat) * plain + flat * share * spread
                loss = (1.0 - flat) * loss + flat * share * spread
            judged = plain.detach() if k == 0 else judged
            total = total + self.shares[k] * loss
        if self.logged:
            for name, (blank_rate, coverage) in zip(SUFFIXES, writes, strict=False):
                self.log_dict({f"blank_rate{name}": blank_rate, f"coverage{name}": coverage})
        self.alarm.step(self.global_step, self.running, writes)
        return self.watched(total, judged)

    def on_validation_epoch_start(self) -> None:
        """Reset the counts, and hear all of dev, so that each utterance is taken for one of its speaker's."""
        self.errors, self.reference = [0] * len(self.shares), [0] * len(self.shares)
        self.dev_loss = 0.0
        moments, speakers = [], []
        for batch in self.trainer.val_dataloaders or ():
            batch = self.transfer_batch_to_device(batch, self.device, 0)
            moments.append(self.network.hear(batch.waveforms, batch.samples).moments)
            speakers.append(batch.speakers)
        who = torch.cat(speakers)
        self.dev_moments = by_speaker(torch.cat(moments), who, max(1, int(who.max()) + 1))

    def validation_step(self, batch: Batch, index: int) -> None:
        """Count the errors of the best path."""
        heard = self.network.hear(batch.waveforms, batch.samples)
        assert batch.speakers is not None
        encoded = self.network.encode(heard, others(self.dev_moments, batch.speakers, heard.moments))
        frames = encoded.frames
        for k, (head, task) in enumerate(zip(self.network.heads, batch.tasks, strict=True)):
            log_probs = self.network.read(encoded.last, head)
            labels = int(task.target_lengths.sum())
            if k == 0:
                loss = self._loss(log_probs, frames, task)
                self.log("dev_loss", loss, batch_size=labels)
                self.dev_loss += loss.item() * labels
            paths = log_probs.argmax(2).cpu().numpy()
            lengths = task.target_lengths.cpu().numpy()
            references = np.split(task.targets.cpu().numpy(), np.cumsum(lengths)[:-1])
            counts = process_words(
                [" ".join(map(str, r)) for r in references],
                [" ".join(map(str, collapse(p[:n]))) for p, n in zip(paths, frames.tolist(), strict=True)],
            )
            self.errors[k] += counts.substitutions + counts.deletions + counts.insertions
            self.reference[k] += labels

    def on_validation_epoch_end(self) -> None:
        """Log the dev error in percent."""
        for name, errors, labels in zip(SUFFIXES, self.errors, self.reference, strict=False):
            self.log(f"dev_error{name}", 100.0 * errors / max(1, labels))
        # before masks and dropout the training loss is no match for that on dev, in the second cycle it is
        # another one
        if not self.calm and self.global_step <= self.cycles[0]:
            dev_loss = self.dev_loss / max(1, self.reference[0])
            self.alarm.validated(self.current_epoch + 1, dev_loss, self.running)


def train(
    network: Network,
    train: Utterances,
    dev: Utterances,
    settings: CtcSettings,
    seed: int,
    resume: Resume,
    taken: Collection[str],
) -> None:
    """Train `network` in place, and leave its weights in `resume.final`; see `fit`.

    `settings` are those `for_hours`; `taken` names the weights that another training has left.
    """
    total_s = float(np.maximum(train.seconds, MINIMUM_FRAMES * FRAME_SHIFT_S).sum())
    network.drop(dropout_for(total_s / 3600, settings))
    if settings.consistency:
        more = {"time_masks": round(TIME_MASKS * settings.time_masks)}
        network.mask.settings = settings.model_copy(update=more)
        console.print(f"two maskings of each batch, consistency {settings.consistency:g}", soft_wrap=True)
    if len(network.heads) > 1:
        console.print(
            f"one encoder for phonemes and characters, phonemes' share {settings.phoneme_share:g}",
            soft_wrap=True,
        )
    cycles = scheduled(total_s, settings, settings.again)
    batches = Batches(
        train.seconds,
        batch_for(total_s, settings),
        settings.speeds,
        seed,
        settings.alone,
        settings.shortest_first,
    )
    denominators = [
        Denominator((labels[k] for labels in train.labels), head.out_features, settings.crf_order)
        for k, head in enumerate(network.heads)
        if settings.again
    ]
    steps = steps_of(cycles, batches, settings)
    module = CtcTraining(network, settings, steps, seed, resume.key, denominators, taken, train.voices)
    watched = Batches(dev.seconds, 100.0, (1.0,), None)
    fit(
        module,
        Ahead(train, batches),
        sum(cycles),
        resume,
        Ahead(dev, watched),
        settings.processes,
    )
