"""Which HMM states a phoneme inventory has, and the numbers trained for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from asr.decode.topology import PLACES, Topology
from asr.features.mfcc import add_deltas
from asr.models.gmmhmm.mixtures import Mixtures
from asr.models.gmmhmm.transform import splice
from asr.text.units import Units

SILENCE, SHORT_PAUSE = "SIL", "SP"
PHONE_STATES, SILENCE_STATES = 3, 5
# where no sentence has been seen: a pause between every second pair of words
FIRST_PAUSES = (0.25, 0.25)
FIRST_STAY = 0.5


@dataclass(frozen=True, eq=False)
class States:
    """Three states in a row for each phoneme, five for silence; the short pause is silence's middle state.

    Tokens are the phonemes, each at four places of a word (see `at_places`), and the pauses. A state in a
    sentence has a key, ``((left * tokens + token) * classes + right) * 5 + position``, whether states are
    tied or not: `columns` tells the state. Classes, of the neighbours, are the phonemes in order, wherever in
    a word, and, last, a pause or the edge of the sentence.

    Attributes
    ----------
    phones
        The phonemes, pauses not included.
    leaves
        (phones, places, 3, classes, classes) int32 state of each phoneme at each place and position between
        two neighbours; None: one for all places and neighbours. Two phonemes may share states.

    Reference
    ---------
    HTK book 3.4, section 3.2.2 (silence models and the tied short pause).
    """

    phones: tuple[str, ...]
    leaves: np.ndarray | None = None

    @property
    def classes(self) -> int:
        """Number of kinds of neighbours."""
        return len(self.phones) + 1

    @property
    def tokens(self) -> tuple[str, ...]:
        """Phonemes at their places, place after place, and pauses."""
        return (*(f"{phone}_{place}" for phone in self.phones for place in PLACES), SILENCE, SHORT_PAUSE)

    @property
    def spoken(self) -> int:
        """Number of tokens that are not pauses, which come last."""
        return len(PLACES) * len(self.phones)

    @cached_property
    def class_of(self) -> np.ndarray:
        """(tokens,) what each is as a neighbour."""
        n = len(self.phones)
        return np.append(np.repeat(np.arange(n), len(PLACES)), [n, n])

    @cached_property
    def tied(self) -> np.ndarray:
        """`leaves`, also where there are none."""
        if self.leaves is not None:
            return self.leaves
        n = len(self.phones)
        plain = np.arange(PHONE_STATES * n, dtype=np.int32).reshape(n, 1, PHONE_STATES, 1, 1)
        return np.broadcast_to(plain, (n, len(PLACES), PHONE_STATES, self.classes, self.classes))

    @cached_property
    def units(self) -> Units:
        """Columns of the emissions: ``AH_0``, or ``AH_0.0``, ``AH_0.1`` if tied; ``SIL_4`` comes last.

        A column that phonemes share is called by the first of them.
        """
        symbols: list[str] = []
        for phone, positions in zip(self.phones, self.tied.swapaxes(1, 2), strict=True):
            for i, table in enumerate(positions):
                # columns are numbered in this order, so that new ones are those not yet named
                n = int((np.unique(table) >= len(symbols)).sum())
                symbols += [f"{phone}_{i}"] if self.leaves is None else [f"{phone}_{i}.{k}" for k in range(n)]
        return Units([*symbols, *(f"{SILENCE}_{i}" for i in range(SILENCE_STATES))])

    @cached_property
    def silence(self) -> tuple[int, ...]:
        """The columns of silence."""
        return tuple(range(len(self.units) - SILENCE_STATES, len(self.units)))

    @cached_property
    def columns(self) -> np.ndarray:
        """(keys,) int32 column of each key; -1 where a token has no such position."""
        n = self.spoken
        table = np.full((self.classes, n + 2, self.classes, SILENCE_STATES), -1, np.int32)
        by_token = self.tied.reshape(n, PHONE_STATES, self.classes, self.classes)
        table[:, :n, :, :PHONE_STATES] = by_token.transpose(2, 0, 3, 1)
        table[:, n] = self.silence
        table[:, n + 1, :, 0] = self.silence[SILENCE_STATES // 2]
        return table.ravel()

    def key(self, left, token, right, position):  # type: ignore[no-untyped-def]
        """The key of a place, for numbers or arrays."""
        return ((left * len(self.tokens) + token) * self.classes + right) * SILENCE_STATES + position

    def parts(self, keys: np.ndarray) -> tuple[np.ndarray, ...]:
        """Left, token, right and position of keys."""
        shape = (self.classes, len(self.tokens), self.classes, SILENCE_STATES)
        return np.unravel_index(keys, shape)

    def length(self, token: int) -> int:
        """Number of states of a token."""
        return {self.spoken: SILENCE_STATES, self.spoken + 1: 1}.get(token, PHONE_STATES)

    @cached_property
    def skeletons(self) -> tuple[Topology, Topology]:
        """Tokens without states, for pieces of sentences: as if no neighbours mattered, as if all did."""
        n, classes = self.spoken, self.classes
        context = np.zeros((classes, n + 2, classes), np.int32)
        context[:, :n] = 1 + np.arange(classes * n * classes).reshape(classes, n, classes)
        none = np.zeros(0, np.float32)
        pauses = ((SILENCE, FIRST_PAUSES[0]), (SHORT_PAUSE, FIRST_PAUSES[1]))
        alike = Topology(
            "hmm",
            self.tokens,
            (),
            none,
            none,
            pauses=pauses,
            classes=tuple(self.class_of.tolist()),
            boundary=len(self.phones),
            placed=True,
        )
        return alike, replace(alike, context=context)

    def topology(self, stay: np.ndarray, pauses: np.ndarray) -> Topology:
        """The states as the search sees them, with (columns,) self-loop and (2,) pause probabilities."""
        n = self.spoken
        spelled = self.columns.reshape(self.classes, n + 2, self.classes, SILENCE_STATES)
        if self.leaves is None:
            context = None
            states = [tuple(spelled[0, t, 0, : self.length(t)].tolist()) for t in range(n + 2)]
        else:
            flat = spelled.reshape(-1, SILENCE_STATES)
            distinct, which = np.unique(flat, axis=0, return_inverse=True)
            context = which.reshape(spelled.shape[:3]).astype(np.int32)
            states = [tuple(c for c in row if c >= 0) for row in distinct.tolist()]
        return Topology(
            kind="hmm",
            tokens=self.tokens,
            states=tuple(states),
            stay=np.log(stay).astype(np.float32),
            leave=np.log1p(-stay).astype(np.float32),
            pauses=((SILENCE, float(pauses[0])), (SHORT_PAUSE, float(pauses[1]))),
            context=context,
            classes=tuple(self.class_of.tolist()),
            boundary=len(self.phones),
            placed=True,
        )


@dataclass(frozen=True)
class Parameters:
    """What training estimates.

    Attributes
    ----------
    states
        The states and how they are tied.
    mixtures
        Emission densities, one mixture a state.
    stay
        (states,) probability of the self-loop.
    pauses
        (2,) probability of silence and of the short pause between words, before the first, after the last.
    transform
        (dimensions, cepstra of several frames) what makes features of cepstra; None for cepstra with deltas.
    unadapted
        After speaker-adaptive training: densities for speakers that no transform is known for yet.
    prior
        (dimensions, dimensions + 1, dimensions + 1) what keeps a speaker's transform small, see
        `RowStatistics.with_prior`.
    """

    states: States
    mixtures: Mixtures
    stay: np.ndarray
    pauses: np.ndarray
    transform: np.ndarray | None = None
    unadapted: Mixtures | None = None
    prior: np.ndarray | None = None

    def features(self, cepstra: np.ndarray) -> np.ndarray:
        """(frames, dimensions) float32 of normalised cepstra (frames, cepstra)."""
        if self.transform is None:
            return add_deltas(cepstra)
        context = (self.transform.shape[1] // cepstra.shape[1] - 1) // 2
        return splice(cepstra, context) @ self.transform.T.astype(np.float32)

    @cached_property
    def topology(self) -> Topology:
        """The same as the search sees it."""
        return self.states.topology(self.stay, self.pauses)

    def tensors(self) -> dict[str, np.ndarray]:
        """Named arrays for a safetensors file."""
        arrays = {"stay": self.stay, "pauses": self.pauses, **self.mixtures.tensors()}
        if self.unadapted is not None:
            arrays |= {f"unadapted.{name}": array for name, array in self.unadapted.tensors().items()}
        more = {"transform": self.transform, "prior": self.prior, "leaves": self.states.leaves}
        arrays |= {name: array for name, array in more.items() if array is not None}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray], phones: tuple[str, ...]) -> Parameters:
        """The inverse of `tensors`; KeyError names a missing array, ValueError one of an older version."""
        leaves = tensors.get("leaves")
        if leaves is not None and leaves.ndim != 5:
            raise ValueError("its trees are of an older version")
        unadapted = {
            k.removeprefix("unadapted."): v for k, v in tensors.items() if k.startswith("unadapted.")
        }
        return cls(
            States(phones, leaves),
            Mixtures.of(tensors),
            tensors["stay"],
            tensors["pauses"],
            tensors.get("transform"),
            Mixtures.of(unadapted) if unadapted else None,
            tensors.get("prior"),
        )

    def count(self) -> int:
        """Number of trained numbers; weights and self-loops that follow from others are not counted."""
        numbers = self.stay.size + self.pauses.size + (0 if self.transform is None else self.transform.size)
        for m in (self.mixtures, self.unadapted):
            numbers += 0 if m is None else 2 * m.means.size + m.components - m.states
        return numbers
