"""Train CMU Sphinx on the hours, lexicon and language model of our recipes and set it beside them.

Features, trainer and decoder are the peer's own, at its defaults but for what is set here: 300 tied states
(best on dev for 2 h of speechocean762) and the language weight and word penalty, chosen on dev.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import soundfile
import typer
from lhotse import CutSet

from asr.cell import LmSettings, recipe_settings
from asr.data.audio import load_cut
from asr.data.budget import Budget
from asr.data.corpus import Corpus
from asr.errors import AsrError, ModelError, UsageError
from asr.experiment import full_lexicon, language_model, some_of
from asr.files import write_json, write_text
from asr.progress import track
from asr.record import RunRecord, provenance
from asr.score import score_texts
from asr.text.lexicon import Lexicon
from asr.text.ngram import NGram

# Debian package to the command of it that is called
PACKAGES = {
    "sphinxtrain": "sphinxtrain",
    "sphinxbase-utils": "sphinx_lm_convert",
    "pocketsphinx": "pocketsphinx_batch",
}
PROGRAMS = Path("/usr/lib/sphinxtrain")
STEPS = (
    "000.comp_feat/slave_feat.pl",
    "20.ci_hmm/slave_convg.pl",
    "30.cd_hmm_untied/slave_convg.pl",
    "40.buildtrees/slave.treebuilder.pl",
    "45.prunetree/slave.state-tying.pl",
    "50.cd_hmm_tied/slave_convg.pl",
)
RATE = 16000
FILLERS = "<s> SIL\n</s> SIL\n<sil> SIL\n"
LANGUAGE_WEIGHTS = (6.5, 9.5, 14.0, 19.0)
WORD_PENALTIES = (0.2, 1.0)  # factors on the probability of a word


def install() -> None:
    """Install the Debian packages whose commands are missing; UsageError where only root could."""
    missing = [package for package, command in PACKAGES.items() if shutil.which(command) is None]
    if not missing:
        return
    command = ["apt-get", "install", "--yes", *missing]
    if os.geteuid() or shutil.which("apt-get") is None:
        fix = f"on Debian or Ubuntu, as root: {' '.join(command)}"
        raise UsageError(f"not installed: {', '.join(missing)}", fix=fix)
    print(*command, file=sys.stderr)
    if subprocess.run(command, stdout=sys.stderr).returncode:
        raise UsageError("apt-get failed", fix="run `apt-get update` and try again")


def trainer() -> Path:
    """The folder of the scripts: Debian keeps them where its own `sphinxtrain` command does not look."""
    return next(Path("/usr/lib").glob("*-linux-gnu/sphinxtrain"), PROGRAMS)


def run(command: Sequence[object], folder: Path, log: Path) -> float:
    """Run a command of the peer's in `folder`; seconds it took. ModelError names the log where it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with open(log, "w") as out:
        # its Perl scripts load their configuration from the working directory
        done = subprocess.run(
            [str(c) for c in command],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PERL_USE_UNSAFE_INC": "1"},
        )
    if done.returncode:
        raise ModelError(f"{command[0]} failed (exit code {done.returncode}), see its log", path=log)
    return time.perf_counter() - began


def configured(text: str, settings: Mapping[str, object]) -> str:
    """sphinx_train.cfg (Perl) with other values; later assignments win over those of the template."""
    end = "$CFG_DONE = 1;"
    if end not in text:
        raise ModelError("sphinx_train.cfg has an unknown form", fix="use the sphinxtrain of Debian 12")
    return text.replace(end, "".join(f"$CFG_{k} = '{v}';\n" for k, v in settings.items()) + end)


def dictionary(lexicon: Lexicon) -> str:
    """``WORD P1 P2``, further pronunciations as ``WORD(2)``."""
    return "".join(
        f"{word}{'' if n == 1 else f'({n})'} {' '.join(pronunciation)}\n"
        for word, some in sorted(lexicon.entries.items())
        for n, pronunciation in enumerate(some, 1)
    )


