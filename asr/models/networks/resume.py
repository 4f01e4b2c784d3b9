"""What a killed or finished training leaves behind, and whether it is of the same training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from asr.config import Settings
from asr.files import content_hash, write_json
from asr.models.networks.batches import Utterances
from asr.models.networks.checkpoint import SafeCheckpointIO
from asr.progress import console
from asr.text.units import Units

SUMMARY = "training.json"  # in the folder of a finished training


def key_of(settings: Settings, units: Units, seed: int, *sets: Utterances) -> str:
    """Hash of all that a training depends on; of the audio, the lengths stand for the samples."""
    parts: list[bytes | str] = [settings.model_dump_json(), " ".join(units.symbols), str(seed)]
    for utterances in sets:
        parts += [" ".join(utterances.ids), utterances.starts.tobytes(), utterances.speakers.tobytes()]
        parts += [labels.tobytes() for tasks in utterances.labels for labels in tasks]
    return content_hash(*parts)


class Resume:
    """The files of one training.

    Parameters
    ----------
    workdir
        Holds ``checkpoints/`` and, once the training is over, ``training.json``.
    key
        Of this training, by `key_of`; files of another one are deleted.

    Attributes
    ----------
    last
        Checkpoint after the last validation, which a killed training goes on from.
    final
        Weights of the finished training.
    """

    def __init__(self, workdir: Path, key: str) -> None:
        self.workdir, self.key = workdir, key
        self.folder, self.summary = workdir / "checkpoints", workdir / SUMMARY
        self.last, self.final = self.folder / "last.ckpt", self.folder / "final.ckpt"
        # a finished training goes on from nothing: damage to `last` must not stop it
        wanted = (self.final,) if self.finished else (self.last, self.final)
        if any(SafeCheckpointIO().load_field(p, "key") != key for p in wanted if p.exists()):
            what = f"asr: {self.folder} is not of this data and these settings, training starts again"
            console.print(what, markup=False, soft_wrap=True)
            self.summary.unlink(missing_ok=True)
            shutil.rmtree(self.folder)
            shutil.rmtree(workdir / "tensorboard", ignore_errors=True)

    @property
    def finished(self) -> bool:
        """Whether this training is over; Lightning would go on with one that stopped early."""
        try:
            return json.loads(self.summary.read_text())["key"] == self.key and self.final.exists()
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return False

    @property
    def step(self) -> int:
        """How many steps were taken before `last`."""
        return int(SafeCheckpointIO().load_field(self.last, "global_step"))

    @property
    def alarms(self) -> list[str]:
        """What was said to go wrong in the finished training."""
        told: list[str] = json.loads(self.summary.read_text()).get("alarms", [])
        return told

    def load_final(self, network: nn.Module) -> None:
        """Give `network` the weights that training ended with."""
        state = SafeCheckpointIO().load_checkpoint(self.final)["state_dict"]
        own = "network."  # beside it there is what the training remembers of its speakers
        network.load_state_dict(
            {n.removeprefix(own): value for n, value in state.items() if n.startswith(own)}
        )

    def finish_from_last(self) -> None:
        """Take the weights of the last checkpoint for those that training ended with."""
        checkpoint = SafeCheckpointIO().load_checkpoint(self.last)
        SafeCheckpointIO().save_checkpoint({k: checkpoint[k] for k in ("key", "state_dict")}, self.final)
        said = checkpoint.get("alarm", {}).get("said", [])
        self.finish(checkpoint["epoch"] + 1, checkpoint["global_step"], said)

    def finish(self, epochs: int, steps: int, alarms: Sequence[str] = ()) -> None:
        """Write ``training.json``."""
        done = {"epochs": epochs, "steps": steps, "alarms": list(alarms), "key": self.key}
        write_json(self.summary, done)
