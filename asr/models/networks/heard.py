"""What the front end makes of a batch, and its normalisation over utterances and over voices."""

from __future__ import annotations

from typing import NamedTuple

import torch


def valid(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    """1 where a frame lies inside its utterance and 0 behind it, (batch, 1, longest) float32."""
    return (torch.arange(longest, device=lengths.device)[None] < lengths[:, None])[:, None].float()


class Heard(NamedTuple):
    """What the front end makes of a batch.

    Attributes
    ----------
    features
        (batch, channels, frames of 10 ms) float32.
    lengths
        (batch,) int64, how many of those frames count.
    frames
        (batch,) int64, how many frames of the encoder do.
    moments
        (batch, channels, 3) number, sum and sum of squares of the features of each channel.
    """

    features: torch.Tensor
    lengths: torch.Tensor
    frames: torch.Tensor
    moments: torch.Tensor


def moments_of(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Moments (batch, channels, 3), see `Heard`, of the first `lengths` frames of the features of each."""
    inside = valid(lengths, features.shape[2])
    features = features * inside
    count = inside.sum(2).expand(features.shape[:2])
    return torch.stack([count, features.sum(2), features.square().sum(2)], 2)


def normalised(heard: Heard, others: torch.Tensor | None = None) -> torch.Tensor:
    """Features with zero mean and unit variance in each channel, zero behind each utterance.

    `others` (batch, channels, 3): moments of what else is known of each speaker, which count as its own do.
    An utterance of three seconds alone does not tell a voice from what it says.
    """
    moments = heard.moments if others is None else heard.moments + others
    count, total, squares = moments.unbind(2)
    count = count.clamp(min=1.0)  # of a recording without samples
    mean = total / count
    scale = torch.rsqrt((squares / count - mean.square()).clamp(min=0.0) + 1e-2)
    inside = valid(heard.lengths, heard.features.shape[2])
    return (heard.features - mean[:, :, None]) * inside * scale[:, :, None]
