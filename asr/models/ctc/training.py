"""Training of the network under Lightning."""

from __future__ import annotations

import itertools
import logging
import math
import time
import warnings
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from jiwer import process_words
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch.utils.data import DataLoader

from asr.errors import ModelError
from asr.models.ctc.batches import Batch, Batches, Utterances
from asr.models.ctc.checkpoint import SafeCheckpointIO
from asr.models.ctc.denominator import Denominator
from asr.models.ctc.network import FRAME_SHIFT_S, MINIMUM_FRAMES, Dropout, Mask, Network
from asr.models.ctc.resume import Resume
from asr.models.ctc.settings import CtcSettings
from asr.progress import bar, console

VALIDATIONS = 20  # at most, spread over the epochs: each costs a pass over dev
STEPS_A_PASS = 48  # a small set is cut into smaller batches, down to this many, or to SMALLEST_S seconds
SMALLEST_S = 15.0
QUIET = 1e-3  # frames 30 dB below the loudest of their utterance hold no speech, says the flat start


def epochs_for(hours: float, settings: CtcSettings) -> int:
    """Passes over a training set of `hours`: fewer hours, more passes, but less work in all.

    40 passes at 2 h; passes grow with the inverse square root of the hours, and end at 600.
    """
    if settings.epochs is not None:
        return settings.epochs
    return max(4, min(600, round(settings.effort * 40.0 * math.sqrt(2.0 / hours))))


def batch_for(total_s: float, settings: CtcSettings) -> float:
    """Seconds of audio in a batch, for so many seconds of training.

    Few hours need many steps more than big ones: with 0.16 h of grid_s1, batches of 25 s instead of 72 s had
    29.3% instead of 42.7% phoneme errors on dev after the same 50 passes.
    """
    return min(settings.batch_s, max(SMALLEST_S, total_s / STEPS_A_PASS))


def precision_of(settings: CtcSettings) -> Literal["32-true", "bf16-mixed"]:
    """What `auto` means on this machine."""
    if settings.precision != "auto":
        return settings.precision
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"


def collapse(labels: np.ndarray, blank: int = 0) -> list[int]:
    """Best path (frames,) without repeats and blanks."""
    return [int(k) for k, _ in itertools.groupby(labels) if k != blank]


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
    inside = torch.arange(longest, device=frames.device)[None] < frames[:, None]
    samples = torch.nn.functional.pad(batch.waveforms, (0, longest * hop - batch.waveforms.shape[1]))
    energy = samples.view(len(samples), longest, hop).square().mean(2)
    loud = inside & (energy > energy.amax(1, keepdim=True) * QUIET)
    counts = batch.target_lengths[:, None]
    rank = (loud.cumsum(1) - 1).clamp(min=0) * counts // loud.sum(1, keepdim=True).clamp(min=1)
    firsts = batch.target_lengths.cumsum(0)[:, None] - counts
    labels = torch.where(loud, batch.targets[firsts + rank.minimum(counts - 1)], 0)
    return -(log_probs.gather(2, labels[:, :, None])[:, :, 0] * inside).sum() / inside.sum()


