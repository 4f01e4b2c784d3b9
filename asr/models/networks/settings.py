"""Settings of networks: the encoder, and how it is trained."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from asr.config import Settings


class NetworkSettings(Settings):
    """What all networks can be told, whatever they are taught."""

    # the encoder
    frontend: Literal["waveform", "random", "sinc", "leaf", "stack", "logmel"] = "waveform"
    """From the samples: filters whose every tap is learned, from the mel scale or from random taps; filters
    whose centres and widths are (SincNet, LEAF); strided convolutions; or fixed log-mel energies."""
    # 5 ms must be whole samples: 8000, 16000, 24000, 32000 or 48000, say, but not 22050 or 44100
    sample_rate: int = Field(16000, ge=4000, multiple_of=200)
    """Samples per second the network works at."""
    channels: int = Field(64, ge=8)
    """Filters of the front end."""
    width: int = Field(256, ge=8, multiple_of=2)
    """Channels of the encoder; even."""
    blocks: int = Field(6, ge=0)
    """Residual convolutions of the encoder, at 25 frames per second."""
    kernel: int = Field(7, ge=1)
    """Taps of each; odd."""
    lstm_layers: int = Field(2, ge=0)
    """Bidirectional LSTM layers after the convolutions."""

    # training
    epochs: int | None = Field(None, ge=1)
    """Passes over the training set; a second cycle, and passes up to the next validation, come on top. None:
    by the rule of `schedule.epochs_for`, scaled by `effort`."""
    effort: float = Field(1.0, gt=0)
    """Factor on the rule's number of epochs."""
    dropout: float | None = Field(None, ge=0, le=0.99)
    """Share of the encoder's numbers a step does without; None: by the rule of `schedule.dropout_for`."""
    max_minutes: float | None = Field(None, gt=0)
    """Training stops after the epoch that passes this many minutes; None: no limit."""
    batch_s: float = Field(100.0, gt=0)
    """Seconds of audio in a batch; fewer hours than 1.3 get smaller ones, by `schedule.batch_for`."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients make one step: where a GPU or the memory holds only a part of `batch_s`."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW; or Muon, which makes the steps of the encoder's matrices orthogonal, and AdamW for the rest."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak of the one-cycle schedule."""
    weight_decay: float = Field(1e-2, ge=0)
    """Decoupled weight decay (AdamW), times the learning rate of each step."""
    filter_rate: float = Field(0.03, ge=0)
    """Factor on the learning rate of the learned front end, whatever it begins from; 0 freezes it."""
    calm_start: float = Field(0.15, ge=0, le=1)
    """Share of the first cycle's steps before masks and dropout begin."""
    time_masks: int = Field(2, ge=0)
    """Time masks for each started 4 s of an utterance, each up to `time_mask_s` long."""
    time_mask_s: float = Field(0.3, ge=0)
    """Longest time mask, in seconds."""
    channel_masks: int = Field(2, ge=0)
    """Masks over neighbouring front end channels, each up to `channel_mask` of them."""
    channel_mask: float = Field(0.2, ge=0, le=1)
    alone: float = Field(0.2, ge=0, le=1)
    """Share of the utterances of each pass of whose speaker nothing else is known, as of a recording by
    itself. 1: all, and in recognition, too; so it is where no speaker of the training set has two."""
    init_from: str | None = None
    """A run to begin from: its layers are taken over, the output only where the units are the same."""
    init_rate: float = Field(0.3, ge=0)
    """Factor on the learning rate of what was taken over."""
    train_last: int | None = Field(None, ge=1)
    """Train only so many layers, counted from the output; None: all."""
    average: float = Field(0.0, ge=0, lt=1)
    """Decay per step of a running average of the weights, which is validated and kept instead; 0: none."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto: a GPU if there is one. On a GPU a training does not repeat to the last bit."""
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    """Of training; auto: bf16-mixed where the processor multiplies bfloat16 itself, for half the time."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError("kernel: even; a frame must be in the middle of what is looked at")
        if self.train_last is not None and self.init_from is None:
            raise ValueError("train_last: needs init_from; layers that are not trained would stay random")
        return self
