"""Train and evaluate one cell of a comparison."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lhotse
import yaml
from lhotse import CutSet
from lhotse.cut import Cut

from asr import record
from asr.cell import Cell, ExperimentSettings, LmSettings
from asr.data.budget import Budget, some_text
from asr.data.corpus import Corpus, phones_of, text_of
from asr.decode.tune import TUNING_ACTIVE, neighbours, tune
from asr.errors import DataError
from asr.evaluation import Emitted, calibrate, emissions_of, evaluate
from asr.files import alone, cache_folder, content_hash, discard_partial, has_system, write_json, write_text
from asr.models import factory
from asr.models.base import AcousticModel
from asr.models.networks.resume import SUMMARY
from asr.progress import console, track
from asr.score import Scores, score_texts
from asr.segment import piece_s
from asr.system import PhonemeSearch, System
from asr.text.g2p import complete
from asr.text.lexicon import Lexicon
from asr.text.ngram import NGram
from asr.text.normalize import wrong_case
from asr.text.units import WORD_END

CHECKPOINTS = "checkpoints"  # of a run folder: what its training, or that of another run, left
TRAINED = f"{CHECKPOINTS}/trained.json"  # what a finished training took
FIRST_BEAM = 11.0  # of the search before adaptation
ROUGH_UTTERANCES = 50  # of dev, that the search before adaptation is tuned on
STEP_UTTERANCES = 100  # of dev, that steps of a training are compared on
# Of the n-gram of phonemes, see recipes/phoneme_ctc/README.md; a graph of order 5 is three times as large.
PHONEME_ORDER = 4


def run_cell(cell: Cell, folder: Path, stage: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Train, tune on dev, score test once, or dev; return the cell's row of results.csv.

    A finished run is not run again, an interrupted one goes on from its last checkpoint.

    Parameters
    ----------
    cell
        What to run.
    folder
        The run folder.
    stage
        Called with the name of each stage as it begins.
    """
    discard_partial(folder, "**")
    if (folder / "record.json").exists():
        return record.RunRecord.load(folder).row
    origin = record.provenance()  # of the code that runs, whatever is checked out meanwhile
    settings = cell.settings()
    corpus = Corpus.open(cell.corpus)
    budget = Budget(cell.hours, cell.seed)
    train = budget.select(corpus.cuts("train")).to_eager()
    train_s = sum(c.duration for c in train)
    # of a corpus that does not tell its hours
    settings = settings.model_copy(update={"model": settings.model.for_hours(train_s / 3600)})
    require(settings, folder, folder / CHECKPOINTS)  # what is missing is told before anything is done
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "config.yaml", yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))

    lhotse.utils.fix_random_seed(cell.seed)
    progress = folder / "progress.json"  # what the finished stages of an interrupted run found
    done: dict[str, Any] = json.loads(progress.read_text()) if progress.exists() else {}

    stage("lexicon and language model")
    lm = language_model(corpus, settings.lm)
    # with the words of all text, so that cells of fewer words train the same units
    lexicon = full_lexicon(corpus, lm, language_model(corpus, settings.lm.model_copy(update={"words": None})))

    if (folder / "system" / "system.json").exists():
        system = System.load(folder)
    else:
        model = factory.create(settings.model, lexicon, cell.seed)
        done |= _trained(model, train, corpus.cuts("dev").to_eager(), folder / CHECKPOINTS, stage)

        stage("tuning on dev")
        began = time.perf_counter()
        system = System(
            name=settings.recipe,
            language=corpus.language,
            model=model,
            lexicon=search_lexicon(model, lexicon, lm),
            lm=lm,
            settings=settings.search,
            longest_s=piece_s([c.duration for c in train]),
        )
        done["tuning"] = tune_on(system, corpus.cuts("dev"), settings.tune_utterances, cell.seed)
        if model.topology.kind == "ctc" and WORD_END not in model.units:
            stage("tuning phonemes on dev")
            done["phoneme_tuning"] = tune_phonemes_on(
                system, train, corpus.cuts("dev"), lexicon, settings.tune_utterances, cell.seed
            )
        done["tune_s"] = time.perf_counter() - began
        if steps := model.steps(folder / CHECKPOINTS):
            stage("each step on dev")
            began = time.perf_counter()
            done["steps"] = steps_on(system, steps, corpus.cuts("dev"), cell.seed)
            done["steps_s"] = time.perf_counter() - began
        write_json(progress, done)
        system.save(folder / "system")

    stage(f"scoring {cell.split}")
    began = time.perf_counter()
    figures = evaluate_split(system, corpus, lexicon, cell.split, folder / "decode" / cell.split)
    row = {
        "corpus": corpus.name,
        "recipe": settings.recipe,
        "hours": round(train_s / 3600, 5) if cell.hours is None else cell.hours,
        "text_words": text_words(corpus, settings.lm),
        "seed": cell.seed,
        "setting": " ".join(cell.overrides),
        "split": cell.split,
        **figures,
        "train_s": round(done["train_s"], 1),
        # a run that was begun before it was measured does not know
        "train_cpu_s": round(done["train_cpu_s"], 1) if "train_cpu_s" in done else None,
        # empty without a GPU, as what does not apply
        "train_gpu_s": round(done.get("train_gpu_s", 0.0), 1) or None,
        "peak_mb": round(max(record.peak_megabytes(), done.get("peak_mb", 0.0))),
        "disk_mb": round(sum(f.stat().st_size for f in (folder / "system").iterdir()) / 1e6, 1),
        "params": system.model.parameters_count(),
    }
    record.RunRecord(
        row=row,
        config=settings.model_dump(mode="json"),
        budget={
            "hours": cell.hours,
            "seed": cell.seed,
            "utterances": len(train),
            "seconds": round(train_s, 2),
            "sha256": budget.digest(train),
        },
        seconds={
            "train": done["train_s"],
            "tune": done["tune_s"],
            "steps": done.get("steps_s", 0.0),
            "test": time.perf_counter() - began,
        },
        tuning=done["tuning"],
        phoneme_tuning=done.get("phoneme_tuning", []),
        steps=done.get("steps", []),
        alarms=done.get("alarms", []),
        provenance=origin,
        training=cell.training(),
    ).save(folder)
    return row


