"""A weighted transducer as NumPy arrays, and the way from and to OpenFst's binary const format."""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import kaldifst
import numpy as np

from asr.errors import SearchError

_MAGIC = 2125659606
_STATE = np.dtype([("final", "<f4"), ("pos", "<u4"), ("arcs", "<u4"), ("ieps", "<u4"), ("oeps", "<u4")])
_ARC = np.dtype([("ilabel", "<i4"), ("olabel", "<i4"), ("weight", "<f4"), ("next", "<i4")])


@dataclass(frozen=True)
class Arcs:
    """States and arcs of a transducer over the tropical semiring; costs are negative natural logs.

    Attributes
    ----------
    start
        The start state.
    first
        (states + 1,) int64; the arcs of state s are first[s] .. first[s + 1] - 1.
    final
        (states,) float32 final costs, infinity where a state is not final.
    ilabel, olabel
        (arcs,) int32; 0 is epsilon.
    weight
        (arcs,) float32 costs.
    next
        (arcs,) int32 states the arcs lead to.
    """

    start: int
    first: np.ndarray
    final: np.ndarray
    ilabel: np.ndarray
    olabel: np.ndarray
    weight: np.ndarray
    next: np.ndarray

    @property
    def source(self) -> np.ndarray:
        """(arcs,) int32 states the arcs come from."""
        return np.repeat(np.arange(len(self.final), dtype=np.int32), np.diff(self.first))

    @classmethod
    def of(cls, fst: kaldifst.StdFst) -> Arcs:
        """The arrays of any kaldifst transducer."""
        with tempfile.TemporaryDirectory(prefix="asr-") as folder:
            path = Path(folder) / "fst"
            kaldifst.StdConstFst(fst).write(str(path))
            return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> Arcs:
        """Read an OpenFst file of type const, unaligned, arc type standard.

        Raises
        ------
        SearchError
            If the file is of another kind or cut short.
        """
        data = path.read_bytes()
        try:
            magic, at = struct.unpack_from("<i", data)[0], 4
            kinds = []
            for _ in range(2):
                (n,) = struct.unpack_from("<i", data, at)
                kinds.append(data[at + 4 : at + 4 + n])
                at += 4 + n
            version, flags, _, start, states, arcs = struct.unpack_from("<iiQqqq", data, at)
            at += 40
            if magic != _MAGIC or kinds != [b"const", b"standard"] or version != 2 or flags:
                raise ValueError("not a const transducer without symbols")
            state = np.frombuffer(data, _STATE, states, at)
            arc = np.frombuffer(data, _ARC, arcs, at + state.nbytes)
        except (struct.error, ValueError) as e:
            raise SearchError(f"not a usable graph ({e})", path=path, fix="delete it") from e
        first = np.zeros(states + 1, dtype=np.int64)
        np.cumsum(state["arcs"], out=first[1:])
        columns = (np.ascontiguousarray(arc[name]) for name in _ARC.names or ())
        return cls(start, first, np.ascontiguousarray(state["final"]), *columns)

    def write(self, path: Path) -> None:
        """Write what `read` reads."""
        states, arcs = len(self.final), len(self.next)
        state = np.zeros(states, _STATE)
        state["final"], state["pos"] = self.final, self.first[:-1]
        state["arcs"] = np.diff(self.first)
        for name, label in (("ieps", self.ilabel), ("oeps", self.olabel)):
            before = np.concatenate([[0], np.cumsum(label == 0)])
            state[name] = np.diff(before[self.first])
        arc = np.empty(arcs, _ARC)
        arc["ilabel"], arc["olabel"], arc["weight"], arc["next"] = (
            self.ilabel,
            self.olabel,
            self.weight,
            self.next,
        )
        kinds = b"".join(struct.pack("<i", len(k)) + k for k in (b"const", b"standard"))
        properties = 1  # kExpanded; everything else is left unknown, OpenFst works it out where it matters
        head = struct.pack("<i", _MAGIC) + kinds
        head += struct.pack("<iiQqqq", 2, 0, properties, self.start, states, arcs)
        with open(path, "wb") as f:
            f.write(head)
            f.write(state.data)
            f.write(arc.data)

    def fst(self) -> kaldifst.StdConstFst:
        """The same transducer for kaldi-decoder and kaldifst."""
        with tempfile.TemporaryDirectory(prefix="asr-") as folder:
            path = Path(folder) / "fst"
            self.write(path)
            return kaldifst.StdConstFst.read(str(path))

    def with_word_penalty(self, penalty: float) -> Arcs:
        """The same graph with `penalty` (log domain, negative for fewer words) added for every output label.

        A path's score gains `penalty` times its number of words, wherever determinisation put their labels.
        """
        if penalty == 0:
            return self
        weight = self.weight - np.float32(penalty) * (self.olabel != 0).astype(np.float32)
        return replace(self, weight=weight)