@dataclass(frozen=True)
class Peer:
    """One training of the peer below `folder`; utterances are called by their number in a split."""

    folder: Path
    corpus: Corpus
    lexicon: Lexicon
    lm: Path
    states: int

    def write_audio(self, split: str, cuts: CutSet) -> list[str]:
        """The wav files of a split and their names, in the order of the cuts."""
        names = [f"{split}{n:06d}" for n in range(len(cuts))]
        (self.folder / "wav").mkdir(parents=True, exist_ok=True)
        for name, cut in track(list(zip(names, cuts, strict=True)), f"writing {split}"):
            soundfile.write(self.folder / "wav" / f"{name}.wav", load_cut(cut, RATE), RATE, "PCM_16")
        return names

    def train(self, cuts: CutSet) -> float:
        """Train triphones on `cuts`; seconds of wall-clock, features included."""
        names = self.write_audio("train", cuts)
        etc = self.folder / "etc"
        # it accepts no phoneme that the training audio never holds; words with such are not searched, too
        said = {word for cut in cuts for word in cut.supervisions[0].text.split()}
        lexicon = self.lexicon.restricted(sorted(said))
        write_text(etc / "peer.dic", dictionary(lexicon))
        write_text(etc / "peer.filler", FILLERS)
        write_text(etc / "peer.phone", "".join(f"{p}\n" for p in sorted({*lexicon.phones(), "SIL"})))
        write_text(etc / "peer_train.fileids", "".join(f"{name}\n" for name in names))
        texts = (f"<s> {c.supervisions[0].text} </s> ({n})\n" for n, c in zip(names, cuts, strict=True))
        write_text(etc / "peer_train.transcription", "".join(texts))
        # one part a core; its forced alignment and its own test decoding are off by default
        settings = {"N_TIED_STATES": self.states, "QUEUE_TYPE": "Queue::POSIX", "NPART": 2}
        places = {"DB_NAME": "peer", "BASE_DIR": self.folder, "SPHINXTRAIN_DIR": trainer(),
                  "SPHINXTRAIN_BIN_DIR": PROGRAMS}  # fmt: skip
        text = (trainer() / "etc" / "sphinx_train.cfg").read_text(encoding="utf-8")
        for name, value in places.items():
            text = text.replace(f"___{name}___", str(value))
        write_text(etc / "sphinx_train.cfg", configured(text, settings))
        shutil.copyfile(trainer() / "etc" / "feat.params", etc / "feat.params")
        seconds = 0.0
        for step in track(STEPS, "training"):
            log = self.folder / "logs" / f"{step.split('/')[0]}.log"
            seconds += run([trainer() / "scripts" / step], self.folder, log)
        return seconds

    @property
    def model(self) -> Path:
        """The folder of the last triphones, as many Gaussians a state as the training ends with."""
        found = self.folder / "model_parameters" / f"peer.cd_cont_{self.states}"
        if not found.exists():
            raise ModelError("the training left no triphones", path=self.folder / "logs")
        return found

    def write_search(self) -> None:
        """The vocabulary and language model of the search, those of our recipes."""
        ngram = NGram.read(self.lm)
        words = sorted(set(ngram.vocabulary) - {"<s>", "</s>", "<unk>"})
        known = set((self.folder / "etc" / "peer.phone").read_text(encoding="utf-8").split())
        found = self.lexicon.restricted(words).entries
        sayable = {word: [p for p in some if known.issuperset(p)] for word, some in found.items()}
        search = Lexicon({word: some for word, some in sayable.items() if some})
        write_text(self.folder / "search.dic", dictionary(search))
        write_text(self.folder / "filler", FILLERS)
        ngram.write(self.folder / "lm.arpa")
        command = ["sphinx_lm_convert", "-i", "lm.arpa", "-o", "lm.bin"]
        run(command, self.folder, self.folder / "lm.log")

    def decode(self, names: Sequence[str], weight: float, penalty: float) -> tuple[list[str], float]:
        """Texts found and seconds of one core, features included."""
        write_text(self.folder / "decode.ctl", "".join(f"{n}\n" for n in names))
        weights = itertools.chain.from_iterable((f"-{k}", weight) for k in ("lw", "fwdflatlw", "bestpathlw"))
        command = [
            "pocketsphinx_batch", "-hmm", self.model, "-dict", "search.dic", "-lm", "lm.bin",
            "-fdict", "filler", "-ctl", "decode.ctl", "-adcin", "yes", "-adchdr", 44, "-cepdir", "wav",
            "-cepext", ".wav", "-hyp", "decode.hyp", *weights, "-wip", penalty,
        ]  # fmt: skip
        seconds = run(command, self.folder, self.folder / "decode.log")
        found = {}
        for line in (self.folder / "decode.hyp").read_text(encoding="utf-8").splitlines():
            if match := re.fullmatch(r"(.*?)\s*\((\S+)(?: -?\d+)?\)", line.strip()):
                found[match[2]] = re.sub(r"\(\d+\)", "", match[1])
        return [found.get(name, "") for name in names], seconds