class Training(L.LightningModule):
    """CTC loss after a flat start, AdamW under a one-cycle schedule, error rate of the best path on dev.

    Reference
    ---------
    Graves et al. 2006, "Connectionist temporal classification"; Smith and Topin 2018, "Super-convergence".
    """

    def __init__(
        self,
        network: Network,
        settings: CtcSettings,
        steps: int,
        seed: int,
        key: str,
        denominator: Denominator | None = None,
    ) -> None:
        super().__init__()
        self.network, self.settings, self.steps, self.seed, self.key = network, settings, steps, seed, key
        self.denominator = denominator
        self.hop = round(FRAME_SHIFT_S * settings.sample_rate)
        self.errors = self.reference = 0
        self.running = math.nan

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down which training this is, for `Resume`."""
        checkpoint["key"] = self.key

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Draw masks and dropout from (seed, step), so that a resumed run equals an unbroken one."""
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)
        calm = self.global_step < self.settings.calm_start * self.steps
        for part in self.network.modules():
            if isinstance(part, Dropout | Mask):
                part.train(not calm)

    def _loss(self, log_probs: torch.Tensor, frames: torch.Tensor, batch: Batch) -> torch.Tensor:
        sums = torch.nn.functional.ctc_loss(
            log_probs.transpose(0, 1), batch.targets, frames, batch.target_lengths, reduction="none"
        )
        return sums.sum() / batch.target_lengths.sum()

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """CTC loss and log Z in nats per label; during the flat start mixed with `spread_loss`."""
        log_probs, frames = self.network(batch.waveforms, batch.samples)
        loss = self._loss(log_probs, frames, batch)
        flat = 1.0 - self.global_step / max(1.0, self.settings.flat_start * self.steps)
        if self.denominator is not None:
            others = self.denominator(log_probs, frames).sum() / batch.target_lengths.sum()
            loss = loss + self.settings.crf * others
        if flat > 0.0:
            loss = (1.0 - flat) * loss + flat * spread_loss(log_probs, frames, batch, self.hop)
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(f"the loss became {value} at step {self.global_step}", fix="lower learning_rate")
        self.running = value if math.isnan(self.running) else 0.95 * self.running + 0.05 * value
        self.log("loss", value)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Reset the counts."""
        self.errors = self.reference = 0

    def validation_step(self, batch: Batch, index: int) -> None:
        """Count the errors of the best path."""
        log_probs, frames = self.network(batch.waveforms, batch.samples)
        self.log("dev_loss", self._loss(log_probs, frames, batch), batch_size=int(batch.target_lengths.sum()))
        paths = log_probs.argmax(2).numpy()
        references = np.split(batch.targets.numpy(), np.cumsum(batch.target_lengths.numpy())[:-1])
        counts = process_words(
            [" ".join(map(str, r)) for r in references],
            [" ".join(map(str, collapse(p[:n]))) for p, n in zip(paths, frames.tolist(), strict=True)],
        )
        self.errors += counts.substitutions + counts.deletions + counts.insertions
        self.reference += int(batch.target_lengths.sum())

    def on_validation_epoch_end(self) -> None:
        """Log the dev error in percent."""
        self.log("dev_error", 100.0 * self.errors / max(1, self.reference))

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: object, **__: object) -> None:
        """Clip to a global norm of one; Lightning's own clipping refuses fused optimizers under bfloat16."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Weight decay on matrices alone; the learned filters move slower and undecayed."""
        s = self.settings
        groups: dict[str, list[torch.nn.Parameter]] = {"decayed": [], "plain": [], "filters": []}
        for name, parameter in self.network.named_parameters():
            if name.startswith("frontend."):
                groups["filters"].append(parameter)
            else:
                groups["decayed" if parameter.ndim > 1 else "plain"].append(parameter)
        rates = {
            "decayed": s.learning_rate,
            "plain": s.learning_rate,
            "filters": s.learning_rate * s.filter_rate,
        }
        used = [name for name in groups if groups[name]]
        optimizer = torch.optim.AdamW(
            [
                {"params": groups[name], "weight_decay": s.weight_decay if name == "decayed" else 0.0}
                for name in used
            ],
            lr=s.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [max(rates[name], 1e-12) for name in used], total_steps=self.steps + 1, pct_start=0.15,
            cycle_momentum=False, div_factor=10.0, final_div_factor=100.0,
        )  # fmt: skip
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Report(Callback):
    """Progress bar and one line a validation on stderr; stops at the limit of minutes.

    Minutes are those of all calls together: checkpoints hold what was used before them.
    """

    def __init__(self, max_minutes: float | None) -> None:
        self.max_minutes = max_minutes
        self.started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Part of every checkpoint."""
        return {"seconds": time.monotonic() - self.started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Called by Lightning when a training goes on."""
        self.started -= state_dict["seconds"]

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Open the bar."""
        self.bar = bar()
        self.bar.start()
        self.task = self.bar.add_task("training", total=trainer.max_epochs, completed=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Say where training stands."""
        self.bar.advance(self.task)
        minutes = (time.monotonic() - self.started) / 60
        if self.max_minutes is not None and minutes >= self.max_minutes:
            console.print(f"training stops: {minutes:.1f} of {self.max_minutes} minutes used")
            trainer.should_stop = True

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Print loss and dev error."""
        m = trainer.callback_metrics
        if trainer.sanity_checking or "dev_error" not in m:
            return
        minutes = (time.monotonic() - self.started) / 60
        console.print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: "
            f"train loss {getattr(module, 'running', math.nan):.3f}, dev loss {float(m['dev_loss']):.3f}, "
            f"dev error {float(m['dev_error']):.2f}%, {minutes:.1f} min"
        )

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Close the bar, also after an error."""
        if hasattr(self, "bar"):
            self.bar.stop()


