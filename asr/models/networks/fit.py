"""The run of a training under Lightning: device, checkpoints, progress, logs."""

from __future__ import annotations

import contextlib
import csv
import functools
import logging
import signal
import time
import warnings
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from asr.errors import ModelError
from asr.models.networks.batches import Ahead, Batches
from asr.models.networks.checkpoint import SafeCheckpointIO
from asr.models.networks.machine import device_of, precision_of
from asr.models.networks.resume import Resume
from asr.models.networks.schedule import validated
from asr.models.networks.training import LOG_EVERY, Training
from asr.progress import EPOCH, bar, console


def averaged(average: torch.Tensor, weight: torch.Tensor, _: object, decay: float) -> torch.Tensor:
    """The next running average of a weight; counts and numbers that never change are taken as they are."""
    return average.lerp(weight, 1.0 - decay) if average.is_floating_point() else weight


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
        assert isinstance(module, Training)
        if hasattr(self, "bar"):
            self.bar.advance(self.task)
        minutes = (time.monotonic() - self.started) / 60
        done = trainer.current_epoch + 1
        if "dev_error" not in trainer.callback_metrics and done % (trainer.check_val_every_n_epoch or 1) == 0:
            console.print(
                f"{EPOCH}{done}/{trainer.max_epochs}: train loss {module.running:.3f}, {minutes:.1f} min",
                soft_wrap=True,
            )
        # their clocks differ: where several processes train, the first to be late stops all
        if self.max_minutes is not None and trainer.strategy.reduce_boolean_decision(
            minutes >= self.max_minutes, all=False
        ):
            if trainer.is_global_zero:
                console.print(
                    f"training stops: {minutes:.1f} of {self.max_minutes} minutes used", soft_wrap=True
                )
            trainer.should_stop = True

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Print loss and dev error."""
        assert isinstance(module, Training)
        m = trainer.callback_metrics
        if trainer.sanity_checking or "dev_error" not in m or not trainer.is_global_zero:
            return
        minutes = (time.monotonic() - self.started) / 60
        console.print(
            f"{EPOCH}{trainer.current_epoch + 1}/{trainer.max_epochs}: "
            f"train loss {module.running:.3f}, dev loss {float(m['dev_loss']):.3f}, "
            f"dev error {float(m['dev_error']):.2f}%, {minutes:.1f} min",
            soft_wrap=True,
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
        assert isinstance(module, Training)
        trainer.save_checkpoint(self.resume.final, weights_only=True)
        if trainer.is_global_zero:
            self.resume.finish(trainer.current_epoch, trainer.global_step, module.alarms)


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


def _killed(trainer: L.Trainer) -> int | None:
    """Which of several processes a SIGKILL ended, as of a system out of memory, counted from 1."""
    started = getattr(trainer.strategy.launcher, "procs", ())
    return next((k for k, p in enumerate(started, 1) if p.exitcode == -signal.SIGKILL), None)


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
        If the loss stops being a number, the checkpoint is damaged, or one of several processes is killed.
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
        console.print(f"resuming from {resume.last}", soft_wrap=True)
    if decay := module.settings.average:  # before what keeps the final weights
        callbacks.insert(0, WeightAveraging(device, avg_fn=functools.partial(averaged, decay=decay)))
    backend = "nccl" if device == "cuda" else "gloo"
    together = DDPStrategy(start_method="spawn", process_group_backend=backend) if processes > 1 else "auto"
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if going_on:
            _go_on(metrics, resume)
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
        try:
            trainer.fit(module, train, dev, ckpt_path=resume.last if going_on else None, weights_only=False)
        except SystemExit as e:
            if isinstance(e, SIGTERMException):
                raise
            raise KeyboardInterrupt from e  # what Lightning made of Ctrl-C
        except (ProcessExitedException, ProcessRaisedException) as e:
            # the text of one that raised ends with the last line of its traceback
            kind, _, said = str(e).strip().rpartition("\n")[2].partition(": ")
            if kind.startswith("asr.errors."):
                raise ModelError(said) from e
            # those that it leaves without an answer raise, and may be seen first
            if killed := _killed(trainer):
                fix = "run it again; if memory ran out, with less model.batch_s and more model.accumulate"
                raise ModelError(f"process {killed} of {processes} was killed", fix=fix) from e
            raise
    if not resume.finished and going_on:  # it was killed after its last pass: nothing was left to train
        resume.finish_from_last()
