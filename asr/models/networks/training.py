"""Training of networks under Lightning: schedule, checkpoints, progress."""

from __future__ import annotations

import contextlib
import csv
import functools
import logging
import math
import time
import warnings
from collections.abc import Collection, Sequence
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from asr.errors import ModelError, UsageError
from asr.models.networks.batches import Ahead, Batches
from asr.models.networks.checkpoint import SafeCheckpointIO
from asr.models.networks.network import Dropout, Mask, Network
from asr.models.networks.parallel import world
from asr.models.networks.resume import Resume
from asr.models.networks.settings import NetworkSettings
from asr.models.networks.speakers import Speakers
from asr.progress import bar, console

VALIDATIONS = 25  # at most, spread over the epochs: each costs a pass over dev
STEPS_A_PASS = 48  # a small set is cut into smaller batches, down to this many, or to SMALLEST_S seconds
SMALLEST_S = 15.0
RISE = 0.15  # share of a cycle in which the rate rises
LOG_EVERY = 10  # steps
AGAIN = 0.25  # peak of a second cycle beside that of the first


def scheduled(total_s: float, settings: NetworkSettings, again: float = 0.0) -> tuple[int, ...]:
    """Passes of each cycle over so many seconds of training audio, such that the last one is validated too.

    `again`: of a second cycle, as a share of those of the first; 0 for none.
    """
    cycles = [epochs_for(total_s / 3600, settings)]
    if again:
        cycles.append(max(1, round(again * cycles[0])))
    cycles[-1] += -sum(cycles) % validated(sum(cycles))
    return tuple(cycles)


