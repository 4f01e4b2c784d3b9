"""A recogniser: acoustic model, lexicon, language model and search settings, in one portable folder."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from asr.config import Settings, override, parse
from asr.data.audio import SILENT
from asr.decode.align import Alignment, align
from asr.decode.confidence import Calibration
from asr.decode.graph import Graph
from asr.decode.hypothesis import Hypothesis
from asr.decode.search import SearchSettings, beam_search, confidences, scaled, search
from asr.emissions import Emissions
from asr.errors import AudioError, ConfigError, ModelError
from asr.files import replacing, system_folder, write_json
from asr.models import factory
from asr.models.base import AcousticModel
from asr.progress import console
from asr.segment import LONGEST_S
from asr.text.lexicon import Lexicon
from asr.text.normalize import normalize

FORMAT = 1


class Changeable(Settings):
    """What of a trained system's settings can still be changed, by the names that recipes have for them."""

    search: SearchSettings


@dataclass(frozen=True)
class PhonemeSearch:
    """How a system that was taught phonemes is searched for those alone.

    Attributes
    ----------
    lm
        Path of the ARPA model whose words are phonemes.
    settings, calibration
        As those of words.
    """

    lm: Path
    settings: SearchSettings
    calibration: Calibration = field(default_factory=Calibration)


