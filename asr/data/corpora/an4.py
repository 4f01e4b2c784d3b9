"""AN4: 1,078 recordings of spelled and spoken addresses, numbers and commands (CMU census, 1991).

Two layouts are read: the official one (etc/an4_{train,test}.{fileids,transcription}, wav/ with .sph, .wav or
headerless .raw files, etc/an4.dic) and a folder with manifest.jsonl and an4.dic. Dev is a tenth of the train
speakers. Headerless recordings (16 kHz, 16 bit, either byte order) get a FLAC copy in the target folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from asr.data.corpora.assemble import Origin, assemble
from asr.data.corpora.jsonl import read_manifest
from asr.data.corpora.utterance import Utterance, numbered_lines
from asr.data.corpus import Corpus
from asr.errors import AsrError, DataError
from asr.files import replacing
from asr.text.lexicon import Lexicon

ORIGIN = Origin("an4", "en", "free for any use with acknowledgement", "CMU Robust Speech Recognition group")
RAW_RATE = 16000


def prepare(source: Path, target: Path) -> Corpus:
    """Prepare either layout."""
    problems: list[AsrError] = []
    if (source / "manifest.jsonl").exists():
        utterances = list(read_manifest(source / "manifest.jsonl", problems))
        lexicon = Lexicon.load(source / "an4.dic")
    else:
        utterances = list(_official(source, target / "audio", problems))
        lexicon = Lexicon.load(source / "etc" / "an4.dic")
    return assemble(target, ORIGIN, utterances, problems, lexicon=lexicon)


def _official(source: Path, converted: Path, problems: list[AsrError]) -> Iterator[Utterance]:
    for split in ("train", "test"):
        transcripts: dict[str, tuple[int, str]] = {}
        path = source / "etc" / f"an4_{split}.transcription"
        for i, line in numbered_lines(path, problems):
            match = re.fullmatch(r"(.*?)\s*\(([^()\s]+)\)", line)
            if match is None:
                what = "no `(utterance-id)` at the end of the line"
                problems.append(DataError(what, path=path, line=i, fix="write `<s> WORDS </s> (id)`"))
            else:
                transcripts[match[2]] = (i, re.sub(r"</?s>", "", match[1]))
        fileids = source / "etc" / f"an4_{split}.fileids"
        for i, line in numbered_lines(fileids, problems):
            name = Path(line).name
            audio = _find(source / "wav" / line)
            if audio is None or name not in transcripts:
                what = "no recording" if audio is None else f"no line in {path.name}"
                problems.append(DataError(what, path=fileids, line=i, utterance=name, fix="add it"))
                continue
            number, text = transcripts[name]
            yield Utterance(
                id=name,
                audio=_with_header(audio, converted) if audio.suffix == ".raw" else audio,
                text=text,
                speaker=Path(line).parent.name,
                split=split,
                where=(path, number),
            )


def _find(stem: Path) -> Path | None:
    return next(
        (p for s in (".wav", ".sph", ".flac", ".raw") if (p := stem.with_name(stem.name + s)).exists()), None
    )


def _with_header(raw: Path, folder: Path) -> Path:
    """A FLAC copy of headerless samples; of the two byte orders the smoother waveform is the right one."""
    data = raw.read_bytes()
    data = data[: len(data) // 2 * 2]
    little, big = np.frombuffer(data, "<i2"), np.frombuffer(data, ">i2")

    def roughness(samples: np.ndarray) -> float:
        return float(np.abs(np.diff(samples.astype(np.float32))).mean()) if samples.size > 1 else 0.0

    path = folder / f"{raw.stem}.flac"
    with replacing(path) as temporary:
        soundfile.write(
            temporary, (little if roughness(little) <= roughness(big) else big).astype(np.int16), RAW_RATE
        )
    return path
