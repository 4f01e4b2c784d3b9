"""What every training of a network does in a step, under Lightning."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from asr.errors import ModelError
from asr.models.networks.muon import Muon
from asr.models.networks.network import Dropout, Mask, Network
from asr.models.networks.parallel import world
from asr.models.networks.schedule import rate_at
from asr.models.networks.settings import NetworkSettings
from asr.models.networks.speakers import Speakers

LOG_EVERY = 10  # steps
MUON_DECAY = 10.0  # times as much weight decay for what Muon moves


class Training(L.LightningModule):
    """AdamW, or Muon, under a one-cycle schedule; what is taught, and how that is judged, is left open.

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
    def alarms(self) -> list[str]:
        """What went wrong so far, each a line; nothing, where that is not watched."""
        return []

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
            what = f"the loss became {value} at step {self.global_step}"
            raise ModelError(what, fix="lower learning_rate")
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
        """Weight decay on matrices, most with Muon; learned filters and what was taken over move slower."""
        s = self.settings
        inner = {id(weight): gates for weight, gates in self.network.inner()} if s.optimizer == "muon" else {}
        groups: dict[tuple[str, bool, int], list[torch.nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                plain = "decayed" if parameter.ndim > 1 else "plain"
                kind = "filters" if name.startswith("frontend.") else plain
                group = kind, name in self.taken, inner.get(id(parameter), 0)
                groups.setdefault(group, []).append(parameter)
        parts: list[dict[str, Any]] = []
        for (kind, old, matrices), some in groups.items():
            rate = (s.filter_rate if kind == "filters" else 1.0) * (s.init_rate if old else 1.0)
            decay = s.weight_decay * (MUON_DECAY if matrices else 1.0) if kind == "decayed" else 0.0
            given = {"lr": s.learning_rate * rate, "weight_decay": decay, "matrices": matrices}
            parts.append({"params": some, **given})
        kind_of = Muon if inner else torch.optim.AdamW
        optimizer = kind_of(parts, betas=(0.9, 0.98), fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, self.cycles))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