def steps_of(passes: Sequence[int], batches: Batches, settings: NetworkSettings) -> list[int]:
    """Steps of so many passes each; the last step of a pass may have fewer batches than the others."""
    return [n * -(-len(batches) // settings.accumulate) for n in passes]


def validated(epochs: int) -> int:
    """Every how many passes dev is looked at."""
    return -(-epochs // VALIDATIONS)


def rate_at(step: int, cycles: Sequence[int]) -> float:
    """The learning rate as a part of its peak, at a step of cycles of so many steps each.

    In each it rises from a tenth of the cycle's peak, and falls to a thousandth, along cosines.

    Reference
    ---------
    Smith and Topin 2018, "Super-convergence".
    """
    first = step <= cycles[0] or len(cycles) == 1
    share = step / cycles[0] if first else (step - cycles[0]) / cycles[1]
    low, x = (0.1, share / RISE) if share < RISE else (0.001, (1.0 - share) / (1.0 - RISE))
    return (1.0 if first else AGAIN) * (low + (1.0 - low) * 0.5 * (1.0 - math.cos(math.pi * min(1.0, x))))


def epochs_for(hours: float, settings: NetworkSettings) -> int:
    """Passes over a training set of `hours`: 40, with few hours as many as make 1920 steps, at most 600.

    Beyond 2 h they fall with the square root of the hours. More passes learn few hours by heart:
    speechocean762, 0.1 h, seed 0: with 207 passes 75.7% phoneme errors on dev, with 80 70.2% (and characters
    taught as well).
    """
    if settings.epochs is not None:
        return settings.epochs
    least = STEPS_A_PASS * SMALLEST_S / 3600  # from where a pass has so many steps
    passes = 40.0 * max(1.0, least / hours) * math.sqrt(min(1.0, 2.0 / hours))
    return max(4, min(600, round(settings.effort * passes)))


def dropout_for(hours: float, settings: NetworkSettings) -> float:
    """Dropout for a training set of `hours`: 0.3 at half an hour, falling with their fifth root, at most 0.4.

    Best on dev of speechocean762 were 0.4 of 0.15, 0.3, 0.4 at 0.1 h and 0.3 of the same at 0.5 h.
    """
    if settings.dropout is not None:
        return settings.dropout
    return min(0.4, 0.3 * (0.5 / hours) ** 0.2)


def batch_for(total_s: float, settings: NetworkSettings) -> float:
    """Seconds of audio in a batch, of which a step may take several, for so many seconds of training.

    Few hours need many steps more than big ones: with 0.16 h of grid_s1, batches of 25 s instead of 72 s had
    29.3% instead of 42.7% phoneme errors on dev after the same 50 passes.
    """
    return min(settings.batch_s, max(SMALLEST_S, total_s / STEPS_A_PASS) / settings.accumulate)


def device_of(settings: NetworkSettings, processes: int = 1) -> Literal["cpu", "cuda"]:
    """What `auto` means on this machine: GPUs where there is one a process.

    Raises
    ------
    UsageError
        If GPUs are wanted that torch does not see.
    """
    enough = torch.cuda.is_available() and torch.cuda.device_count() >= processes
    if settings.device == "cuda" and not enough:
        what = f"model.device: torch sees {torch.cuda.device_count()} GPUs for {processes} processes"
        raise UsageError(what, fix="set model.device=cpu")
    return "cuda" if settings.device != "cpu" and enough else "cpu"


def precision_of(settings: NetworkSettings, device: str) -> Literal["32-true", "bf16-mixed"]:
    """What `auto` means on a device."""
    if settings.precision != "auto":
        return settings.precision
    cuda = device == "cuda"
    native = torch.cuda.is_bf16_supported(False) if cuda else torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if native else "32-true"


def averaged(average: torch.Tensor, weight: torch.Tensor, _: object, decay: float) -> torch.Tensor:
    """The next running average of a weight; counts and numbers that never change are taken as they are."""
    return average.lerp(weight, 1.0 - decay) if average.is_floating_point() else weight


class Training(L.LightningModule):
    """AdamW under a one-cycle schedule; what is taught, and how that is judged, is left open.

    Parameters
    ----------
    network
        To be trained.
    settings
        Rates and schedule.
    cycles
        Steps of each cycle of the learning rate, see `rate_at`.
    seed
        Of masks and dropout.
    key
        Which training this is, for `Resume`.
    taken
        Names of the weights that another training has left, from `transfer.take_over`.
    speakers
        Number of speakers that the batches know, numbered from 0.
    """

    def __init__(
        self,
        network: Network,
        settings: NetworkSettings,
        cycles: Sequence[int],
        seed: int,
        key: str,
        taken: Collection[str] = (),
        speakers: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.settings, self.cycles, self.seed, self.key = network, settings, cycles, seed, key
        self.taken, self.speakers = frozenset(taken), Speakers(speakers, settings.channels)
        layers = network.layers
        self.frozen = layers[: max(0, len(layers) - (settings.train_last or len(layers)))]
        for layer in self.frozen:
            layer.requires_grad_(False)
        self.running = math.nan

    @property
    def calm(self) -> bool:
        """Whether masks and dropout are still to begin."""
        return self.global_step < self.settings.calm_start * self.cycles[0]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down which training this is, for `Resume`, and what the next line of progress needs."""
        checkpoint |= {"key": self.key, "running": self.running}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the smoothed loss."""
        self.running = checkpoint["running"]

    @property
    def logged(self) -> bool:
        """Whether the loggers take what is logged at this step: to collect it costs a hundredth of a step."""
        return (self.global_step + 1) % LOG_EVERY == 0

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Nothing to do on a CPU; Lightning would look into every batch all the same."""
        if device.type == "cpu":
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Draw masks and dropout from (seed, batch), so that a resumed run equals an unbroken one."""
        number = self.current_epoch * int(self.trainer.num_training_batches) + batch_idx
        seed = self.seed * 1_000_003 + number + 500_009 * world()[0]
        # torch.manual_seed would format the stack, once for each kind of device that is absent
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(seed)
        calm = self.calm
        for part in self.network.modules():
            if isinstance(part, Dropout | Mask):
                part.train(not calm)
        for layer in self.frozen:  # the statistics of their normalisation stay, too
            layer.eval()

    def watched(self, loss: torch.Tensor, judged: torch.Tensor | None = None) -> torch.Tensor:
        """The loss of a step, logged; ModelError if it is no number.

        `judged`: the part of it that is smoothed, to be compared with the loss on dev; None: all of it.
        """
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(f"the loss became {value} at step {self.global_step}", fix="lower learning_rate")
        latest = value if judged is None else judged.item()
        self.running = latest if math.isnan(self.running) else 0.95 * self.running + 0.05 * latest
        if self.logged:
            self.log("loss", value, sync_dist=world()[1] > 1)
        return loss

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: object, **__: object) -> None:
        """Clip to a global norm of one; Lightning's own clipping refuses fused optimizers under bfloat16."""
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if self.logged:
            self.log("gradient_norm", norm)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Weight decay on matrices alone; learned filters and what was taken over move slower."""
        s = self.settings
        groups: dict[tuple[str, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                plain = "decayed" if parameter.ndim > 1 else "plain"
                kind = "filters" if name.startswith("frontend.") else plain
                groups.setdefault((kind, name in self.taken), []).append(parameter)
        rates = {
            (kind, old): s.learning_rate
            * (s.filter_rate if kind == "filters" else 1.0)
            * (s.init_rate if old else 1.0)
            for kind, old in groups
        }
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": some,
                    "lr": rates[kind, old],
                    "weight_decay": s.weight_decay if kind == "decayed" else 0.0,
                }
                for (kind, old), some in groups.items()
            ],
            betas=(0.9, 0.98),
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, self.cycles))
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
        if not trainer.is_global_zero:
            return
        self.bar = bar()
        self.bar.start()
        self.task = self.bar.add_task("training", total=trainer.max_epochs, completed=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Say where training stands."""
        if hasattr(self, "bar"):
            self.bar.advance(self.task)
        minutes = (time.monotonic() - self.started) / 60
        done = trainer.current_epoch + 1
        if "dev_error" not in trainer.callback_metrics and done % (trainer.check_val_every_n_epoch or 1) == 0:
            loss = getattr(module, "running", math.nan)
            console.print(f"epoch {done}/{trainer.max_epochs}: train loss {loss:.3f}, {minutes:.1f} min")
        # their clocks differ: where several processes train, the first to be late stops all
        if self.max_minutes is not None and trainer.strategy.reduce_boolean_decision(
            minutes >= self.max_minutes, all=False
        ):
            if trainer.is_global_zero:
                console.print(f"training stops: {minutes:.1f} of {self.max_minutes} minutes used")
            trainer.should_stop = True

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Print loss and dev error."""
        m = trainer.callback_metrics
        if trainer.sanity_checking or "dev_error" not in m or not trainer.is_global_zero:
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


class Final(Callback):
    """Leaves the weights that training ends with; where several processes train, in one of them."""

    def __init__(self, resume: Resume) -> None:
        self.resume = resume

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """After the last pass, while all processes are there."""
        trainer.save_checkpoint(self.resume.final, weights_only=True)
        if trainer.is_global_zero:
            self.resume.finish(trainer.current_epoch, trainer.global_step)


class EpochOf(Callback):
    """Tells the batch sampler which pass it is."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Runs before the epoch's batches are drawn."""
        self.batches.set_epoch(trainer.current_epoch)


def _go_on(metrics: CSVLogger, resume: Resume) -> None:
    """Keep what was logged up to the checkpoint: Lightning's logger begins by deleting the file."""
    earlier: list[dict[str, Any]] = []
    path, taken = resume.workdir / "metrics.csv", resume.step
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8", newline="") as f:
        # a line that was being written when the training was killed may end before its step
        earlier = [
            row for row in csv.DictReader(f) if (row["step"] or "").isdigit() and int(row["step"]) < taken
        ]
    metrics.experiment.metrics = earlier
    metrics.save()


def fit(
    module: Training,
    train: Ahead,
    epochs: int,
    resume: Resume,
    dev: Ahead | None = None,
    processes: int = 1,
) -> None:
    """Train `module.network` in place, and leave its weights in `resume.final`.

    There is no early stopping: the rates fall to nothing within the passes that the hours are worth. A later
    call goes on from `resume.last`, which every validation leaves, or what would be one.

    Parameters
    ----------
    module
        Says what is learned.
    train
        Its batches are told which pass it is.
    epochs
        Passes of all cycles together.
    resume
        Where checkpoints go.
    dev
        What the module's ``dev_error`` is measured on; None: nothing is.
    processes
        That train side by side, each on its part of every batch; the module must take that part itself.

    Raises
    ------
    ModelError
        If the loss stops being a number, or the checkpoint is damaged.
    """
    module.network.train()  # Lightning keeps the mode it finds
    every = validated(epochs)
    # not after every pass: writing one takes as long as a pass over a tiny set
    last = ModelCheckpoint(
        resume.folder, "last", every_n_epochs=every, save_top_k=1, enable_version_counter=False,
        save_on_train_epoch_end=True,
    )  # fmt: skip
    callbacks: list[Callback] = [
        EpochOf(train.batches),
        Report(module.settings.max_minutes),
        last,
        Final(resume),
    ]
    what = f"{epochs} passes of {len(train)} batches of about {train.batches.batch_s:.0f} s"
    console.print(f"{what}, dropout {module.network.dropout.share:.2f}", soft_wrap=True)
    device = device_of(module.settings, processes)
    metrics = CSVLogger(resume.workdir, "", "", flush_logs_every_n_steps=1)
    if going_on := resume.last.exists():
        console.print(f"resuming from {resume.last}")
        _go_on(metrics, resume)
    if decay := module.settings.average:  # before what keeps the final weights
        callbacks.insert(0, WeightAveraging(device, avg_fn=functools.partial(averaged, decay=decay)))
    backend = "nccl" if device == "cuda" else "gloo"
    together = DDPStrategy(start_method="spawn", process_group_backend=backend) if processes > 1 else "auto"
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            accelerator=device,
            devices=processes,
            strategy=together,
            precision=precision_of(module.settings, device),
            accumulate_grad_batches=module.settings.accumulate,
            max_epochs=epochs,
            check_val_every_n_epoch=every,
            num_sanity_val_steps=0,
            callbacks=callbacks,
            plugins=[SafeCheckpointIO()],
            logger=[
                metrics,
                TensorBoardLogger(resume.workdir, "tensorboard", ""),
            ],
            log_every_n_steps=LOG_EVERY,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            reload_dataloaders_every_n_epochs=0,
        )
        trainer.fit(module, train, dev, ckpt_path=resume.last if going_on else None, weights_only=False)
    if not resume.finished and going_on:  # it was killed after its last pass: nothing was left to train
        resume.finish_from_last()
