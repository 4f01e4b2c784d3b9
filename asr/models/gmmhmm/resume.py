"""What a killed training leaves behind, and the table of its passes."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from asr.files import content_hash, replacing, write_text
from asr.models.gmmhmm.settings import GmmHmmSettings
from asr.models.gmmhmm.states import Parameters
from asr.models.gmmhmm.transcribed import Transcribed
from asr.progress import console


@dataclass
class Progress:
    """Where a training stands after a pass.

    Attributes
    ----------
    parameters
        None before the first pass.
    occupancy
        (components,) frames that each explained in the last pass.
    floor
        (dimensions,) smallest variance in this step.
    rows
        The metrics of the passes so far.
    """

    parameters: Parameters | None = None
    occupancy: np.ndarray = field(default_factory=lambda: np.zeros(0))
    floor: np.ndarray = field(default_factory=lambda: np.zeros(0))
    rows: list[dict[str, str]] = field(default_factory=list)


class Resume:
    """The files of a training; the transforms of its speakers are kept with the utterances."""

    def __init__(self, workdir: Path, settings: GmmHmmSettings, train: Transcribed) -> None:
        self.workdir, self.train = workdir, train
        self.path = workdir / "state.safetensors"
        self.phones = train.states.phones
        words = sorted({word for i in train.numbers for word in train.store.entries[i].text.split()})
        ways = (f"{word} {train.lexicon.entries[word]} {train.lexicon.chances(word)}" for word in words)
        entries = (str(train.store.entries[i]) for i in train.numbers)
        self.key = content_hash(settings.model_dump_json(), " ".join(self.phones), *entries, *ways)

    def load(self) -> Progress | None:
        """Where an earlier call stopped; None if there was none, or it was of another training."""
        try:
            with safe_open(self.path, "numpy") as file:
                head = file.metadata() or {}
                if head.get("key") != self.key:
                    return None
                tensors = {k: file.get_tensor(k) for k in file.keys()}
            names = json.loads(head["speakers"])
            speakers = {name: tensors[f"speaker.{k}"] for k, name in enumerate(names)}
            parameters = Parameters.of(tensors, self.phones)
            now = Progress(parameters, tensors["occupancy"], tensors["floor"], json.loads(head["rows"]))
            self.train.speakers = speakers
            return now
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, ValueError):
            console.print(f"asr: {self.path} is damaged, training starts again", markup=False)
            return None

    def save(self, now: Progress) -> None:
        """Write both files; the state holds the metrics too, so that the two can never disagree."""
        assert now.parameters is not None
        speakers = self.train.speakers
        head = {"key": self.key, "rows": json.dumps(now.rows), "speakers": json.dumps(list(speakers))}
        tensors = {**now.parameters.tensors(), "occupancy": now.occupancy, "floor": now.floor}
        tensors |= {f"speaker.{k}": matrix for k, matrix in enumerate(speakers.values())}
        # a strided array would be written as another one
        tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        with replacing(self.path) as temporary:
            safetensors.numpy.save_file(tensors, temporary, head)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(now.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(now.rows)
        write_text(self.workdir / "metrics.csv", text.getvalue())

    def keep(self, step: str, parameters: Parameters) -> None:
        """Write what a finished step found, for those who want to compare steps."""
        with replacing(self.workdir / f"{step}.safetensors") as temporary:
            safetensors.numpy.save_file(parameters.tensors(), temporary)
