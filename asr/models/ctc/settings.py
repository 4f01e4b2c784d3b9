"""Settings of the CTC networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from asr.data.audio import SUFFIXES
from asr.data.budget import TOLERANCE
from asr.errors import DataError
from asr.models.networks.machine import require
from asr.models.networks.settings import NetworkSettings

MANY_H = 2.0 * (1.0 - TOLERANCE)  # a budget comes no closer than that to its two hours


class CtcSettings(NetworkSettings):
    """Everything `raw_ctc` and `phoneme_ctc` can be told; they differ in `targets` alone."""

    type: Literal["ctc"] = "ctc"
    targets: Literal["phonemes", "characters"] = "characters"
    """What the network writes: the lexicon's phonemes, or letters and a word end."""
    phoneme_share: float | None = Field(None, ge=0, le=1)
    """Teach one encoder phonemes and characters, with an output layer for each: the phonemes' share of the
    loss. `targets` says which of them is searched; 1: phonemes alone are taught, 0: characters alone; None:
    by the rule of `for_hours`."""

    flat_start: float = Field(0.08, ge=0, le=1)
    """Share of the first cycle's steps over which the loss moves from labels spread evenly to CTC; 0: CTC at
    once."""
    crf: float = Field(0.3, ge=0, le=1)
    """Share of the denominator in the loss of a second cycle: 1 for a random field over label sequences."""
    crf_passes: float = Field(0.13, ge=0)
    """Passes of that cycle, as a share of those before it, and up to the next validation; without it, or with
    `crf` 0, there is only CTC."""
    crf_order: int = Field(3, ge=2)
    """Of the n-gram of labels that weighs them."""
    consistency: float | None = Field(None, ge=0)
    """Factor on the divergence between the posteriors of two maskings of each batch, from when masks begin
    (CR-CTC), each with 2.5 times as many time masks; a pass then takes twice as long. 0: one masking; None:
    by the rule of `for_hours`."""
    intermediate: float = Field(0.0, ge=0, lt=1)
    """Share of the loss that is CTC of what the convolutions give, by the same output layer (InterCTC)."""
    noise_share: float = Field(0.0, ge=0, le=1)
    """Share of the training utterances of each pass that noise is added to."""
    noise_snr: tuple[float, float] = (5.0, 25.0)
    """Between what signal-to-noise ratios, in dB."""
    noise_from: str | None = None
    """A folder of recorded noises; None: random noise of random colour."""
    room_share: float = Field(0.0, ge=0, le=1)
    """Share of the training utterances of each pass that are heard in a random room."""
    processes: int = Field(1, ge=1)
    """That share each batch (DistributedDataParallel); the figures are those of one."""
    speeds: tuple[Annotated[float, Field(ge=0.1)], ...] = Field((0.9, 1.0, 1.1), min_length=1)
    """Speed factors drawn for each utterance of a pass; (1.0,) for none."""
    shortest_first: bool = False
    """The first pass goes from short utterances to long ones (SortaGrad)."""

    @model_validator(mode="after")
    def _is_taught(self) -> Self:
        if self.phoneme_share == (0.0 if self.targets == "phonemes" else 1.0):
            what = f"phoneme_share: with {self.phoneme_share:g} no {self.targets} are learned"
            raise ValueError(f"{what}, but targets asks for them")
        return self

    @model_validator(mode="after")
    def _has_noise(self) -> Self:
        if self.noise_from is not None and not self.noise_share:
            raise ValueError("noise_from: no utterance gets noise; set noise_share")
        if self.noise_snr[0] > self.noise_snr[1]:
            raise ValueError("noise_snr: the lower ratio comes first")
        return self

    def noises(self) -> list[Path]:
        """The recordings that noise is taken from; none where noise is random or not added.

        Raises
        ------
        DataError
            If their folder is not there or holds no audio.
        """
        if not self.noise_share or self.noise_from is None:
            return []
        folder = Path(self.noise_from)
        if not folder.is_dir():
            raise DataError("no such folder of noises", path=folder, fix="correct model.noise_from")
        files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError("holds no audio", path=folder, fix="set model.noise_from to a folder of noises")
        return files

    def require(self, trained: bool = False) -> None:
        """Raise what is wanting on this machine; of a network that is `trained` no GPU is asked."""
        require(self, self.processes, trained)
        self.noises()

    @property
    def again(self) -> float:
        """Passes of the second cycle, as a share of those before it."""
        return self.crf_passes if self.crf else 0.0

    def for_hours(self, hours: float) -> CtcSettings:
        """These settings with what was left to the hours of the training set; both change at two hours.

        From there on each batch is masked twice, consistency 0.2: with 2.27 h of speechocean762 it took dev
        from 39.0 to 36.9% phoneme errors for 1.7 times the seconds, with 0.5 h from 51.4 to 51.3%. And an
        encoder for phonemes learns characters too, half and half: on dev of speechocean762 (seed 0) that
        took words by phonemes from 42.2 to 41.1% with 2.27 h, and from 51.8 to 51.6% with 1 h. Characters are
        taught alone, end to end means without phonemes.

        Reference
        ---------
        Yao et al. 2024, "CR-CTC: Consistency regularization on CTC for improved speech recognition", sec. 3;
        Caruana 1997, "Multitask learning".
        """
        many = hours >= MANY_H
        share = 0.0 if self.targets == "characters" else 0.5 if many else 1.0
        by_rule = {"consistency": 0.2 if many else 0.0, "phoneme_share": share}
        return self.model_copy(update={k: v for k, v in by_rule.items() if getattr(self, k) is None})

    @property
    def tasks(self) -> tuple[Literal["phonemes", "characters"], ...]:
        """What is taught, once `for_hours` has decided."""
        return (self.targets,) if self.phoneme_share in (None, 0.0, 1.0) else ("phonemes", "characters")

    @property
    def trained(self) -> CtcSettings:
        """What decides the training: of one encoder for both targets, not which of them is searched."""
        return self.model_copy(update={"targets": self.tasks[0]})
