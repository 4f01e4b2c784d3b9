"""Lightning checkpoints as one safetensors file, written whole and read without unpickling."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from asr.errors import ModelError
from asr.files import replacing


class SafeCheckpointIO(CheckpointIO):
    """Tensors as safetensors, everything around them as JSON in the header of the same file."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint` to `path`, whole or not at all."""
        tensors: dict[str, torch.Tensor] = {}
        header = json.dumps(_flatten(checkpoint, tensors))
        with replacing(path) as temporary:
            save_file(tensors, temporary, {"tree": header})

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: Any = None
    ) -> dict[str, Any]:
        """Read what `save_checkpoint` wrote.

        Raises
        ------
        ModelError
            If the file is damaged.
        """
        with _opened(path) as (f, tree):
            return _restore(tree, {name: f.get_tensor(name) for name in f.keys()})

    def load_field(self, path: Any, name: str) -> Any:
        """What a checkpoint holds under a name, if anything; no tensor, since only the header is read.

        Raises
        ------
        ModelError
            If the file is damaged.
        """
        with _opened(path) as (_, tree):
            return next((value for key, value in tree["dict"] if key == name), None)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint if it is there."""
        Path(path).unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: Any) -> Iterator[tuple[Any, Any]]:
    """The file of a checkpoint and the tree in its header; ModelError for what goes wrong meanwhile."""
    try:
        with safe_open(path, framework="pt") as f:
            yield f, json.loads(f.metadata()["tree"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as e:
        raise ModelError(
            f"damaged checkpoint ({e})", path=path, fix="delete it to train from the start"
        ) from e


def _flatten(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Replace tensors by references and dicts by lists of pairs, since JSON keys are strings alone."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[_flatten(k, tensors), _flatten(v, tensors)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_flatten(v, tensors) for v in value]}
    if isinstance(value, list):
        return [_flatten(v, tensors) for v in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"cannot write {type(value).__name__} to a checkpoint")


def _restore(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_restore(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(_restore(v, tensors) for v in content)
    return {_restore(k, tensors): _restore(v, tensors) for k, v in content}
