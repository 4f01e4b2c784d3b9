"""Names what goes wrong with a CTC training while it happens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from asr.models.networks.parallel import world
from asr.progress import ALARM, console

LONGEST = 300  # steps that a collapse lasts before it is named, or a tenth of a cycle that is short
SHORTEST = 5  # but no less: a few batches may be of few words
HARDLY_ANY = 0.05  # labels written for each that there is: below this, a network has collapsed to blank
RISEN = 1.0  # nats per label, and at least as much as the best
SETTLING = 20  # steps after masks and dropout begin until the smoothed loss is one with them
WORSE = 1.1  # dev loss beside its best that means learning by heart,
KNOWN = 0.7  # where the training loss, masks and dropout and all, is below this part of it
HOPELESS = 50.0  # times what hearing nothing costs, from the first step on
# what changes in a training
STATE = ("silent", "seen", "lowest", "settled", "best", "best_at", "said")


class Alarm:
    """Says each thing once, with what to try; `said` holds what was.

    Parameters
    ----------
    learning_rate
        For the message.
    begins
        The step from which the network should write labels.
    cycles
        Steps of each cycle of the learning rate; losses are those of the first.
    units
        Labels of the first task, the blank too: a network that hears nothing costs about their logarithm a
        label.
    tasks
        What they are, "phonemes" or "characters", first the one whose losses these are.
    """

    def __init__(
        self, learning_rate: float, begins: int, cycles: Sequence[int], units: int, tasks: Sequence[str]
    ) -> None:
        self.lower_rate = f"a lower model.learning_rate (it is {learning_rate:g})"
        self.begins, self.first_cycle, self.tasks = begins, cycles[0], tuple(tasks)
        self.deaf = math.log(units)
        self.longest = [max(SHORTEST, min(LONGEST, steps // 10)) for steps in cycles]
        self.silent, self.seen = [0] * len(self.tasks), -1
        self.lowest, self.settled = math.inf, -1
        self.best, self.best_at = math.inf, 0
        self.said: list[str] = []

    @property
    def state(self) -> dict[str, Any]:
        """What a resumed training needs to say what an unbroken one says, and nothing twice."""
        return {name: getattr(self, name) for name in STATE}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        for name in STATE:
            setattr(self, name, state[name])
        self.said = [line for line in self.said if ": try " in line]  # an older one kept single words

    def step(self, number: int, loss: float, written: Sequence[tuple[float, float]]) -> None:
        """After every batch: its step, smoothed loss per label, and of each task what it has written.

        That is its share of blanks, and its labels for each true one. A loss of NaN, where nothing is
        smoothed yet, and those of the second cycle, whose training is of another loss, are passed over.
        """
        if number == self.seen:  # a step of several batches
            return
        self.seen = number
        cycle = int(number >= self.first_cycle)
        watched = not cycle and not math.isnan(loss)
        if watched and loss > HOPELESS * self.deaf:  # whatever it was before
            what = f": in step {number} the smoothed loss is {loss:.2f}"
            self._say("diverges", f"{what}, hearing nothing costs about {self.deaf:.2f}", self.lower_rate)
        if watched and number >= max(self.begins, self.settled):
            if number == self.settled and loss <= self.deaf:  # masks cost no more than hearing nothing does
                self.lowest = max(self.lowest, loss)
            self.lowest = min(self.lowest, loss)
            if loss > self.lowest + max(RISEN, self.lowest):
                what = f": the smoothed loss was {self.lowest:.2f}, in step {number} it is {loss:.2f}"
                self._say("diverges", what, self.lower_rate)
        for k, (task, (blank_rate, coverage)) in enumerate(zip(self.tasks, written, strict=True)):
            self.silent[k] = self.silent[k] + 1 if number >= self.begins and coverage < HARDLY_ANY else 0
            if self.silent[k] >= self.longest[cycle]:
                which = f" ({task})" if len(self.tasks) > 1 else ""
                self._say(
                    f"collapsed to blank{which}",
                    f" for {self.silent[k]} steps ({blank_rate:.1%} of the frames)",
                    f"{self.lower_rate}, a longer model.flat_start, and `asr check` for texts that are not "
                    "those of the audio",
                )

    def begin_anew(self, number: int) -> None:
        """Masks and dropout begin with a step: the loss is soon another one, which has not risen yet."""
        self.settled = number + SETTLING

    def validated(self, epoch: int, dev_loss: float, loss: float) -> None:
        """After a validation: the pass, counted from 1, the first task's loss on dev and in training.

        What dev loses when masks begin is no learning by heart, nor is a loss above that of hearing nothing.
        """
        if self.seen < self.settled:
            return
        if dev_loss < self.best:
            self.best, self.best_at = dev_loss, epoch
        elif dev_loss > WORSE * self.best and loss < min(self.deaf, KNOWN * dev_loss):
            best = f"{self.best:.3f} after {self.best_at}"
            self._say(
                "learned by heart",
                f": dev loss {dev_loss:.3f} after pass {epoch}, {best}",
                "more hours, more model.dropout, or fewer passes (model.effort)",
            )

    def _say(self, kind: str, what: str, fix: str) -> None:
        known = any(line.startswith(kind) for line in self.said)
        if not known and world()[0] == 0:  # of several processes each sees its part of a batch
            self.said.append(f"{kind}{what}: try {fix}")
            console.print(ALARM + self.said[-1], style="yellow", markup=False, soft_wrap=True)