def require(settings: ExperimentSettings, folder: Path, checkpoints: Path, elsewhere: bool = False) -> None:
    """Raise what a run needs of this machine and what is missing; once it has its system, nothing is.

    Parameters
    ----------
    settings
        Of the run.
    folder, checkpoints
        The run folder, and where its training is or will be.
    elsewhere
        Whether another machine will train it, whose GPUs are not seen from here.
    """
    if not has_system(folder):
        settings.model.require(trained=elsewhere or any(checkpoints.rglob(SUMMARY)))


def _trained(
    model: AcousticModel, train: CutSet, dev: CutSet, workdir: Path, stage: Callable[[str], None]
) -> dict[str, Any]:
    """Train `model` in `workdir`, or take what another cell trained there; what that training took."""
    with alone(workdir, lambda: stage("waiting for the training of another run")):
        stage("training")
        spent, clock = workdir / Path(TRAINED).name, workdir / "training_time.json"
        told: dict[str, Any] = json.loads(spent.read_text()) if spent.exists() else {}
        before = _weights(workdir)
        finished = bool(told) and told.get("weights", before) == before
        with record.Stopwatch(clock) as watch:
            model.fit(train, dev, workdir)
            took = {
                "train_s": watch.seconds,
                "train_cpu_s": watch.cpu_seconds,
                "train_gpu_s": watch.gpu_seconds,
            }
        weights = _weights(workdir)
        if not finished or weights != before:  # or else `fit` took what it found
            told = took | {"peak_mb": record.peak_megabytes()}
        told |= {"weights": weights, "alarms": model.alarms}
        write_json(spent, told)
        clock.unlink(missing_ok=True)  # one that is found was at a training that was killed
    return told


def _weights(workdir: Path) -> str:
    """Hash of the files of weights below a folder: a training that was made anew leaves others."""
    files = sorted(f for f in workdir.rglob("*") if f.suffix in (".ckpt", ".safetensors"))
    return content_hash(*(part for f in files for part in (str(f.relative_to(workdir)), f)))


