"""What a trained network says of the utterances of a speaker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from asr.data.audio import resampled
from asr.models.networks.batches import Batches
from asr.models.networks.network import Network

EMIT_S = 60.0  # padded seconds of audio in one forward pass of `posteriors`


@torch.inference_mode()
def posteriors(
    network: Network,
    waveforms: Sequence[np.ndarray],
    sample_rate: int,
    beside: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray]:
    """(frames, units) float32 log posteriors of one speaker's utterances, normalised together.

    Computed where the network is.

    Parameters
    ----------
    network
        Taken as it is after training.
    waveforms
        (samples,) float32 in -1..1 each.
    sample_rate
        Their samples per second; another than the network's is resampled.
    beside
        (frames of 10 ms, size) features of each, where the network takes such.
    """
    rate, device = network.settings.sample_rate, network.output.weight.device
    same_rate = (resampled(w, sample_rate, rate) for w in waveforms)
    audio = [torch.from_numpy(np.ascontiguousarray(w, dtype=np.float32)) for w in same_rate]
    network.eval()
    if not audio:
        return []
    batches = [
        [take.utterance for take in takes]
        for takes in Batches(np.array([len(w) / rate for w in audio]), EMIT_S, (1.0,), None)
    ]
    heard = []
    for rows in batches:
        samples = torch.tensor([len(audio[i]) for i in rows])
        padded = pad_sequence([audio[i] for i in rows], batch_first=True)
        heard.append(network.hear(padded.to(device), samples.to(device)))
    moments = torch.cat([h.moments for h in heard])
    # an utterance without numbers must not take those of the others
    everything = moments[moments.isfinite().flatten(1).all(1)].sum(0)
    out: dict[int, np.ndarray] = {}
    for rows, h in zip(batches, heard, strict=True):
        more = None
        if beside is not None:
            more = pad_sequence([torch.from_numpy(beside[i]) for i in rows], batch_first=True).to(device)
        encoded = network.encode(h, everything - h.moments, more)
        log_probs = network.read(encoded.last, network.output).cpu()
        for i, row, count in zip(rows, log_probs, (network.parts * h.frames).tolist(), strict=True):
            out[i] = row[:count].numpy().copy()
    return [out[i] for i in range(len(audio))]
