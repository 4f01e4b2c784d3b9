"""`asr check`: what is wrong with a corpus, manifest, lexicon, language model, config, run or recording."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from asr.data.check import Findings
    from asr.errors import AsrError

SHOWN, SHOWN_OF_KIND = 50, 5


def check(
    thing: Annotated[
        Path,
        typer.Argument(
            help="A prepared corpus, a manifest (JSON lines, CSV, Kaldi folder), a lexicon, an ARPA file, a "
            "YAML file of settings, a run folder, or a recording."
        ),
    ],
    language: Annotated[str, typer.Option(help="Language code (ISO 639) of texts or a lexicon.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Print every finding, however many.")] = False,
    overfit: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Also let a CTC recipe learn ten utterances of a corpus by heart, in about a minute.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of that recipe.")
    ] = None,
) -> None:
    """Check a thing before hours are spent on it: every problem is one line, with what to do.

    The exit code is 1 if there are problems; warnings leave it 0.
    """
    kind, found = examine(thing, language)
    if settings and overfit is None:
        from asr.errors import UsageError

        raise UsageError("--set changes a recipe, and none is named", fix="name one with --overfit RECIPE")
    if overfit is not None:
        _learn_by_heart(thing, kind, overfit, settings or [], found)
    if as_json:
        report = {
            "kind": kind,
            "path": str(thing),
            "facts": found.facts,
            "problems": [str(e) for e in found.problems],
            "warnings": [str(e) for e in found.warnings],
        }
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        for name, errors in (("problem", found.problems), ("warning", found.warnings)):
            of_kind: Counter[str] = Counter()
            shown = 0
            for e in errors:
                of_kind[what := _kind(e)] += 1
                if everything or (of_kind[what] <= SHOWN_OF_KIND and shown < SHOWN):
                    typer.echo(f"{name}: {e}")
                    shown += 1
            if more := len(errors) - shown:
                typer.echo(f"... and {more:,} more {name}{'s' if more > 1 else ''} (--all shows them)")
        for name, fact in found.facts.items():
            typer.echo(f"{name}: {fact}")
        verdict = "sound" if not found.problems else f"{_count(len(found.problems), 'problem')}"
        warnings = f", {_count(len(found.warnings), 'warning')}" if found.warnings else ""
        typer.echo(f"{kind} {thing}: {verdict}{warnings}")
    if found.problems:
        raise typer.Exit(1)


def examine(thing: Path, language: str = "en") -> tuple[str, Findings]:
    """What `thing` is, and what is wrong with it.

    Raises
    ------
    DataError
        If there is no such thing, or a folder of none.
    UsageError
        If it is a file of none.
    """
    from asr.data import check as data
    from asr.data.audio import SUFFIXES, UNREADABLE
    from asr.errors import DataError
    from asr.files import has_system, run_below
    from asr.text import ngram

    if not thing.exists():
        raise DataError("no such file or folder", path=thing, fix="give the path of what is to be checked")
    name = thing.name.lower()
    if thing.is_dir():
        if (thing / "corpus.json").exists():
            return "corpus", data.check_corpus(thing)
        if has_system(thing) or any((thing / name).exists() for name in ("config.yaml", "record.json")):
            return "run", _check_run(thing)
        if (thing / "wav.scp").exists() or any(thing.glob("*/wav.scp")):
            return "manifest", data.check_manifest(thing, language)
        if (thing / "manifest.jsonl").exists():
            return "manifest", data.check_manifest(thing / "manifest.jsonl", language)
        fix = "give a prepared corpus, a run or a Kaldi data folder, or a file"
        if (one := run_below(thing)) is not None:
            fix = f"give one of its runs, as {one}"
        raise DataError("a folder of no known kind", path=thing, fix=fix)
    if name.endswith((".yaml", ".yml")):
        return "settings", _check_settings(thing)
    if name.endswith((".jsonl", ".json", ".csv", ".tsv")):
        return "manifest", data.check_manifest(thing, language)
    if name.endswith(ngram.SUFFIXES):
        return "language model", data.check_lm(thing)
    if name.endswith((*SUFFIXES, *UNREADABLE)):
        return "recording", data.check_audio(thing)
    refuse_transcripts(thing)
    return "lexicon", data.check_lexicon(thing, language)


def refuse_transcripts(path: Path) -> None:
    """A UsageError for files that a reader of lexicons would take for one."""
    from asr.errors import UsageError

    suffix = path.suffix.lower()
    if suffix in (".trn", ".ctm", ".stm", ".textgrid", ".srt", ".vtt"):
        fix = "`asr score` counts the errors of trn, stm, ctm and jsonl files"
        raise UsageError(f"a {suffix[1:]} file of transcripts, not a lexicon", path=path, fix=fix)


def _learn_by_heart(folder: Path, kind: str, recipe: str, overrides: Sequence[str], found: Findings) -> None:
    """Whether a recipe's network learns ten utterances; those that it does not are named."""
    from asr.cell import recipe_settings
    from asr.data.corpus import Corpus
    from asr.errors import AsrError, ModelError, UsageError
    from asr.models.ctc.overfit import LEARNED, PASSES, overfit
    from asr.models.ctc.settings import CtcSettings
    from asr.text.lexicon import Lexicon

    model = recipe_settings(recipe, overrides).model
    if kind != "corpus" or not isinstance(model, CtcSettings):
        raise UsageError(
            "--overfit lets a CTC recipe learn from a prepared corpus",
            fix="asr check CORPUS --overfit raw_ctc",
        )
    corpus = Corpus.open(folder)
    try:
        lexicon = Lexicon.load(corpus.lexicon_path, corpus.language)
        result = overfit(model, lexicon, corpus.cuts("train").to_eager())
    except AsrError as e:
        found.problems.append(e)
        return
    rate = result.scores.rate or 0.0
    found.facts[f"{recipe} after {PASSES} passes over ten utterances"] = f"{rate:.1f}% of their labels wrong"
    if rate > LEARNED:
        worst = sorted(result.utterances, key=lambda u: -(u.scores.rate or 0.0))[:3]
        found.problems.append(
            ModelError(
                f"{recipe} cannot learn ten utterances by heart: {rate:.1f}% of their labels are wrong after "
                f"{PASSES} passes",
                path=folder,
                fix=f"a lower model.learning_rate (it is {model.learning_rate:g}); listen to "
                + ", ".join(u.id for u in worst),
            )
        )


