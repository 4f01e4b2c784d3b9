"""What a network listens to: its learned filters, and the audio that excites one of its units most."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lhotse.cut import Cut
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from asr.data.audio import load_cut
from asr.errors import AudioError, UsageError
from asr.features.logmel import LOW_HZ, LogMel, mel
from asr.features.waveform import LearnedFilterbank
from asr.files import replacing
from asr.models.networks.network import FRAME_SHIFT_S, Network
from asr.progress import console, track

PIECES = 9
REACH_S = 0.3  # audio shown each side of the frame that excites the unit
RESPONSE = 1024  # points of the frequency responses
FLOOR_DB = -40.0


class Piece(NamedTuple):
    """Audio around a frame: (samples,), the unit's value there, and what it is from."""

    waveform: np.ndarray
    value: float
    title: str


def responses(frontend: LearnedFilterbank, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Gains in dB (channels, RESPONSE // 2 + 1) and centres in Hz (channels,) of the filters, lowest first.

    A centre is the mean frequency, each weighted by the energy that the filter passes there.
    """
    taps = frontend.bank().detach().numpy()[:, 0]
    real, imaginary = np.split(taps, 2)
    # the energy of a real signal: positive and negative frequencies of the complex filter together
    spectrum = np.abs(np.fft.fft(real + 1j * imaginary, RESPONSE)) ** 2
    half = RESPONSE // 2
    energy = spectrum[:, : half + 1] + np.roll(spectrum[:, ::-1], 1, axis=1)[:, : half + 1]
    frequency = np.fft.rfftfreq(RESPONSE, 1.0 / sample_rate)
    centre = (energy * frequency).sum(axis=1) / energy.sum(axis=1)
    order = np.argsort(centre)
    gain = 10.0 * np.log10(energy / energy.max(axis=1, keepdims=True) + 1e-12)
    return np.maximum(gain[order], FLOOR_DB), centre[order]


def layers_of(network: Network) -> dict[str, nn.Module]:
    """The layers whose units can be listened to, from the audio to the output."""
    blocks = {f"block{k}": block for k, block in enumerate(network.blocks, 1)}
    lstms = {f"lstm{k}": lstm for k, lstm in enumerate(network.lstms, 1)}
    return {"subsample": network.subsample, **blocks, **lstms}


def exciting(network: Network, layer: str, unit: int, cuts: Iterable[Cut]) -> list[Piece]:
    """The pieces of audio that excite a unit most, at most one of an utterance, the strongest first.

    Raises
    ------
    UsageError
        If there is no such layer or unit.

    Reference
    ---------
    Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 4.1.
    """
    layers, width, rate = layers_of(network), network.settings.width, network.settings.sample_rate
    if layer not in layers:
        raise UsageError(f"the network has no layer {layer!r}", fix=f"its layers are {', '.join(layers)}")
    if not 0 <= unit < width:
        raise UsageError(f"layer {layer} has no unit {unit}", fix=f"its units are 0 to {width - 1}")
    seen: list[torch.Tensor] = []
    handle = layers[layer].register_forward_hook(lambda _, __, out: seen.append(out[0, :, unit]))
    found: list[Piece] = []
    try:
        for cut in track(list(cuts), "listening"):
            try:
                waveform = load_cut(cut, rate)
            except AudioError as problem:
                console.print(f"asr: {problem}", style="yellow", markup=False)
                continue
            with torch.inference_mode():
                network(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
            frames = seen.pop()[: -(-len(waveform) // round(FRAME_SHIFT_S * rate))]
            frame = int(frames.argmax())
            middle, reach = round((frame + 0.5) * FRAME_SHIFT_S * rate), round(REACH_S * rate)
            padded = np.pad(waveform, reach)
            title = f"{cut.supervisions[0].id}, {middle / rate:.2f} s"
            found.append(Piece(padded[middle : middle + 2 * reach], float(frames[frame]), title))
            found = sorted(found, key=lambda p: -p.value)[:PIECES]
    finally:
        handle.remove()
    return found


def draw_filters(network: Network, path: Path, pieces: list[Piece], unit: str = "") -> None:
    """Write a picture of the filters, and below them of the pieces that excite `unit`, to a .png or .svg.

    Raises
    ------
    UsageError
        If the network has no learned filters.
    """
    frontend, rate = network.frontend, network.settings.sample_rate
    if not isinstance(frontend, LearnedFilterbank):
        raise UsageError("the network has no learned filters", fix="name one with model.frontend=waveform")
    gain, centre = responses(frontend, rate)
    _, start = responses(LearnedFilterbank(frontend.channels, rate), rate)
    rows = -(-len(pieces) // 3)
    figure = Figure(figsize=(8.0, 3.8 + 1.9 * rows), layout="constrained")
    above: Any = figure
    if pieces:
        above, below = cast(Any, figure.subfigures(2, 1, height_ratios=(3.8, 1.9 * rows)))
    left, right = above.subplots(1, 2)
    image = left.imshow(
        gain.T, origin="lower", aspect="auto", cmap="magma", extent=(0.5, len(centre) + 0.5, 0, rate / 2000)
    )
    above.colorbar(image, ax=left, label="gain, dB below the peak")
    left.set(
        xlabel="filter, by its centre",
        ylabel="frequency, kHz",
        title="Learned filters; dotted: the mel scale",
    )
    # light blue, which magma lacks: white is lost on the bright ridge of the filters
    left.plot(np.arange(1, len(centre) + 1), start / 1000, color="#00BFFF", linestyle=":", linewidth=2.0)
    _draw_moves(right, centre, start)
    if pieces:
        below.suptitle(f"Audio that excites {unit} most: how much, utterance, and where")
        for axes, piece in zip(below.subplots(rows, 3, squeeze=False).flat, pieces, strict=False):
            _draw_piece(axes, piece, rate)
        for axes in below.axes[len(pieces) :]:
            axes.set_axis_off()
        below.supxlabel("s around the peak", fontsize=8)
        below.supylabel("frequency, kHz", fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=130)


def _draw_moves(axes: Axes, centre: np.ndarray, start: np.ndarray) -> None:
    axes.bar(np.arange(1, len(centre) + 1), 100.0 * (centre / start - 1.0), color="#0072B2", width=1.0)
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set(xlabel="filter, by its centre", ylabel="centre moved, %", title="How far training moved them")


def _draw_piece(axes: Axes, piece: Piece, rate: int) -> None:
    front = LogMel(sample_rate=rate)
    whole = piece.waveform[: len(piece.waveform) // front.shift * front.shift]
    energies = front(torch.from_numpy(np.ascontiguousarray(whole))[None])[0].numpy()
    axes.imshow(
        energies, origin="lower", aspect="auto", cmap="magma", extent=(-REACH_S, REACH_S, 0, len(energies))
    )
    ticks = np.array([500, 1000, 2000, 4000])
    ticks = ticks[ticks < rate / 2]
    low, high = mel(LOW_HZ), mel(rate / 2)
    axes.set_yticks((mel(ticks) - low) / (high - low) * len(energies), [f"{t / 1000:g}" for t in ticks])
    axes.axvline(0.0, color="white", linewidth=0.8, linestyle=":")
    axes.set_title(f"{piece.value:.3g}: {piece.title}", fontsize=7, parse_math=False)
    axes.tick_params(labelsize=7)
