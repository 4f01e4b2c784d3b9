"""Names what goes wrong with a CTC training while it happens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from asr.models.networks.parallel import world
from asr.progress import console

LONGEST = 300  # steps that a collapse lasts before it is named, or a tenth of a short training
HARDLY_ANY = 0.05  # labels written for each that there is: below this, a network has collapsed to blank
RISEN = 1.0  # nats per label, and at least as much as the best
SETTLING = 20  # steps after masks and dropout begin until the smoothed loss is one with them
WORSE = 1.1  # dev loss beside its best that means learning by heart,
KNOWN = 0.7  # where the training loss, masks and dropout and all, is below this part of it
STATE = ("silent", "seen", "lowest", "settled", "best", "best_at", "said")


class Alarm:
    """Says each thing once, with what to try.

    Parameters
    ----------
    learning_rate
        For the message.
    begins, steps
        The step from which the network should write labels, and the number of all.
    units
        Labels there are, the blank too: a network that hears nothing costs about their logarithm a label.
    """

    def __init__(self, learning_rate: float, begins: int, steps: int, units: int) -> None:
        self.slower = f"a lower model.learning_rate (it is {learning_rate:g})"
        self.begins = begins
        self.deaf = math.log(units)
        self.longest = max(1, min(LONGEST, steps // 10))
        self.silent, self.seen = 0, -1
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

    def step(self, number: int, loss: float, blank_rate: float, coverage: float) -> None:
        """After every batch: its step, smoothed loss per label, share of blanks, labels for each true one.

        With two tasks the latter two are of the one that writes less. A loss of NaN, where nothing is
        smoothed yet, is passed over.
        """
        if number == self.seen:  # a step of several batches
            return
        self.seen = number
        if number >= max(self.begins, self.settled) and not math.isnan(loss):
            if number == self.settled and loss <= self.deaf:  # masks cost no more than hearing nothing does
                self.lowest = max(self.lowest, loss)
            self.lowest = min(self.lowest, loss)
            if loss > self.lowest + max(RISEN, self.lowest):
                what = f"diverges: the loss was {self.lowest:.2f}, in step {number} it is {loss:.2f}"
                self._say(what, self.slower)
        self.silent = self.silent + 1 if number >= self.begins and coverage < HARDLY_ANY else 0
        if self.silent >= self.longest:
            self._say(
                f"collapsed to blank for {self.silent} steps ({blank_rate:.1%} of the frames)",
                f"{self.slower}, a longer model.flat_start, and `asr check` for texts that are not those of "
                "the audio",
            )

    def begin_anew(self, number: int) -> None:
        """Masks and dropout begin with a step: the loss is soon another one, which has not risen yet."""
        self.settled = number + SETTLING

    def validated(self, epoch: int, dev_loss: float, loss: float) -> None:
        """After every validation: the pass, counted from 1, the loss on dev, the smoothed training loss."""
        if dev_loss < self.best:
            self.best, self.best_at = dev_loss, epoch
        elif dev_loss > WORSE * self.best and loss < KNOWN * dev_loss:
            best = f"{self.best:.3f} after {self.best_at}"
            self._say(
                f"learned by heart: dev loss {dev_loss:.3f} after pass {epoch}, {best}",
                "more hours, more model.dropout, or fewer passes (model.effort)",
            )

    def _say(self, what: str, fix: str) -> None:
        kind = what.partition(" ")[0]
        if kind not in self.said and world()[0] == 0:  # of several processes each sees its part of a batch
            self.said.append(kind)
            console.print(f"asr: training {what}: try {fix}", style="yellow", markup=False, soft_wrap=True)