class EpochOf(Callback):
    """Tells the batch sampler which pass it is."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Runs before the epoch's batches are drawn."""
        self.batches.set_epoch(trainer.current_epoch)


def _loader(utterances: Utterances, batches: Batches) -> DataLoader[Batch]:
    return DataLoader(utterances, sampler=batches, batch_size=None)


def train(
    network: Network,
    train: Utterances,
    dev: Utterances,
    settings: CtcSettings,
    seed: int,
    resume: Resume,
) -> None:
    """Train `network` in place, and leave the weights of the best dev error in `resume.best`.

    Every validation leaves `resume.last`; a later call goes on from there.

    Raises
    ------
    ModelError
        If the loss stops being a number, or the checkpoint is damaged.
    """
    total_s = float(np.maximum(train.seconds, MINIMUM_FRAMES * FRAME_SHIFT_S).sum())
    epochs = epochs_for(total_s / 3600, settings)
    every = max(1, epochs // VALIDATIONS)
    epochs = -(-epochs // every) * every  # the last epoch is validated too
    batches = Batches(train.seconds, batch_for(total_s, settings), settings.speeds, seed)
    network.train()  # Lightning keeps the mode it finds
    units = network.output.out_features
    denominator = Denominator(train.labels, units, settings.crf_order) if settings.crf else None
    module = Training(network, settings, epochs * len(batches), seed, resume.key, denominator)
    keep = ModelCheckpoint(
        resume.folder, "best", monitor="dev_error", mode="min", save_top_k=1, enable_version_counter=False,
        save_weights_only=True,
    )  # fmt: skip
    # not after every pass: writing one takes as long as a pass over a tiny set
    last = ModelCheckpoint(
        resume.folder, "last", every_n_epochs=every, save_top_k=1, enable_version_counter=False,
        save_on_train_epoch_end=True,
    )  # fmt: skip
    patience = settings.patience or max(5, VALIDATIONS // 2)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            accelerator="cpu",
            precision=precision_of(settings),
            max_epochs=epochs,
            check_val_every_n_epoch=every,
            num_sanity_val_steps=0,
            callbacks=[
                EpochOf(batches),
                keep,
                EarlyStopping("dev_error", patience=patience),
                Report(settings.max_minutes),
                last,
            ],
            plugins=[SafeCheckpointIO()],
            logger=[
                CSVLogger(resume.workdir, "", "", flush_logs_every_n_steps=1),
                TensorBoardLogger(resume.workdir, "tensorboard", ""),
            ],
            log_every_n_steps=10,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            reload_dataloaders_every_n_epochs=0,
        )
        going_on = resume.last.exists()
        if going_on:
            console.print(f"resuming from {resume.last}")
        trainer.fit(
            module,
            _loader(train, batches),
            _loader(dev, Batches(dev.seconds, 100.0, (1.0,), None)),
            ckpt_path=resume.last if going_on else None,
            weights_only=False,
        )
    resume.finish(trainer.current_epoch, trainer.global_step)