def evaluate_split(system: System, corpus: Corpus, lexicon: Lexicon, split: str, to: Path) -> dict[str, Any]:
    """Score one split of a corpus into the folder `to`."""
    cuts = corpus.cuts(split).to_eager()
    return evaluate(system, cuts, to, {c.id: phonemes_of(c, lexicon) for c in cuts})


def phonemes_of(cut: Cut, lexicon: Lexicon) -> str:
    """What was said in a cut, phonemes between blanks: what the corpus tells, else the canonical ones."""
    return " ".join(phones_of(cut) or lexicon.pronounce(text_of(cut)))


def language_model(corpus: Corpus, settings: LmSettings) -> Path:
    """Path of the corpus' own ARPA file, else of one estimated from its lm.txt (kept by content hash).

    Raises
    ------
    UsageError
        If lm.txt does not have as many words as the settings ask for.
    """
    sentences = lm_text(corpus, settings)
    if sentences is None:
        assert corpus.lm_path is not None
        if settings.order:
            return corpus.lm_path
        sentences = [" ".join(NGram.read(corpus.lm_path).vocabulary)]

    def model() -> NGram:
        if settings.order:
            return NGram.estimate(sentences, settings.order)
        return NGram.uniform(word for sentence in sentences for word in sentence.split())

    return _kept_lm(content_hash(chr(10).join(sentences), str(settings.order)), model)


def _kept_lm(key: str, model: Callable[[], NGram]) -> Path:
    path = cache_folder("lm") / f"{key}.arpa.gz"
    if not path.exists():
        model().write(path)
    return path


def lm_text(corpus: Corpus, settings: LmSettings) -> list[str] | None:
    """The sentences that the language model is estimated from; None where the corpus' own model is used."""
    if settings.words is None and corpus.lm_path is not None:
        return None
    sentences = corpus.lm_text_path.read_text(encoding="utf-8").splitlines()
    return sentences if settings.words is None else some_text(sentences, settings.words)


def text_words(corpus: Corpus, settings: LmSettings) -> int | None:
    """Running words of text, as asked for or all; None where the corpus' own language model is used."""
    if settings.words is not None or corpus.lm_path is not None:
        return settings.words
    return len(corpus.lm_text_path.read_text(encoding="utf-8").split())


def full_lexicon(corpus: Corpus, *models: Path) -> Lexicon:
    """The corpus' lexicon, completed by grapheme-to-phoneme for words of its texts and language models.

    Raises
    ------
    DataError
        If texts are in the wrong case: their words would be others than those of lexicon and language model.
    """
    lexicon = Lexicon.load(corpus.lexicon_path, corpus.language).phonemic(corpus.lexicon_path)
    words = {w for lm in dict.fromkeys(models) for w in NGram.read(lm).vocabulary} - {"<s>", "</s>", "<unk>"}
    said = {w for split in corpus.splits for c in corpus.cuts(split) for w in text_of(c).split()}
    if cased := wrong_case(" ".join(sorted(w for w in said if w not in lexicon)), corpus.language):
        what = f"texts in the wrong case, they are to be in capitals: {cased}"
        raise DataError(what, path=corpus.folder, fix=f"`asr check {corpus.folder}` names their utterances")
    words |= said
    missing = sorted(w for w in words if w not in lexicon)
    if not missing:
        return lexicon
    shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
    console.print(
        f"asr: {len(missing)} words are not in the lexicon, a dictionary's ways or guesses are used: {shown}",
        markup=False,
        soft_wrap=True,
    )
    return complete(lexicon, missing, corpus.language)[0]


def search_lexicon(model: AcousticModel, lexicon: Lexicon, lm: Path) -> Lexicon:
    """The words the language model knows, as the model's tokens: the same vocabulary for every recipe.

    Pronunciations are as probable as `model` found them in training.
    """
    words = sorted(set(NGram.read(lm).vocabulary) - {"<s>", "</s>", "<unk>"})
    if WORD_END not in model.units:
        return lexicon.restricted(words).reestimated(model.spoken)
    spelled = Lexicon.spelling(words)
    known = set(model.units)
    return spelled.restricted([w for w in words if known.issuperset(*spelled.entries[w])])