def main(
    data: Annotated[Path, typer.Option(help="A corpus folder made by `asr prepare`.")],
    to: Annotated[Path, typer.Option(help="Folder of the peer's files and of peer.json.")],
    hours: Annotated[float | None, typer.Option(help="Hours of training audio; all when left out.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the budget and of the dev utterances.")] = 0,
    states: Annotated[int, typer.Option(help="Tied states.")] = 300,
    ours: Annotated[list[Path] | None, typer.Option(help="Run folders of ours to set beside it.")] = None,
) -> None:
    """Train and score CMU Sphinx as our recipes are: same hours, lexicon and language model, tuned on dev."""
    install()
    corpus = Corpus.open(data)
    lm = language_model(corpus, LmSettings())
    peer = Peer(to.resolve(), corpus, full_lexicon(corpus, lm), lm, states)
    train_s = peer.train(Budget(hours, seed).select(corpus.cuts("train").to_eager()))
    peer.write_search()

    dev = corpus.cuts("dev").to_eager()
    some = some_of(dev, recipe_settings("mfcc_hmm").tune_utterances, seed)
    names = peer.write_audio("dev", some)
    texts = [c.supervisions[0].text for c in some]
    tried = []
    for weight, penalty in track(list(itertools.product(LANGUAGE_WEIGHTS, WORD_PENALTIES)), "tuning"):
        found, _ = peer.decode(names, weight, penalty)
        errors = score_texts(dict(zip(names, texts, strict=True)), dict(zip(names, found, strict=True)))
        tried.append({"lw": weight, "wip": penalty, "wer": errors.scores.rate})
    best = min(tried, key=lambda row: row["wer"])

    test = corpus.cuts("test").to_eager()
    names = peer.write_audio("test", test)
    found, seconds = peer.decode(names, best["lw"], best["wip"])
    texts = {n: c.supervisions[0].text for n, c in zip(names, test, strict=True)}
    wer = score_texts(texts, dict(zip(names, found, strict=True))).scores.rate
    rtf = seconds / sum(c.duration for c in test)
    row = {"wer": wer, "train_s": round(train_s, 1), "decode_rtf": round(rtf, 4), "states": states}
    write_json(peer.folder / "peer.json", {**row, "hours": hours, "seed": seed, "tuning": tried,
                                           "provenance": provenance()})  # fmt: skip
    typer.echo(f"{'':24}{'WER %':>8}{'train s':>10}{'RTF':>8}")
    typer.echo(f"{'sphinxtrain':24}{wer:8.1f}{train_s:10.0f}{rtf:8.3f}")
    for folder in ours or []:
        r = RunRecord.load(folder).row
        name = f"{r['recipe']}, {r['hours']:g} h"
        typer.echo(f"{name:24}{r['wer']:8.1f}{r['train_s']:10.0f}{r['decode_rtf']:8.3f}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except AsrError as e:
        sys.exit(f"sphinxtrain: error: {e}")
