"""Embedded training: flat start, passes over sentence transcripts, mixture splitting; resumable."""

from __future__ import annotations

import csv
import io
import itertools
import json
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from asr.errors import DataError, ModelError
from asr.files import content_hash, replacing, write_text
from asr.models.gmmhmm.mixtures import Mixtures, MixtureStatistics
from asr.models.gmmhmm.sentence import Sentence, Weights, best_path, posteriors
from asr.models.gmmhmm.settings import GmmHmmSettings
from asr.models.gmmhmm.states import FIRST_PAUSES, FIRST_STAY, SHORT_PAUSE, SILENCE, Parameters, States
from asr.models.gmmhmm.store import FeatureStore
from asr.progress import bar, console
from asr.text.lexicon import Lexicon

CHUNK = 15_000  # frames whose statistics are gathered together
FEWEST_FRAMES = 5.0  # a Gaussian explained by fewer keeps its parameters
STAY_RANGE = (0.01, 0.99)
LARGEST_PAUSES = 0.98  # some chance of no pause always remains


@dataclass
class Statistics:
    """Expected counts of a part of the training set; they add."""

    mixtures: MixtureStatistics
    occupancy: np.ndarray  # (states,) frames
    stays: np.ndarray  # (states,) self-loops taken
    pauses: np.ndarray  # (2,) silences and short pauses
    slots: int = 0  # places where a pause may be
    frames: int = 0
    log_likelihood: float = 0.0

    @classmethod
    def zeros(cls, parameters: Parameters) -> Statistics:
        """Nothing seen yet."""
        n = parameters.mixtures.states
        return cls(MixtureStatistics.zeros(parameters.mixtures), np.zeros(n), np.zeros(n), np.zeros(2))

    def __iadd__(self, other: Statistics) -> Statistics:
        self.mixtures += other.mixtures
        self.occupancy += other.occupancy
        self.stays += other.stays
        self.pauses += other.pauses
        self.slots += other.slots
        self.frames += other.frames
        self.log_likelihood += other.log_likelihood
        return self

    def estimate(self, parameters: Parameters, floor: np.ndarray) -> Parameters:
        """The parameters that make these counts most likely."""
        stay = np.where(self.occupancy > 0, self.stays / np.maximum(self.occupancy, 1e-9), parameters.stay)
        pauses = np.maximum(self.pauses / max(self.slots, 1), 1e-4)
        pauses *= min(1.0, LARGEST_PAUSES / pauses.sum())
        return Parameters(
            parameters.mixtures.updated(self.mixtures, floor, FEWEST_FRAMES),
            np.clip(stay, *STAY_RANGE),
            pauses,
        )


def gather(
    parameters: Parameters, sentences: Sequence[Sentence], features: Sequence[np.ndarray], how: str
) -> Statistics:
    """Statistics of some utterances.

    Parameters
    ----------
    parameters
        The model.
    sentences
        The composite HMM of each utterance.
    features
        (frames, dimensions) float32 of each utterance.
    how
        ``baum-welch``, ``viterbi``, or ``flat`` for equally long states.
    """
    out = Statistics.zeros(parameters)
    columns = parameters.mixtures.states
    frames = np.concatenate(features)
    rows, states, weights = [], [], []
    begin = 0
    for sentence, some in zip(sentences, features, strict=True):
        used, compact = np.unique(sentence.columns, return_inverse=True)
        scores = parameters.mixtures.log_likelihoods(some, used)[:, compact]
        log_weights = Weights.of(sentence, parameters)
        if how == "baum-welch":
            score, posterior, stays = posteriors(sentence, log_weights, scores)
            t, nodes = np.nonzero(posterior)
            weight = posterior[t, nodes]
            visits = posterior.sum(axis=0)
        else:
            if how == "flat":
                score, nodes = 0.0, sentence.flat_path(len(some))
            else:
                score, nodes = best_path(sentence, log_weights, scores)
            t, weight = np.arange(len(some)), np.ones(len(some))
            visits = np.bincount(nodes, minlength=len(sentence.columns))
            stays = visits - (visits > 0)
        rows.append(begin + t)
        states.append(sentence.columns[nodes])
        weights.append(weight)
        out.occupancy += np.bincount(sentence.columns, visits, columns)
        out.stays += np.bincount(sentence.columns, stays, columns)
        out.pauses += np.bincount(sentence.pause, visits - stays, 3)[1:]
        out.slots += sentence.words + 1
        out.log_likelihood += score
        begin += len(some)
    state = np.concatenate(states)
    order = np.argsort(state, kind="stable")
    row, weight = np.concatenate(rows)[order], np.concatenate(weights)[order].astype(np.float32)
    out.mixtures = parameters.mixtures.statistics(frames[row], state[order], weight)
    out.frames = begin
    return out


