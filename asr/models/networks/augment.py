"""What training does to its features: masks over time and channels."""

from __future__ import annotations

import math

import torch

from asr.features.logmel import SHIFT_S
from asr.models.networks.settings import NetworkSettings


def mask_features(features: torch.Tensor, lengths: torch.Tensor, settings: NetworkSettings) -> torch.Tensor:
    """Zero random stretches of time and of neighbouring channels of normalised features.

    Parameters
    ----------
    features
        (batch, planes, channels, frames) of zero mean, one frame every 10 ms; all planes get the same masks.
    lengths
        (batch,) frames of each utterance; longer ones get more time masks.

    Reference
    ---------
    Park et al. 2019, "SpecAugment", section 2.
    """
    batch, _, channels, frames = features.shape
    keep = kept_time(frames, lengths, settings)[:, None]
    if settings.channel_masks and settings.channel_mask:
        # drawn on the CPU wherever the features are: the same masks everywhere
        width = torch.rand(batch, settings.channel_masks) * math.ceil(settings.channel_mask * channels)
        start = torch.rand(batch, settings.channel_masks) * (channels - width)
        width, start = width.to(features.device), start.to(features.device)
        position = torch.arange(channels, device=features.device)[None, None]
        hit = (position >= start[:, :, None]) & (position < (start + width)[:, :, None])
        keep = keep & ~hit.any(1)[:, :, None]
    return features * keep[:, None]


def mask_time(features: torch.Tensor, lengths: torch.Tensor, settings: NetworkSettings) -> torch.Tensor:
    """Zero random stretches of time of (batch, frames, size), as `mask_features` does."""
    return features * kept_time(features.shape[1], lengths, settings)[:, :, None]


def kept_time(frames: int, lengths: torch.Tensor, settings: NetworkSettings) -> torch.Tensor:
    """(batch, frames) bool, False within the time masks drawn for utterances of `lengths` frames of 10 ms."""
    batch, device = len(lengths), lengths.device
    if not (settings.time_masks and settings.time_mask_s):
        return torch.ones(batch, frames, dtype=torch.bool, device=device)
    seconds = lengths * SHIFT_S
    masks = settings.time_masks * torch.ceil(seconds / 4.0)
    # an utterance shorter than 4 s keeps the same share of its frames
    longest = settings.time_mask_s / SHIFT_S * (seconds / 4.0).clamp(max=1.0)
    most = int(masks.max())
    drawn = torch.arange(most, device=device)[None] < masks[:, None]
    width = torch.rand(batch, most).to(device) * longest[:, None] * drawn
    start = torch.rand(batch, most).to(device) * (lengths[:, None] - width).clamp(min=0)
    position = torch.arange(frames, device=device)[None, None]
    hit = (position >= start[:, :, None]) & (position < (start + width)[:, :, None])
    return ~hit.any(1)