def _kind(error: AsrError) -> str:
    """What is wrong, whatever it is wrong with: no numbers, paths, quoted things, nothing that is listed."""
    said = re.sub(r"'[^']*'", "", error.what)
    return " ".join(word for word in said.split() if not re.search(r"[\d/]|\.\w", word)).partition(":")[0]


def _check_settings(path: Path) -> Findings:
    """A recipe, a bench, or a part that they list under `extends:`."""
    from asr.cell import ExperimentSettings, recipe_settings
    from asr.config import load_yaml, parse
    from asr.data.check import Findings
    from asr.data.corpora.assemble import own_lexicon
    from asr.design import BenchSettings, load_bench
    from asr.errors import AsrError

    found = Findings()
    try:
        keys = load_yaml(path)
        if "recipes" in keys:
            bench = load_bench(path)
            for cell in bench.cells(Path()):
                cell.settings()
            for corpus in bench.corpora:
                try:
                    corpus.check()
                    prepared = (corpus.where() / "corpus.json").exists()
                    words = corpus.options.get("lexicon")
                    if not prepared and words is not None:
                        own_lexicon(Path(words), corpus.options.get("language", "en"))
                except AsrError as e:
                    found.problems.append(e)
            found.facts["corpora"] = ", ".join(c.name for c in bench.corpora) or "none, give --data DIR"
            found.facts["bench of"] = ", ".join(bench.recipes)
        elif "recipe" in keys:
            found.facts["recipe"] = recipe_settings(str(path)).recipe
        else:
            if not keys.keys() <= ExperimentSettings.model_fields.keys():  # then of a bench
                parse(BenchSettings, {"recipes": [], **keys}, path)
            found.facts["a part with the keys"] = ", ".join(keys) or "none"
    except AsrError as e:
        found.problems.append(e)
    return found


def _check_run(folder: Path) -> Findings:
    """A run folder, or the system folder of one."""
    from asr.data.check import Findings
    from asr.errors import AsrError, ModelError
    from asr.files import has_system
    from asr.record import RunRecord
    from asr.system import System

    found = Findings()
    config = folder / "config.yaml"
    if config.exists():
        found.problems.extend(_check_settings(config).problems)
    if config.exists() or (folder / "record.json").exists():
        try:
            record = RunRecord.load(folder)
            row = record.row
            said = (f"training {alarm}" for alarm in record.alarms)
            found.warnings.extend(ModelError(line, path=folder) for line in said)
            found.facts["result"] = f"{row.get('split')} WER {row.get('wer')}%"
        except AsrError as e:
            found.problems.append(e)
    if not config.exists() and not has_system(folder):
        found.facts["system"] = "not here: these are kept results"
        return found
    try:
        system = System.load(folder)
        found.facts["system"] = f"{system.name}, {system.model.parameters_count():,} parameters"
        found.facts["search graph"] = f"{len(system.graph.arcs.final):,} states"
        if system.phoneme_search:
            graph = system.of_phonemes().graph
            found.facts["phoneme graph"] = f"{len(graph.arcs.final):,} states"
    except AsrError as e:
        found.problems.append(e)
    return found


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
