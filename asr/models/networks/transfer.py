"""Transfer learning: a training that begins with the layers of another run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from asr.errors import AsrError, ModelError
from asr.files import content_hash, system_folder
from asr.models.networks.network import Network
from asr.progress import console
from asr.text.units import Units

PREFIX = "network."  # of the weights beside those of Gaussian mixtures


def digest(run: str | Path) -> str:
    """SHA-256 (hex) of the weights of a run, since the same path may come to hold others.

    Raises
    ------
    ModelError
        If there are none.
    """
    return content_hash(weights_of(run))


def weights_of(run: str | Path) -> Path:
    """The file of the weights of a run; ModelError if there is none."""
    if not Path(run).is_dir():
        raise ModelError("no such run to begin from", path=Path(run), fix="name a finished run")
    path = system_folder(Path(run)) / "model.safetensors"
    if not path.exists():
        raise ModelError("no weights to begin from", path=path, fix="name a finished run")
    return path


def begin(network: Network, units: Sequence[Units], run: str | None, key: str) -> tuple[list[str], str]:
    """What `take_over` takes from `run`, if there is one, and the key of a training that begins so.

    Says which layers are not taken, since a run of other sizes or units gives fewer.
    """
    if run is None:
        return [], key
    taken = take_over(network, units, run)
    anew = dict.fromkeys(name.rpartition(".")[0] for name in network.state_dict() if name not in taken)
    console.print(f"layers of {run}; made anew: {', '.join(anew) or 'none'}", markup=False, soft_wrap=True)
    return taken, content_hash(key, digest(run))


def take_over(network: Network, units: Sequence[Units], run: str | Path) -> list[str]:
    """Give a network what `fitting` finds, which changes it in place; return the names of the weights."""
    found = fitting(network, units, run)
    network.load_state_dict(found, strict=False)
    return list(found)


def fitting(network: Network, units: Sequence[Units], run: str | Path) -> dict[str, torch.Tensor]:
    """The weights of another run's layers that have the shapes of this network's, by their names here.

    Its output layer is taken by the one that has the same units in the same order, if any has.

    Parameters
    ----------
    network
        Stays what it is.
    units
        What each of its output layers writes.
    run
        A run folder, or its ``system`` folder.

    Raises
    ------
    ModelError
        If the run holds no network, or none of its encoder's layers has the shape of this one's.
    """
    path = weights_of(run)
    folder = path.parent
    try:
        tensors = load_file(path)
        theirs = Units.load(folder / "units.txt")
    except (AsrError, OSError, SafetensorError) as e:
        raise ModelError(f"no weights to begin from ({e})", path=folder, fix="name a finished run") from e
    if any(name.startswith(PREFIX) for name in tensors):
        tensors = {n.removeprefix(PREFIX): t for n, t in tensors.items() if n.startswith(PREFIX)}
    output = {n: tensors.pop(n) for n in list(tensors) if n.startswith("output.")}
    for layer, own_units in zip(("output", "second"), units, strict=False):
        if theirs.symbols == own_units.symbols:
            tensors |= {n.replace("output", layer, 1): t for n, t in output.items()}
    found = {
        name: tensors[name]
        for name, own in network.state_dict().items()
        if name in tensors and tensors[name].shape == own.shape
    }
    encoder = ("subsample.project.", "blocks.", "lstms.")
    if not any(name.startswith(encoder) for name in tensors):
        raise ModelError(
            "holds no network", path=folder, fix="name a run of phoneme_ctc, raw_ctc or mfcc_hybrid"
        )
    if not any(name.startswith(encoder) and weight.ndim > 1 for name, weight in found.items()):
        raise ModelError(
            "no layer of its encoder has the shape of this one's",
            path=folder,
            fix="train both with the same channels, width and kernel",
        )
    return found
