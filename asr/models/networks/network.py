"""The network: waveform to log posteriors, by an encoder of 25 frames per second."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import torch
from torch import nn

from asr.features.logmel import SHIFT_S, LogMel
from asr.features.parametric import ConvStack, LeafFilterbank, SincFilterbank
from asr.features.waveform import LearnedFilterbank
from asr.models.networks.augment import mask_features, mask_time
from asr.models.networks.heard import Heard, moments_of, normalised, valid
from asr.models.networks.parallel import BatchNorm
from asr.models.networks.settings import NetworkSettings

# oneDNN keeps compiled kernels and their buffers for a thousand shapes by default: gigabytes, as batches vary
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")

SUBSAMPLING = 4
FRAME_SHIFT_S = SHIFT_S * SUBSAMPLING
# a word of 0.15 s still gets the frames that its letters and blanks need; the rest of them is masked padding
MINIMUM_FRAMES = 20
PLANES = 32
FRONTENDS: dict[str, Callable[[int, int], nn.Module]] = {
    "waveform": LearnedFilterbank,
    "random": functools.partial(LearnedFilterbank, start="random"),
    "sinc": SincFilterbank,
    "leaf": LeafFilterbank,
    "stack": ConvStack,
    "logmel": LogMel,
}


def frames_of(samples: int, sample_rate: int) -> int:
    """Number of output frames of an utterance of `samples` samples."""
    return max(MINIMUM_FRAMES, -(-samples // round(FRAME_SHIFT_S * sample_rate)))


def padded(frames: int) -> int:
    """So many frames, or the next multiple of 32: widths at which oneDNN computes gradients right.

    Its bfloat16 kernel for the weights of the second strided convolution (torch 2.11, AMX, two threads or
    more) reads memory that nothing was written to where an output is 1 to 2k - 1 frames short of 32k. The
    numbers there count for nothing, but a bit pattern that is no number makes the gradient NaN.
    """
    blocks = -(-frames // 32)
    return 32 * blocks if 0 < 32 * blocks - frames < 2 * blocks else frames


class Dropout(nn.Module):
    """Zeroes a share of the numbers in training and scales up the rest.

    A random byte decides for each: torch's own dropout took a tenth of the training time.

    Parameters
    ----------
    share
        Probability of zero, to the nearest 256th.
    """

    def __init__(self, share: float = 0.0) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Numbers of any shape to the same."""
        zeros = round(256 * self.share)
        if not self.training or not zeros:
            return x
        # random_ fills 64-bit words
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()] >= zeros
        return x * (keep.to(x.dtype) * (256 / (256 - zeros))).view(x.shape)


class Mask(nn.Module):
    """Masks over time and channels in training, by `augment.mask_features`."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Features (batch, planes, channels, frames) of `lengths` (batch,) frames each to the same."""
        return mask_features(features, lengths, self.settings) if self.training else features


