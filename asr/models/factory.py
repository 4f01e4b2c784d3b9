"""From settings, or from a saved folder, to an acoustic model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

import pydantic

from asr.errors import ModelError
from asr.models.base import AcousticModel
from asr.models.ctc.model import Ctc
from asr.models.ctc.settings import CtcSettings
from asr.models.gmmhmm.model import GmmHmm
from asr.models.gmmhmm.settings import GmmHmmSettings
from asr.text.lexicon import Lexicon

ModelSettings = Annotated[GmmHmmSettings | CtcSettings, pydantic.Field(discriminator="type")]
KINDS: dict[str, type[GmmHmm] | type[Ctc]] = {"gmmhmm": GmmHmm, "ctc": Ctc}


def create(settings: GmmHmmSettings | CtcSettings, lexicon: Lexicon, seed: int) -> AcousticModel:
    """An untrained model for the phonemes or the spelling of `lexicon`."""
    if isinstance(settings, GmmHmmSettings):
        return cast(AcousticModel, GmmHmm(settings, lexicon, seed))
    return cast(AcousticModel, Ctc(settings, lexicon, seed))


def load(folder: Path) -> AcousticModel:
    """A trained model from the folder its `save` wrote.

    Raises
    ------
    ModelError
        If the folder holds no model or one of an unknown kind.
    """
    path = folder / "model.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["settings"]["type"]
        return cast(AcousticModel, KINDS[kind].load(folder))
    except (OSError, KeyError, TypeError, ValueError) as e:
        raise ModelError(f"holds no usable acoustic model ({e})", path=path) from e