def tune_on(
    system: System, dev: CutSet, utterances: int, seed: int, said: Callable[[Cut], str] = text_of
) -> list[dict[str, Any]]:
    """Set the system's scales by the word errors on (at most `utterances` of) dev; return what was tried.

    Then its confidences are calibrated there. What is searched for is what `said` finds in a cut: words, or
    phonemes, each a word.
    """
    cuts = some_of(dev, utterances, seed)
    references = {c.id: said(c) for c in cuts}
    model, tried = system.model, []
    # a model that adapts is searched twice: scales are tuned roughly without adaptation, then nearby with it
    for adapted in (False, True) if model.adapts else (False,):
        some = some_of(cuts, ROUGH_UTTERANCES, seed) if model.adapts and not adapted else cuts
        found = list(emissions_of(system, some, "dev", adapted))
        texts = [references[e.cut.id] for e in found]
        system.settings, more = tune(
            [e.emissions for e in found], texts, system.graph, system.settings, model.log_prior, adapted
        )
        tried += more
        if adapted or not model.adapts:
            calibrate(system, found, references)
        if model.adapts and not adapted:
            # it finds what to adapt to: 46.5% WER after that on dev of speechocean762 all the same
            beam = min(FIRST_BEAM, system.settings.beam)
            system.first = system.settings.model_copy(update={"beam": beam})
    return tried


def tune_phonemes_on(
    system: System, train: CutSet, dev: CutSet, lexicon: Lexicon, utterances: int, seed: int
) -> list[dict[str, Any]]:
    """Set the system's `phoneme_search`, by an n-gram of what `train` says; return what was tried on dev.

    Utterances with phonemes that the model does not know were left out of its training, and so they are here.

    Reference: Lee and Hon 1989, "Speaker-independent phone recognition using hidden Markov models", whose
    n-gram is a bigram.
    """
    tokens = system.model.topology.tokens
    known = set(tokens)
    sentences = [said for c in train if known.issuperset((said := phonemes_of(c, lexicon)).split())]
    key = content_hash("\n".join(sentences), " ".join(tokens), str(PHONEME_ORDER))
    lm = _kept_lm(key, lambda: NGram.estimate(sentences, PHONEME_ORDER, tokens))
    system.phoneme_search = PhonemeSearch(lm, system.settings)
    phoneme_system = system.of_phonemes()
    tried = tune_on(phoneme_system, dev, utterances, seed, lambda c: phonemes_of(c, lexicon))
    system.phoneme_search = PhonemeSearch(lm, phoneme_system.settings, phoneme_system.calibration)
    return tried


def steps_on(
    system: System, steps: Sequence[tuple[str, AcousticModel]], dev: CutSet, seed: int
) -> list[dict[str, Any]]:
    """WER in percent on STEP_UTTERANCES of dev after every step of a training.

    The last has the system's scales. Each one before has the best acoustic scale of three, that one and its
    neighbours on the grid: features that know more make sharper likelihoods. Which one is best is seen with
    few active paths, as in tuning.
    """
    cuts, rows = some_of(dev, STEP_UTTERANCES, seed), []
    references = {c.id: text_of(c) for c in cuts}

    def scores(earlier: System, emitted: Sequence[Emitted], **changes: float) -> Scores:
        earlier.settings = system.settings.model_copy(update=changes)
        found = {e.cut.id: earlier.decode(e.emissions).text for e in track(emitted, "searching")}
        return score_texts(references, found).scores

    scale, active = system.settings.acoustic_scale, min(TUNING_ACTIVE, system.settings.max_active)
    for name, model in steps:
        earlier = replace(system, model=model, _graph=None)
        emitted = list(emissions_of(earlier, cuts, name))
        best = scale
        if name != steps[-1][0]:
            errors = {
                s: scores(earlier, emitted, acoustic_scale=s, max_active=active).errors
                for s in neighbours(scale)
            }
            best = min(errors, key=lambda s: errors[s])
        found = scores(earlier, emitted, acoustic_scale=best)
        row = {"errors": found.errors, "wer": found.rate, "acoustic_scale": best}
        rows.append({"step": name, "utterances": len(cuts), **row})
    return rows


def some_of(cuts: CutSet, number: int, seed: int) -> CutSet:
    """At most `number` of some cuts, the same ones for every recipe."""
    return CutSet.from_cuts(sorted(cuts, key=lambda c: content_hash(f"{seed}{c.id}"))[:number])
