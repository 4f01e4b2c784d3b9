"""What a killed training leaves behind, and the table of its passes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from asr.files import content_hash, replacing, write_text
from asr.models.gmmhmm.settings import GmmHmmSettings
from asr.models.gmmhmm.states import Parameters, States
from asr.models.gmmhmm.transcribed import Transcribed
from asr.progress import console


class Resume:
    """The state of a training: the parameters after the last whole pass, the metrics so far."""

    def __init__(self, workdir: Path, settings: GmmHmmSettings, states: States, train: Transcribed) -> None:
        self.path = workdir / "state.safetensors"
        self.metrics = workdir / "metrics.csv"
        ids = (f"{train.store.entries[i].id} {train.store.entries[i].text}" for i in train.sentences)
        self.key = content_hash(settings.model_dump_json(), " ".join(states.units), *ids)

    def load(self) -> tuple[Parameters | None, np.ndarray, list[dict[str, str]]]:
        """Parameters, occupancy of the components, metrics; nothing if the state is of another training."""
        try:
            with safe_open(self.path, "numpy") as file:
                head = file.metadata() or {}
                if head.get("key") == self.key:
                    tensors = {k: file.get_tensor(k) for k in file.keys()}
                    return Parameters.of(tensors), tensors["occupancy"], json.loads(head["rows"])
        except FileNotFoundError:
            pass
        except (SafetensorError, KeyError, json.JSONDecodeError):
            console.print(f"asr: {self.path} is damaged, training starts again", markup=False)
        return None, np.zeros(0), []

    def save(self, parameters: Parameters, occupancy: np.ndarray, rows: list[dict[str, str]]) -> None:
        """Write both files; the state holds the metrics too, so that the two can never disagree."""
        head = {"key": self.key, "rows": json.dumps(rows)}
        with replacing(self.path) as temporary:
            safetensors.numpy.save_file({**parameters.tensors(), "occupancy": occupancy}, temporary, head)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.metrics, text.getvalue())
