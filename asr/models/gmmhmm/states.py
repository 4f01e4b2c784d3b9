"""Which HMM states a phoneme inventory has, and the numbers trained for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from asr.decode.topology import Topology
from asr.features.mfcc import add_deltas
from asr.models.gmmhmm.mixtures import Mixtures
from asr.models.gmmhmm.transform import splice
from asr.text.units import Units

SILENCE, SHORT_PAUSE = "SIL", "SP"
PHONE_STATES, SILENCE_STATES = 3, 5
# where no sentence has been seen: a pause between every second pair of words
FIRST_PAUSES = (0.25, 0.25)
FIRST_STAY = 0.5


@dataclass(frozen=True)
class States:
    """Three states in a row for each phoneme, five for silence; the short pause is silence's middle state.

    Attributes
    ----------
    phones
        The phonemes, pauses not included.

    Reference
    ---------
    HTK book 3.4, section 3.2.2 (silence models and the tied short pause).
    """

    phones: tuple[str, ...]

    @cached_property
    def units(self) -> Units:
        """Columns of the emissions: ``AH_0``, ``AH_1``, ..., ``SIL_4``."""
        symbols = [f"{p}_{i}" for p in self.phones for i in range(PHONE_STATES)]
        return Units([*symbols, *(f"{SILENCE}_{i}" for i in range(SILENCE_STATES))])

    @cached_property
    def columns(self) -> dict[str, tuple[int, ...]]:
        """The states each token passes through."""
        columns = {
            p: tuple(range(PHONE_STATES * i, PHONE_STATES * (i + 1))) for i, p in enumerate(self.phones)
        }
        silence = tuple(range(PHONE_STATES * len(self.phones), len(self.units)))
        return {**columns, SILENCE: silence, SHORT_PAUSE: (silence[SILENCE_STATES // 2],)}


@dataclass(frozen=True)
class Parameters:
    """What training estimates.

    Attributes
    ----------
    mixtures
        Emission densities, one mixture a state.
    stay
        (states,) probability of the self-loop.
    pauses
        (2,) probability of silence and of the short pause between words, before the first, after the last.
    transform
        (dimensions, cepstra of several frames) what makes features of cepstra; None for cepstra with deltas.
    """

    mixtures: Mixtures
    stay: np.ndarray
    pauses: np.ndarray
    transform: np.ndarray | None = None

    def features(self, cepstra: np.ndarray) -> np.ndarray:
        """(frames, dimensions) float32 of normalised cepstra (frames, cepstra)."""
        if self.transform is None:
            return add_deltas(cepstra)
        context = (self.transform.shape[1] // cepstra.shape[1] - 1) // 2
        return splice(cepstra, context) @ self.transform.T.astype(np.float32)

    def topology(self, states: States) -> Topology:
        """The same as the search sees it."""
        return Topology(
            kind="hmm",
            tokens=tuple(states.columns),
            states=tuple(states.columns.values()),
            stay=np.log(self.stay).astype(np.float32),
            leave=np.log1p(-self.stay).astype(np.float32),
            pauses=((SILENCE, float(self.pauses[0])), (SHORT_PAUSE, float(self.pauses[1]))),
        )

    def tensors(self) -> dict[str, np.ndarray]:
        """Named arrays for a safetensors file."""
        m = self.mixtures
        arrays = {"weights": m.weights, "means": m.means, "variances": m.variances, "start": m.start}
        arrays |= {"stay": self.stay, "pauses": self.pauses}
        arrays |= {} if self.transform is None else {"transform": self.transform}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Parameters:
        """The inverse of `tensors`; KeyError names a missing array."""
        mixtures = Mixtures(*(tensors[n] for n in ("weights", "means", "variances", "start")))  # type: ignore[arg-type]
        return cls(mixtures, tensors["stay"], tensors["pauses"], tensors.get("transform"))

    def count(self) -> int:
        """Number of trained numbers; weights and self-loops that follow from others are not counted."""
        m = self.mixtures
        transform = 0 if self.transform is None else self.transform.size
        return 2 * m.means.size + m.components - m.states + self.stay.size + self.pauses.size + transform