class Transcribed:
    """Utterances with features and composite HMMs; those that cannot be aligned are named and left out."""

    def __init__(self, store: FeatureStore, states: States, lexicon: Lexicon) -> None:
        self.store = store
        self.sentences: dict[int, Sentence] = {}
        for i, entry in enumerate(store.entries):
            words = entry.text.split()
            unknown = [w for w in words if w not in lexicon]
            why = ""
            if unknown:
                why = f"word {unknown[0]!r} is not in the lexicon"
            else:
                sentence = Sentence.build(states, lexicon, words)
                if not words:
                    why = "no transcript"
                elif entry.frames < sentence.shortest:
                    why = f"{entry.frames} frames are too few for its text, which needs {sentence.shortest}"
            if why:
                console.print(f"asr: left out: utterance {entry.id}: {why}", markup=False, soft_wrap=True)
            else:
                self.sentences[i] = sentence
        self.left_out = len(store) - len(self.sentences)

    def chunks(self) -> list[list[int]]:
        """Utterance numbers in groups of about CHUNK frames."""
        groups: list[list[int]] = []
        frames = CHUNK
        for i in self.sentences:
            if frames >= CHUNK:
                groups.append([])
                frames = 0
            groups[-1].append(i)
            frames += self.store.entries[i].frames
        return groups

    def statistics(self, parameters: Parameters, how: str, pool: Executor) -> Statistics:
        """One pass over all utterances; the sum runs in a fixed order, however many workers there are."""

        def chunk(numbers: list[int]) -> Statistics:
            features = [self.store.features(i) for i in numbers]
            return gather(parameters, [self.sentences[i] for i in numbers], features, how)

        total = Statistics.zeros(parameters)
        groups = iter(self.chunks())
        # a few chunks in flight at a time, so that their statistics do not pile up
        while batch := list(itertools.islice(groups, 8)):
            for part in pool.map(chunk, batch):
                total += part
        return total


def plan(settings: GmmHmmSettings, states: int) -> list[int]:
    """Total number of Gaussians in each pass: one a state, then doubling to the number set."""
    sizes = [states]
    while sizes[-1] < settings.gaussians:
        sizes.append(min(2 * sizes[-1], settings.gaussians))
    passes = [settings.passes] * len(sizes)
    passes[-1] = settings.last_passes
    passes[0] = settings.first_passes
    return [size for size, n in zip(sizes, passes, strict=True) for _ in range(n)]


def flat_start(
    states: States, train: Transcribed, mean: np.ndarray, variance: np.ndarray, pool: Executor
) -> Parameters:
    """One Gaussian a state, from sentences cut into equally long states.

    All of silence starts as its middle state: five states at each end of a sentence of one short word would
    take half of it, and keep the word.
    """
    n = len(states.units)
    start = Parameters(Mixtures.flat(n, mean, variance), np.full(n, FIRST_STAY), np.array(FIRST_PAUSES))
    cut = train.statistics(start, "flat", pool).estimate(start, 0.01 * variance)
    like = np.arange(n)
    like[list(states.columns[SILENCE])] = states.columns[SHORT_PAUSE][0]
    mixtures = Mixtures(np.ones(n), cut.mixtures.means[like], cut.mixtures.variances[like], np.arange(n + 1))
    return Parameters(mixtures, start.stay, start.pauses)


def train(
    settings: GmmHmmSettings,
    states: States,
    train: Transcribed,
    dev: Transcribed | None,
    workdir: Path,
    pool: Executor,
) -> Parameters:
    """Estimate all parameters; goes on from ``workdir/state.safetensors`` where an earlier call left it.

    ``workdir/metrics.csv`` gets one row a pass: the log likelihood per frame is that of the parameters the
    pass began with, so it cannot fall but where the Gaussians grew.

    Raises
    ------
    DataError
        If no utterance could be aligned.
    ModelError
        If the likelihood is not a number.
    """
    if not train.sentences:
        raise DataError("no training utterance could be aligned", fix="check lexicon and transcripts")
    mean, variance = train.store.moments()
    floor = np.maximum(settings.variance_floor * variance, 1e-6)
    schedule = plan(settings, len(states.units))
    resume = _Resume(workdir, settings, states, train)
    parameters, occupancy, rows = resume.load()
    if parameters is None:
        parameters = flat_start(states, train, mean, np.maximum(variance, floor), pool)
    with bar() as progress:
        task = progress.add_task("training", total=len(schedule), completed=len(rows))
        for number in range(len(rows), len(schedule)):
            began = time.perf_counter()
            if number > 0 and schedule[number] > schedule[number - 1]:
                grown = parameters.mixtures.split(
                    occupancy, schedule[number], settings.frames_per_gaussian, settings.power
                )
                parameters = Parameters(grown, parameters.stay, parameters.pauses)
            counts = train.statistics(parameters, settings.estimation, pool)
            if not np.isfinite(counts.log_likelihood):
                raise ModelError(f"training broke down in pass {number + 1}: the likelihood is not a number")
            held_out = ""
            if (
                dev is not None
                and dev.sentences
                and schedule[number : number + 2].count(schedule[number]) == 1
            ):
                seen = dev.statistics(parameters, "viterbi", pool)
                held_out = f"{seen.log_likelihood / seen.frames:.5f}"
            occupancy = counts.mixtures.occupancy
            components = parameters.mixtures.components
            parameters = counts.estimate(parameters, floor)
            rows.append(
                {
                    "pass": str(number + 1),
                    "gaussians": str(components),
                    "log_likelihood": f"{counts.log_likelihood / counts.frames:.6f}",
                    "dev_log_likelihood": held_out,
                    "left_out": str(train.left_out),
                    "seconds": f"{time.perf_counter() - began:.2f}",
                }
            )
            resume.save(parameters, occupancy, rows)
            progress.advance(task)
    return parameters


class _Resume:
    """What a killed training leaves behind: the parameters after the last whole pass, the metrics so far."""

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
