"""Masks of training: as many, as long and where SpecAugment wants them, and nothing else is touched."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from asr.models.ctc.settings import CtcSettings
from asr.models.networks.augment import kept_time, mask_features, mask_time

SETTINGS = CtcSettings(time_masks=2, time_mask_s=0.3, channel_masks=3, channel_mask=0.2)
LENGTHS = torch.tensor([100, 400, 401, 1200])
FRAMES = 1216  # padded


def holes(kept: np.ndarray) -> list[int]:
    """Lengths of the stretches that are False."""
    return [len(list(some)) for value, some in itertools.groupby(kept) if not value]


def kept(seed: int, settings: CtcSettings = SETTINGS) -> np.ndarray:
    torch.manual_seed(seed)
    return kept_time(FRAMES, LENGTHS, settings).numpy()


@pytest.mark.parametrize("seed", range(20))
def test_each_started_four_seconds_get_time_masks(seed: int) -> None:
    """Two of up to 30 frames, in an utterance of 1 s of up to 7.5; none in the padding."""
    for row, length in zip(kept(seed), LENGTHS.tolist(), strict=True):
        masks, longest = 2 * math.ceil(length / 400), math.ceil(30 * min(1.0, length / 400))
        assert row[length:].all() and row.any()
        assert len(holes(row)) <= masks and sum(holes(row)) <= masks * longest


def test_time_masks_hide_what_their_settings_say() -> None:
    """On average half the greatest length each, as often as they do not meet, and all over the utterance."""
    some = np.stack([kept(seed) for seed in range(400)])
    hidden = (~some).sum(2).mean(0)
    np.testing.assert_allclose(hidden[1:3], (30.0, 58.0), rtol=0.06)  # of 2 and of 4 masks of 15 on average
    assert hidden[0] == pytest.approx(7.5, rel=0.06)
    where = (~some[:, 1, 50:350]).sum(0).reshape(3, 100).sum(1)
    np.testing.assert_allclose(where / where.mean(), 1.0, atol=0.15)


def test_without_masks_nothing_is_hidden() -> None:
    for off in ({"time_masks": 0}, {"time_mask_s": 0.0}):
        assert kept(0, SETTINGS.model_copy(update=off)).all()
    features = torch.ones(4, 1, 8, FRAMES)
    off = SETTINGS.model_copy(update={"time_masks": 0, "channel_mask": 0.0})
    assert mask_features(features, LENGTHS, off).all()


@pytest.mark.parametrize("seed", range(20))
def test_channels_are_masked_as_stretches_of_neighbours(seed: int) -> None:
    """Up to three of up to a fifth of the channels, over all frames and planes; the rest stays as it was."""
    torch.manual_seed(seed)
    features = torch.randn(4, 2, 40, FRAMES)
    torch.manual_seed(seed)
    masked = mask_features(features, LENGTHS, SETTINGS)
    hidden = masked == 0
    np.testing.assert_array_equal(masked[~hidden], features[~hidden])
    torch.testing.assert_close(hidden[:, 0], hidden[:, 1])
    over_time = kept(seed)  # drawn first
    for row, frames in zip(hidden[:, 0].numpy(), over_time, strict=True):
        assert row[:, ~frames].all()
        channels = ~row[:, frames]
        np.testing.assert_array_equal(channels.all(1), channels.any(1))
        assert len(holes(channels.all(1))) <= 3 and sum(holes(channels.all(1))) <= 3 * 8


def test_channel_masks_hide_what_their_settings_say() -> None:
    """Three of 4 of 40 channels on average, a bit less than 12 in all, since some meet.

    Those at the rim have fewer; masks begin at fractions of a channel, so that the first one has none.
    """
    off = SETTINGS.model_copy(update={"time_masks": 0})
    hidden = []
    for seed in range(200):
        torch.manual_seed(seed)
        hidden.append(mask_features(torch.ones(4, 1, 40, 5), torch.full((4,), 5), off)[:, 0, :, 0] == 0)
    some = torch.stack(hidden).double()
    assert some.sum(2).mean() == pytest.approx(40 * (1 - (1 - 0.1) ** 3), rel=0.06)
    share = some.mean((0, 1))
    assert share[0] == 0 and share[1:].min() > 0.05 and 0.2 < share[5:35].min() < share.max() < 0.35


def test_time_masks_of_the_middle_are_those_of_the_features() -> None:
    torch.manual_seed(3)
    masked = mask_time(torch.ones(4, FRAMES, 5), LENGTHS, SETTINGS)
    np.testing.assert_array_equal(masked.numpy().all(2), kept(3))
    np.testing.assert_array_equal(masked.numpy().any(2), kept(3))
