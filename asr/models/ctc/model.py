"""`raw_ctc` and `phoneme_ctc`: one network from the waveform, to characters or to phonemes."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import lhotse
import numpy as np
import torch
from lhotse.cut import Cut
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from asr.config import parse
from asr.data.audio import load_cut
from asr.data.corpus import text_of
from asr.data.pool import speaker_batches
from asr.decode.align import align
from asr.decode.topology import Topology
from asr.emissions import Emissions
from asr.errors import AsrError, DataError, ModelError
from asr.files import content_hash, replacing, write_json
from asr.models.ctc.settings import CtcSettings
from asr.models.ctc.targets import Targets
from asr.models.networks.batches import Utterances
from asr.models.networks.network import FRAME_SHIFT_S, Network
from asr.models.networks.posteriors import posteriors
from asr.models.networks.transfer import begin
from asr.progress import track
from asr.text.lexicon import Lexicon, Pronunciation, Spoken
from asr.text.units import Units

PRIOR_S = 3600.0  # seconds of training audio that the prior is averaged over


class Ctc:
    """A CTC network as an AcousticModel.

    Parameters
    ----------
    settings
        Targets, sizes and training.
    lexicon
        Gives the units; and the pronunciations, where the targets are phonemes.
    seed
        Of the weights, the batches, the masks and dropout.

    Attributes
    ----------
    log_prior
        (units,) float32, log of the mean posterior of each unit on the training audio; uniform before `fit`.
    """

    def __init__(self, settings: CtcSettings, lexicon: Lexicon, seed: int = 0) -> None:
        self.targets: Targets | None = Targets(settings.targets, lexicon)
        self._build(settings, self.targets.units, seed)

    def _build(self, settings: CtcSettings, units: Units, seed: int) -> None:
        self.settings, self.units, self.seed = settings, units, seed
        self.topology = Topology.ctc(units)
        self.spoken: Spoken = {}
        self.alarms: list[str] = []
        self.sample_rate = settings.sample_rate
        self.log_prior = np.full(len(units), -np.log(len(units)), dtype=np.float32)
        self.network = Network.seeded(seed, settings, len(units))

    def fit(self, train: lhotse.CutSet, dev: lhotse.CutSet, workdir: Path) -> None:
        """Train on `train`, watch `dev`; go on from an interrupted call's `workdir`.

        What the settings leave to the hours is decided by `train`, for good.

        Raises
        ------
        DataError
            If no utterance of `train` or of `dev` is usable.
        ModelError
            If the model was loaded rather than made from a lexicon, or training breaks down.
        UsageError
            If GPUs are wanted that torch does not see.
        """
        if self.targets is None:
            raise ModelError(
                "a loaded model has no lexicon to train with", fix="make a new one with Ctc(...)"
            )
        # Lightning is slow to import, and `transcribe` never needs it
        from asr.models.ctc import training
        from asr.models.ctc.surroundings import Surroundings
        from asr.models.networks.resume import SUMMARY, Resume, key_of

        # before any audio is read
        self.settings.require(trained=(workdir / SUMMARY).exists())
        self.settings = self.settings.for_hours(sum(cut.duration for cut in train) / 3600)
        tasks = [Targets(kind, self.targets.lexicon) for kind in self.settings.tasks]
        cache = workdir / "audio"
        cache.mkdir(parents=True, exist_ok=True)
        encode = [task.encode for task in tasks]
        sets = {
            name: Utterances(cuts, encode, self.sample_rate, cache / name, name)
            for name, cuts in (("train", train), ("dev", dev))
        }
        for name, utterances in sets.items():
            if not len(utterances):
                raise DataError(
                    f"no usable utterance in {name}", fix="see the lines above, or `asr check` the corpus"
                )
        if not sets["train"].voices:  # it cannot learn what knowing the voice is good for
            self._build(self.settings.model_copy(update={"alone": 1.0}), self.units, self.seed)
        settings, network = self.settings.trained, self.network
        if len(tasks) > 1:
            first, second = (len(task.units) for task in tasks)
            network = Network.seeded(self.seed, settings, first, second=second)
        key = key_of(settings, tasks[0].units, self.seed, *sets.values())
        taken, key = begin(network, [task.units for task in tasks], settings.init_from, key)
        if noises := settings.noises():
            key = content_hash(key, *(f"{f.name} {f.stat().st_size}" for f in noises))
        resume = Resume(workdir, key)
        if not resume.finished:
            if settings.room_share or settings.noise_share:
                sets["train"].surroundings = Surroundings(settings, noises)
            training.train(network, sets["train"], sets["dev"], settings, self.seed, resume, taken)
        resume.load_final(network)
        self.alarms = resume.alarms
        if network.second is not None:
            network.output = network.heads[self.settings.tasks.index(self.settings.targets)]
            network.second = None
        self.network = network.eval()
        usable = set(sets["train"].ids)
        pools = speaker_batches(train.filter(lambda cut: cut.id in usable).to_eager())
        self.log_prior = self._mean_posterior(pools)
        if self.settings.targets == "phonemes":
            self.spoken = self._spoken(pools, self.targets.lexicon)
        del sets
        shutil.rmtree(cache)

    def _emitted(self, cuts: Sequence[Cut]) -> list[Emissions]:
        """Emissions of cuts of one speaker."""
        return self.emit([load_cut(cut, self.sample_rate) for cut in cuts], self.sample_rate)

    def _mean_posterior(self, pools: Sequence[Sequence[Cut]]) -> np.ndarray:
        total, done = np.zeros(len(self.units)), 0.0
        for k in np.random.default_rng(self.seed).permutation(len(pools)):
            for cut, emissions in zip(pools[k], self._emitted(pools[k]), strict=True):
                total += np.exp(emissions.scores).sum(axis=0, dtype=float)
                done += cut.duration
            if done >= PRIOR_S:
                break
        return np.log(np.maximum(total / total.sum(), 1e-8)).astype(np.float32)

    def _spoken(self, pools: Sequence[Sequence[Cut]], lexicon: Lexicon) -> dict[str, Counter[Pronunciation]]:
        """How often each word was said in each of its ways, where there are several to choose from."""
        found: defaultdict[str, Counter[Pronunciation]] = defaultdict(Counter)
        several = {word for word, ways in lexicon.entries.items() if len(ways) > 1}

        def tells(cut: Cut) -> bool:
            return not several.isdisjoint(text_of(cut).split())

        for cuts in track([pool for pool in pools if any(map(tells, pool))], "pronunciations"):
            for cut, emissions in zip(cuts, self._emitted(cuts), strict=True):
                if not tells(cut):
                    continue
                words = text_of(cut).split()
                with contextlib.suppress(AsrError):  # it tells nothing then
                    aligned = align(emissions, self.topology, lexicon, words)
                    for word, way in zip(words, aligned.pronunciations, strict=True):
                        found[word][way] += 1
        return found

    def emit(self, waveforms: Sequence[np.ndarray], sample_rate: int) -> list[Emissions]:
        """Log posteriors of one speaker's utterances, (samples,) float32 in -1..1; a frame every 40 ms.

        An utterance shorter than 0.8 s gets the frames of 0.8 s. The network computes where `to` put it.
        """
        found = posteriors(self.network, waveforms, sample_rate)
        return [Emissions(scores, self.units, FRAME_SHIFT_S, "posterior") for scores in found]

    def to(self, device: str) -> None:
        """Move the network, as to ``cuda``."""
        self.network.to(device)

    adapts = False

    def adapt(
        self, waveforms: Sequence[np.ndarray], sample_rate: int, columns: Sequence[np.ndarray]
    ) -> list[Emissions]:
        """A network of all speakers has nothing to adapt: what `emit` gives."""
        return self.emit(waveforms, sample_rate)

    def steps(self, workdir: Path) -> list[tuple[str, Self]]:
        """A network is trained in one step."""
        return []

    def save(self, folder: Path) -> None:
        """Write model.safetensors, units.txt and model.json below `folder`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        with replacing(folder / "model.safetensors") as temporary:
            save_file({**tensors, "log_prior": torch.from_numpy(self.log_prior)}, temporary)
        self.units.save(folder / "units.txt")
        write_json(
            folder / "model.json", {"settings": self.settings.model_dump(mode="json"), "seed": self.seed}
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            If a file is missing, damaged or does not fit the others.
        """
        folder = Path(folder)
        try:
            head = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            model = cls.__new__(cls)
            model.targets = None
            model._build(
                parse(CtcSettings, head["settings"]), Units.load(folder / "units.txt"), int(head["seed"])
            )
            tensors = load_file(folder / "model.safetensors")
            model.log_prior = tensors.pop("log_prior").numpy()
            model.network.load_state_dict(tensors)
        except (AsrError, OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as e:
            raise ModelError(f"not a usable CTC model ({e})", path=folder, fix="train it again") from e
        return model

    def parameters_count(self) -> int:
        """Number of trained numbers."""
        return sum(p.numel() for p in self.network.parameters())