@dataclass
class System:
    """Everything needed to turn audio into words.

    Attributes
    ----------
    name
        The recipe it was trained by.
    language
        Language of its texts, as in ``en``.
    model
        The trained acoustic model.
    lexicon
        Vocabulary of the search, in the model's tokens.
    lm
        Path of the ARPA language model.
    settings
        Scales, penalty and beam tuned on dev.
    first
        The same of the search that finds what to adapt to; None for models that do not adapt.
    one_pass
        Whether a model that could adapt to speakers is searched once, as it is.
    calibration
        What makes probabilities of the search's confidences, learned on dev.
    longest_s
        Seconds of the pieces that a long recording is cut into, see `asr.segment.piece_s`.
    phoneme_search
        How it is searched for phonemes instead of words; None for a model that writes none, or tokens that
        depend on their place in a word, and for a system from before there was such a search.
    """

    name: str
    language: str
    model: AcousticModel
    lexicon: Lexicon
    lm: Path
    settings: SearchSettings
    first: SearchSettings | None = None
    one_pass: bool = False
    calibration: Calibration = field(default_factory=Calibration)
    longest_s: float = LONGEST_S
    phoneme_search: PhonemeSearch | None = None
    _graph: Graph | None = None

    @property
    def sample_rate(self) -> int:
        """Samples per second the acoustic model works at."""
        return self.model.sample_rate

    @property
    def adapts(self) -> bool:
        """Whether recognition moves the model to each speaker."""
        return self.model.adapts and not self.one_pass

    def changed(self, assignments: Sequence[str], one_pass: bool = False) -> System:
        """The same system searching otherwise: faster, or more thoroughly.

        Parameters
        ----------
        assignments
            ``search.beam=8`` and the like; where there are several searches, of all.
        one_pass
            Leave out the adaptation to speakers, and with it the second search; of a hybrid also the network,
            which takes adapted features.

        Raises
        ------
        ConfigError
            If there is no such setting of the search, or the value does not fit.
        """
        for assignment in assignments:
            key, known = assignment.partition("=")[0], ", search.".join(SearchSettings.model_fields)
            if key in SearchSettings.model_fields:
                raise ConfigError(f"unknown key {key!r}", fix=f"did you mean 'search.{key}'?")
            if key.partition(".")[0] != "search":
                raise ConfigError(f"{key} is fixed once trained", fix=f"change one of search.{known}")

        def with_changes(settings: SearchSettings) -> SearchSettings:
            return parse(Changeable, override({"search": settings.model_dump()}, assignments)).search

        if one_pass and not self.model.adapts:
            console.print(f"asr: {self.name} searches once in any case", markup=False, soft_wrap=True)
        settings, first, phonemes = self.settings, self.first, self.phoneme_search
        if one_pass and first is not None:  # its scales belong to features that are not adapted
            settings = first.model_copy(update={"beam": settings.beam, "max_active": settings.max_active})
        return replace(
            self,
            settings=with_changes(settings),
            first=with_changes(first) if first else None,
            phoneme_search=replace(phonemes, settings=with_changes(phonemes.settings)) if phonemes else None,
            one_pass=one_pass,
        )

    def of_phonemes(self) -> System:
        """The same recogniser with phonemes for words, whatever the words are.

        Raises
        ------
        ModelError
            If it has no `phoneme_search`.
        """
        if self.phoneme_search is None:
            raise ModelError(
                f"{self.name} cannot write phonemes",
                fix="name a run of phoneme_ctc; recipes/phoneme_ctc/README.md tells of old ones",
            )
        return replace(
            self,
            lexicon=Lexicon({token: [(token,)] for token in self.model.topology.tokens}),
            lm=self.phoneme_search.lm,
            settings=self.phoneme_search.settings,
            calibration=self.phoneme_search.calibration,
            phoneme_search=None,
            _graph=None,
        )

    @property
    def graph(self) -> Graph:
        """The search graph, built or fetched from the cache at first use."""
        if self._graph is None:
            self._graph = Graph.build(self.model.topology, self.lexicon, self.lm)
        return self._graph

    def decode(self, emissions: Emissions) -> Hypothesis:
        """The best words for one utterance's emissions, and how likely each of them is right."""
        found = search(emissions, self.graph, self.settings, log_prior=self.model.log_prior)
        words = (replace(w, confidence=self.calibration(w.confidence)) for w in found.words)
        return replace(found, words=tuple(words))

    def emissions(
        self, waveforms: Sequence[np.ndarray], sample_rate: int
    ) -> tuple[list[Emissions], list[str] | None]:
        """Emissions of several utterances of one speaker, each (samples,) float32 in -1..1.

        Where the model adapts to speakers: after a first search, together with the texts that one found.

        Raises
        ------
        AudioError
            If a sample is no finite number.
        """
        if odd := [n for n, waveform in enumerate(waveforms) if not np.isfinite(waveform).all()]:
            raise AudioError(f"waveform {odd[0]} of {len(waveforms)} holds samples that are no numbers")
        emissions = self.model.emit(waveforms, sample_rate)
        if not self.adapts or not emissions:
            return emissions, None
        first = self.first or self.settings
        paths = [beam_search(scaled(e, first), self.graph, first) for e in emissions]
        columns = [path.columns for path in paths]
        return self.model.adapt(waveforms, sample_rate, columns), [" ".join(p.words) for p in paths]

    def transcribe(self, waveforms: Sequence[np.ndarray], sample_rate: int) -> list[Hypothesis]:
        """Words of several utterances of one speaker, each (samples,) float32 in -1..1; silence has none."""
        emissions, _ = self.emissions(waveforms, sample_rate)
        return [
            self.decode(e) if np.abs(w).max(initial=0.0) >= SILENT else Hypothesis(())
            for e, w in zip(emissions, waveforms, strict=True)
        ]

    def align(self, waveform: np.ndarray, sample_rate: int, text: str) -> Alignment:
        """Times of the words of a known text in one waveform, and how much they sound like it.

        Raises
        ------
        LexiconError
            Names a word of the text that the system's lexicon lacks.
        """
        words = normalize(text, self.language).split()
        (emissions,) = self.model.emit([waveform], sample_rate)
        found = align(emissions, self.model.topology, self.lexicon, words)
        if self.adapts:
            (emissions,) = self.model.adapt([waveform], sample_rate, [found.columns])
            found = align(emissions, self.model.topology, self.lexicon, words)
        scores = scaled(emissions, self.settings, self.model.log_prior)
        heard = confidences(scores, found.columns, found.slots, found.of_word)
        sure = tuple(self.calibration(heard[i]) if i in heard else 0.0 for i in range(len(words)))
        return replace(found, confidences=sure)

    def save(self, folder: Path) -> None:
        """Write the portable folder; system.json comes last, so its presence means all is there."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "system.json").unlink(missing_ok=True)
        self.model.save(folder)
        self.lexicon.save(folder / "lexicon.txt")
        self.lm = _packed(self.lm, folder / "lm.arpa.gz")
        head = {"format": FORMAT, "name": self.name, "language": self.language}
        first = {"first_search": self.first.model_dump()} if self.first else {}
        tuned = _tuned(self.settings, self.calibration)
        if self.phoneme_search:
            lm = _packed(self.phoneme_search.lm, folder / "phonemes.arpa.gz")
            self.phoneme_search = replace(self.phoneme_search, lm=lm)
            tuned["phonemes"] = _tuned(self.phoneme_search.settings, self.phoneme_search.calibration)
        write_json(folder / "system.json", {**head, **first, **tuned, "longest_s": self.longest_s})

    @classmethod
    def load(cls, folder: str | Path) -> System:
        """Open a run folder or its ``system`` folder.

        Raises
        ------
        ModelError
            If there is no complete system in it.
        """
        folder = system_folder(Path(folder))
        path = folder / "system.json"
        if not path.exists():
            if not folder.exists():
                raise ModelError("no such folder", path=folder, fix="name a run folder")
            raise ModelError(
                "no trained system here (system.json is missing)",
                path=folder,
                fix="name a run folder that `asr train` or `asr bench` finished",
            )
        try:
            head = json.loads(path.read_text(encoding="utf-8"))
            if head["format"] != FORMAT:
                raise ModelError(f"is of format {head['format']}, this version reads {FORMAT}", path=path)
            settings = parse(SearchSettings, head["search"], path)
            first = parse(SearchSettings, head["first_search"], path) if "first_search" in head else None
            name, language = head["name"], head["language"]
            calibration = Calibration(**head.get("calibration", {}))
            longest_s = float(head.get("longest_s", LONGEST_S))
            phonemes = None
            if some := head.get("phonemes"):
                phonemes = PhonemeSearch(
                    folder / "phonemes.arpa.gz",
                    parse(SearchSettings, some["search"], path),
                    Calibration(**some["calibration"]),
                )
        except (ValueError, KeyError, TypeError) as e:
            raise ModelError(f"damaged ({e})", path=path, fix="copy the system folder again") from e
        for part in ("lm.arpa.gz", "phonemes.arpa.gz") if phonemes else ("lm.arpa.gz",):
            if not (folder / part).exists():
                raise ModelError(f"{part} is missing", path=folder, fix="copy the system folder again")
        return cls(
            name=name,
            language=language,
            model=factory.load(folder),
            lexicon=Lexicon.load(folder / "lexicon.txt", language),
            lm=folder / "lm.arpa.gz",
            settings=settings,
            first=first,
            calibration=calibration,
            longest_s=longest_s,
            phoneme_search=phonemes,
        )


def _packed(lm: Path, to: Path) -> Path:
    """Copy a language model, gzipped; its path is then `to`."""
    if lm != to:
        with replacing(to) as temporary, open(lm, "rb") as source:
            with (open if lm.suffix == ".gz" else gzip.open)(temporary, "wb") as copy:
                shutil.copyfileobj(source, copy)
    return to


def _tuned(settings: SearchSettings, calibration: Calibration) -> dict[str, Any]:
    return {"search": settings.model_dump(), "calibration": asdict(calibration)}
