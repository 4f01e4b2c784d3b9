"""What a network knows of a speaker besides one utterance: moments of what the front end made of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import distributed, nn

from asr.models.networks.parallel import world

NOBODY = -1  # the number of a speaker of whom there is nothing else
KEPT = 0.95  # of the moments of a speaker, at each further utterance: about twenty count


def numbered(names: Sequence[str | None]) -> np.ndarray:
    """(utterances,) int64, a number for each speaker of several utterances; NOBODY for all others."""
    counts = Counter(name for name in names if name is not None)
    several = (name for name, count in counts.items() if count > 1)
    number: dict[str | None, int] = {name: k for k, name in enumerate(several)}
    return np.array([number.get(name, NOBODY) for name in names], dtype=np.int64)


def by_speaker(moments: torch.Tensor, speakers: torch.Tensor, number: int) -> torch.Tensor:
    """Sums (number, channels, 3) of the moments (batch, channels, 3) of each speaker's utterances."""
    known = speakers != NOBODY
    return moments.new_zeros(number, *moments.shape[1:]).index_add_(0, speakers[known], moments[known])


def others(sums: torch.Tensor, speakers: torch.Tensor, own: torch.Tensor | float = 0.0) -> torch.Tensor:
    """Moments (batch, channels, 3) that sums of `by_speaker` hold of speakers besides `own`; 0 of NOBODY."""
    return (sums[speakers.clamp(min=0)] - own) * (speakers != NOBODY)[:, None, None]


class Speakers(nn.Module):
    """Moments of what a training has heard of each speaker lately, in this pass and in those before it.

    Parameters
    ----------
    number
        Speakers, numbered from 0.
    channels
        Of the features.
    """

    def __init__(self, number: int, channels: int) -> None:
        super().__init__()
        self.moments: torch.Tensor
        # a part of checkpoints: a training that goes on knows as much as an unbroken one
        self.register_buffer("moments", torch.zeros(number, channels, 3))

    @torch.no_grad()
    def company(
        self, moments: torch.Tensor, speakers: torch.Tensor | None, part: bool = True
    ) -> torch.Tensor | None:
        """What was heard of the speakers (batch,) of some utterances before; then these count as heard.

        Where several processes share a batch, all of them hear all of it; one that has no `part` of it, since
        there are too few utterances, adds nothing.
        """
        if speakers is None or not len(self.moments):
            return None
        found = others(self.moments, speakers)
        new = speakers if part else torch.full_like(speakers, NOBODY)
        more = by_speaker(moments, new, len(self.moments))
        count = torch.bincount(new[new != NOBODY], minlength=len(self.moments))
        if world()[1] > 1:
            distributed.all_reduce(more)
            distributed.all_reduce(count)
        self.moments.mul_((KEPT**count)[:, None, None]).add_(more)
        return found