class TimeMask(Mask):
    """Masks over time alone, of features (batch, frames, size), by `augment.mask_time`."""

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Features of `lengths` (batch,) frames each to the same."""
        return mask_time(features, lengths, self.settings) if self.training else features


class Subsample(nn.Module):
    """Two strided convolutions over (channel, time) planes: 100 to 25 frames per second, then a projection.

    Neighbouring channels share weights, so a formant may move a little between speakers.

    Parameters
    ----------
    channels
        Rows of the input.
    width
        Channels of the output.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        # four taps of stride two keep output frame t centred on [t, t + 1)
        self.first = nn.Conv2d(2, PLANES, (3, 4), stride=2, padding=1)
        self.second = nn.Conv2d(PLANES, PLANES, (3, 4), stride=2, padding=1)
        rows = channels
        for _ in range(2):
            rows = (rows + 2 - 3) // 2 + 1
        self.project = nn.Linear(PLANES * rows, width)
        self.norm = BatchNorm(width)

    def forward(self, features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """(batch, 2, channels, 4 · longest) to (batch, longest, width); `frames` (batch,) of them count."""
        planes = nn.functional.silu(self.first(features))
        # of the same type: times float32 the planes, large as they are, would be copied forth and back
        planes = planes * valid(2 * frames, planes.shape[3])[:, None].to(planes.dtype)
        planes = nn.functional.silu(self.second(planes))
        x = self.norm(self.project(planes.flatten(1, 2).transpose(1, 2)).transpose(1, 2))
        return x.transpose(1, 2)


class Block(nn.Module):
    """A residual convolution over time.

    It is a Conv2d over planes of one row: the backward pass of Conv1d is several times slower on a CPU.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, (1, kernel), padding=(0, kernel // 2), bias=False)
        self.norm = BatchNorm(width)
        self.dropout = Dropout()

    def forward(self, x: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """(batch, frames, width) to the same, zero where `inside` (batch, frames, 1) is."""
        planes = x.transpose(1, 2)[:, :, None]
        y = self.dropout(nn.functional.silu(self.norm(self.conv(planes))))
        return (x + y[:, :, 0].transpose(1, 2)) * inside


class BiLstm(nn.Module):
    """A bidirectional LSTM layer whose backward half starts at the end of each utterance, not of the batch.

    Two plain LSTMs: oneDNN runs them several times faster than packed sequences.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ahead = nn.LSTM(width, width // 2, batch_first=True)
        self.back = nn.LSTM(width, width // 2, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout()

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(batch, frames, width) to the same."""
        position = torch.arange(x.shape[1], device=x.device)[None]
        mirror = torch.where(position < lengths[:, None], lengths[:, None] - 1 - position, position)[
            :, :, None
        ]
        backwards = self.back(x.gather(1, mirror.expand_as(x)))[0]
        both = torch.cat([self.ahead(x)[0], backwards.gather(1, mirror.expand_as(backwards))], dim=2)
        return x + self.dropout(self.norm(both))


class Beside(nn.Module):
    """Features of 100 frames per second that come beside the waveform, each output frame seeing twelve.

    Parameters
    ----------
    size
        Numbers in a frame.
    width
        Channels of the output.
    settings
        Of the time masks in training.
    """

    def __init__(self, size: int, width: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.mask = TimeMask(settings)
        self.project = nn.Linear(3 * SUBSAMPLING * size, width)
        self.norm = BatchNorm(width)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(batch, 4 · longest, size) of `lengths` (batch,) frames each to (batch, longest, width)."""
        padded = nn.functional.pad(self.mask(features, lengths), (0, 0, SUBSAMPLING, SUBSAMPLING))
        windows = padded.unfold(1, 3 * SUBSAMPLING, SUBSAMPLING).flatten(2)
        return self.norm(self.project(windows).transpose(1, 2)).transpose(1, 2)


class Encoded(NamedTuple):
    """What the encoder makes of a batch.

    Attributes
    ----------
    last
        (batch, frames, width), what the output layers see.
    middle
        (batch, frames, width), what the convolutions gave to the LSTMs.
    frames
        (batch,) int64, how many frames of each utterance count.
    """

    last: torch.Tensor
    middle: torch.Tensor
    frames: torch.Tensor


class Network(nn.Module):
    """Front end, normalisation, masks (in training), encoder, softmax.

    Parameters
    ----------
    settings
        Sizes and the kind of front end.
    units
        Number of output symbols.
    beside
        Numbers in a frame of the features that come beside the waveform, 0 where none do.
    parts
        Output frames for each of the encoder: with 4 there are 100 per second (Vanhoucke, Devin and Heigold
        2013, "Multiframe deep neural networks for acoustic modeling").
    second
        Number of output symbols of a second output layer, for a second task; 0 for none.
    """

    def __init__(
        self, settings: NetworkSettings, units: int, beside: int = 0, parts: int = 1, second: int = 0
    ) -> None:
        super().__init__()
        self.settings, self.parts = settings, parts
        self.frontend = FRONTENDS[settings.frontend](settings.channels, settings.sample_rate)
        self.mask = Mask(settings)
        self.subsample = Subsample(settings.channels, settings.width)
        self.blocks = nn.ModuleList(Block(settings.width, settings.kernel) for _ in range(settings.blocks))
        self.lstms = nn.ModuleList(BiLstm(settings.width) for _ in range(settings.lstm_layers))
        self.dropout = Dropout()
        self.output = nn.Linear(settings.width, parts * units)
        self.beside = Beside(beside, settings.width, settings) if beside else None
        self.second = nn.Linear(settings.width, second) if second else None

    @classmethod
    def seeded(
        cls,
        seed: int,
        settings: NetworkSettings,
        units: int,
        beside: int = 0,
        parts: int = 1,
        second: int = 0,
    ) -> Self:
        """An untrained network, the same for the same seed; random numbers elsewhere stay what they were."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return cls(settings, units, beside, parts, second).eval()

    @property
    def heads(self) -> list[nn.Linear]:
        """The output layers, one a task."""
        return [self.output] if self.second is None else [self.output, self.second]

    @property
    def layers(self) -> list[nn.Module]:
        """From the samples to the output."""
        first = nn.ModuleList([m for m in (self.subsample, self.beside) if m is not None])
        return [self.frontend, first, *self.blocks, *self.lstms, nn.ModuleList(self.heads)]

    def inner(self) -> Iterator[tuple[torch.Tensor, int]]:
        """The matrices between the first planes and the output layers, and how many each weight holds.

        Those of an LSTM's four gates lie below each other in one weight.
        """
        yield self.subsample.project.weight, 1
        for part in [*self.blocks, *self.lstms]:
            for weight in part.parameters():
                if weight.ndim > 1:
                    yield weight, 4 if isinstance(part, BiLstm) else 1

    def drop(self, share: float) -> None:
        """Let every dropout of the encoder zero so much in training; a new network has none."""
        for part in self.modules():
            if isinstance(part, Dropout):
                part.share = share

    def forward(
        self, waveforms: torch.Tensor, samples: torch.Tensor, beside: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log posteriors of a batch of utterances each by itself, by the first output layer.

        Parameters
        ----------
        waveforms
            (batch, longest), zero behind each utterance.
        samples
            (batch,) int64, the length of each.
        beside
            (batch, frames of 10 ms, size), zero behind each utterance, where the network takes such.

        Returns
        -------
        log posteriors
            (batch, frames, units) float32; rows of an utterance from its own frame count on mean nothing.
        frames
            (batch,) int64.
        """
        encoded = self.encode(self.hear(waveforms, samples), beside=beside)
        return self.read(encoded.last, self.output), self.parts * encoded.frames

    def frames(self, samples: torch.Tensor) -> torch.Tensor:
        """(batch,) int64, how many frames the encoder makes of so many samples."""
        hop = round(FRAME_SHIFT_S * self.settings.sample_rate)
        return (-(-samples // hop)).clamp(min=MINIMUM_FRAMES)

    def read(self, encoded: torch.Tensor, head: nn.Linear) -> torch.Tensor:
        """Log posteriors (batch, frames, units) by one of the output layers, of what `encode` gave."""
        scores = head(encoded).float()
        longest = self.parts * encoded.shape[1]
        return scores.view(len(encoded), longest, head.out_features // self.parts).log_softmax(2)

    def hear(self, waveforms: torch.Tensor, samples: torch.Tensor, longest: int = 0) -> Heard:
        """The features of a batch, for `encode`.

        There are at least `longest` frames: a part of a batch is padded as all of it.
        """
        hop = round(FRAME_SHIFT_S * self.settings.sample_rate)
        frames = self.frames(samples)
        longest = max(longest, int(frames.max()))
        if self.training:
            longest = padded(longest)
        waveforms = nn.functional.pad(waveforms, (0, longest * hop - waveforms.shape[1]))
        # loudness carries no words, and the floor of the logarithm becomes relative to it
        level = (waveforms.square().sum(1) / samples.clamp(min=1)).sqrt()
        # full precision: the rounding noise of bfloat16 samples drowns the weak high frequencies
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            features = self.frontend(waveforms / (level[:, None] + 1e-5))
        lengths = -(-samples * SUBSAMPLING // hop)
        return Heard(features, lengths, frames, moments_of(features, lengths))

    def encode(
        self,
        heard: Heard,
        others: torch.Tensor | None = None,
        beside: torch.Tensor | None = None,
        views: int = 1,
    ) -> Encoded:
        """The batch as the output layers see it; `views` times, each with masks of its own.

        `others`: moments of what else is known of its speakers, see `normalised`; a network that was trained
        on utterances alone does not look at them.
        """
        others = None if self.settings.alone == 1.0 else others
        frames, lengths = heard.frames.repeat(views), heard.lengths.repeat(views)
        # over the utterance, whose room and noise may be its own, and over the voice
        both = torch.stack([normalised(heard), normalised(heard, others)], 1)
        features = self.mask(both.repeat(views, 1, 1, 1), lengths)
        longest = features.shape[3] // SUBSAMPLING
        inside = valid(frames, longest).transpose(1, 2)
        x = self.subsample(features, frames)
        if self.beside is not None:
            assert beside is not None
            beside = nn.functional.pad(beside, (0, 0, 0, SUBSAMPLING * longest - beside.shape[1]))
            x = x + self.beside(beside.repeat(views, 1, 1), lengths)
        x = x * inside
        for block in self.blocks:
            x = block(x, inside)
        middle = x
        for lstm in self.lstms:
            x = lstm(x, frames)
        return Encoded(self.dropout(x), middle, frames)
