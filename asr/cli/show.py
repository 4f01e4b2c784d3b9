"""`asr show`: what a run, model, corpus, lexicon, language model or recipe holds."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import math
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.errors import DataError, LanguageModelError, ModelError, UsageError
from asr.progress import console, waiting

if TYPE_CHECKING:
    from rich.table import Table

ROWS = 12  # of a long list that the tables show; --json has all
COUNTERS = ("epoch", "step", "pass")  # columns of metrics.csv that are no figures
BARS = "▁▂▃▄▅▆▇█"

# what is shown: scalars are facts, mappings are sections, lists of mappings are tables
Facts = dict[str, Any]


def show(
    thing: Annotated[
        str,
        typer.Argument(
            help="A run folder, its system folder, a corpus folder, a lexicon, an ARPA file, "
            "a recipe's name or a YAML file."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    filters: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURE", help="Draw the learned filters of a run's network into a .png or .svg instead."
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER:NUMBER",
            help="Below them, the audio that excites a unit most, as in block2:17; with --data.",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The corpus folder whose dev audio --unit listens to.")
    ] = None,
) -> None:
    """Show what something holds: settings, results, losses, sizes."""
    if filters is not None:
        _draw_filters(thing, filters, unit, data)
        return
    if unit or data:
        raise UsageError("--unit and --data belong to a picture", fix="name it with --filters")
    facts = describe(thing)
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _print(facts)


def _draw_filters(run: str, picture: Path, unit: str | None, data: Path | None) -> None:
    if picture.suffix not in (".png", ".svg"):
        raise UsageError(
            f"cannot draw a {picture.suffix or 'file without an ending'}", fix="name a .png or .svg"
        )
    layer, _, number = (unit or "").partition(":")
    if unit and not number.isdecimal():
        raise UsageError(f"--unit {unit} is not LAYER:NUMBER", fix="as in block2:17")
    if bool(unit) != (data is not None):
        raise UsageError("--unit and --data go together", fix="give both, or none")
    with waiting(f"loading {run}"):
        from asr.data.corpus import Corpus
        from asr.models.ctc.model import Ctc
        from asr.report.filters import draw_filters, exciting
        from asr.system import System

        model = System.load(run).model
    if not isinstance(model, Ctc):
        raise UsageError(f"{run} has no network on the waveform", fix="name a run of raw_ctc or phoneme_ctc")
    pieces = []
    if data is not None:
        pieces = exciting(model.network, layer, int(number), Corpus.open(data).cuts("dev"))
    with waiting(f"drawing {picture}"):
        draw_filters(model.network, picture, pieces, unit or "")
    console.print(f"drawn into {picture}", markup=False, soft_wrap=True)


def describe(thing: str) -> Facts:
    """What `thing` holds, by what it is.

    Raises
    ------
    AsrError
        If there is nothing of that name, or it is damaged.
    """
    from asr.cli.check import refuse_transcripts
    from asr.data.audio import SUFFIXES
    from asr.files import has_system, run_below, system_folder
    from asr.text import ngram

    path = Path(thing)
    if path.is_dir():
        run = (path / "record.json").exists() or (path / "config.yaml").exists()
        if not run and has_system(path):
            return {"kind": "model", "path": thing, **_system(system_folder(path))}
        if (path / "corpus.json").exists():
            return {"kind": "corpus", "path": thing, **_corpus(path)}
        if run:
            return {"kind": "run", "path": thing, **_run(path)}
        fix = "name a folder of `asr train` or `asr prepare`"
        if (one := run_below(path)) is not None:
            fix = f"name one of its runs, as {one}, or open its report.html"
        raise DataError("neither a run, a model nor a corpus", path=path, fix=fix)
    if path.is_file():
        if path.suffix in (".yaml", ".yml"):
            return {"kind": "settings", "path": thing, **_settings(thing)}
        if path.name.lower().endswith(ngram.SUFFIXES):
            return {"kind": "language model", "path": thing, **_language_model(path)}
        refuse_transcripts(path)
        if path.name.lower().endswith((*SUFFIXES, ".csv", ".tsv", ".jsonl")):
            raise UsageError("nothing to show", path=path, fix=f"`asr check {path}` tells what it holds")
        return {"kind": "lexicon", "path": thing, **_lexicon(path)}
    from asr.cell import nearest_recipe, recipe_names

    if thing not in recipe_names():
        raise UsageError(f"no file, folder or recipe {thing!r}", fix=nearest_recipe(thing))
    return {"kind": "recipe", "name": thing, **_settings(thing)}


def _settings(recipe: str) -> Facts:
    """A recipe or its file fully resolved; another YAML file with what it extends."""
    from asr.cell import recipe_settings
    from asr.config import load_yaml

    path = Path(recipe)
    if path.is_file() and "recipe" not in (value := load_yaml(path)):
        return value
    return recipe_settings(recipe).model_dump(mode="json")


def _run(folder: Path) -> Facts:
    """A run folder, finished or not."""
    from asr.experiment import CHECKPOINTS
    from asr.record import RunRecord

    finished = (folder / "record.json").exists()
    facts: Facts = {"finished": finished}
    if finished:
        record = RunRecord.load(folder)
        facts |= {"result": {k: v for k, v in record.row.items() if v is not None}, "budget": record.budget}
        facts |= {"seconds": record.seconds, "tuning": _best_first(record.tuning)}
        if record.phoneme_tuning:
            facts["phoneme tuning"] = _best_first(record.phoneme_tuning)
        if record.alarms:
            facts["alarms"] = [{"training": alarm} for alarm in record.alarms]
        facts["provenance"] = record.provenance
        facts["settings"] = record.config
        if record.steps:
            facts["steps on dev"] = record.steps
    else:
        facts["settings"] = _settings(str(folder / "config.yaml"))
    # checkpoints may be a link to those of a cell that shares them, which rglob does not follow
    logs = sorted((folder / CHECKPOINTS).resolve().rglob("metrics.csv"))
    facts["training"] = [row for path in logs for row in _curves(path)]
    if (folder / "system" / "system.json").exists():
        facts["system"] = _system(folder / "system")
        if facts["system"]["model"].get("settings") == facts["settings"].get("model"):
            del facts["system"]["model"]["settings"]  # said above
    return facts


def _best_first(tried: list[Facts]) -> list[Facts]:
    """Scales that were tried on dev, in the order of their word errors."""
    return sorted(tried, key=lambda row: float(row.get("wer", 0)))


def _curves(path: Path) -> list[Facts]:
    """First, lowest and last value of each figure logged in training, and how it went."""
    try:
        with open(path, encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f))
        # networks count steps; those of a GMM have names, and their figures cannot be compared
        steps: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            step = row.get("step") or ""
            steps.setdefault("" if step.isdigit() else step, []).append(row)
        columns = {
            f"{name} of {step}" if step else name: [float(r[name]) for r in some if r[name]]
            for step, some in steps.items()
            for name in rows[0]
            if name not in COUNTERS
        }
    except (UnicodeDecodeError, ValueError, TypeError, csv.Error) as e:
        raise DataError(f"damaged ({e})", path=path) from e
    return [
        {
            "figure": name,
            "values": len(values),
            "first": values[0],
            "lowest": min(values),
            "highest": max(values),
            "last": values[-1],
            "course": _sparkline(values),
        }
        for name, values in columns.items()
        if values
    ]


def _sparkline(values: list[float], width: int = 32) -> str:
    """Values as a row of bars, means of neighbours where there are too many."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return ""
    count = min(width, len(finite))
    edges = [round(i * len(finite) / count) for i in range(count + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    return "".join(BARS[round((m - low) / span * (len(BARS) - 1)) if span else 0] for m in means)


def _system(folder: Path) -> Facts:
    """A portable system: its head, its model's settings and sizes."""
    facts: Facts = _read_json(folder / "system.json")
    facts["model"] = _read_json(folder / "model.json")
    weights = _weights(folder / "model.safetensors")
    facts |= {"numbers": sum(row["numbers"] for row in weights), "weights": weights}
    facts["lexicon"] = _lexicon(folder / "lexicon.txt")
    facts["language_model"] = _language_model(folder / "lm.arpa.gz")
    return facts


def _weights(path: Path) -> list[Facts]:
    """Tensors and numbers by the first part of their names, from the head of the file alone."""
    from safetensors import SafetensorError, safe_open

    tensors: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():
                part, _, _ = name.partition(".")
                tensors[part] += 1
                numbers[part] += math.prod(file.get_slice(name).get_shape())
    except (OSError, SafetensorError) as e:
        raise ModelError(f"weights cannot be read ({e})", path=path) from e
    return [{"part": part, "tensors": n, "numbers": numbers[part]} for part, n in tensors.items()]


def _corpus(folder: Path) -> Facts:
    """A prepared corpus."""
    from asr.data.corpus import Corpus

    corpus = Corpus.open(folder)
    facts: Facts = {"name": corpus.name, "language": corpus.language, "licence": corpus.licence}
    facts |= {"source": corpus.source}
    facts["splits"] = [{"split": name, **sizes} for name, sizes in corpus.splits.items()]
    facts["lexicon"] = _lexicon(corpus.lexicon_path)
    sentences = [line.split() for line in corpus.lm_text_path.read_text(encoding="utf-8").splitlines()]
    words = Counter(word for sentence in sentences for word in sentence)
    facts["lm_text"] = {"sentences": len(sentences), "words": words.total(), "different_words": len(words)}
    if corpus.lm_path is not None:
        facts["language_model"] = _language_model(corpus.lm_path)
    return facts


def _lexicon(path: Path) -> Facts:
    """A pronunciation lexicon."""
    from asr.text.lexicon import Lexicon

    lexicon = Lexicon.load(path)
    counts = Counter(unit for some in lexicon.entries.values() for units in some for unit in units)
    return {
        "words": len(lexicon.entries),
        "pronunciations": sum(len(some) for some in lexicon.entries.values()),
        "words_with_several": sum(len(some) > 1 for some in lexicon.entries.values()),
        "units": len(counts),
        "most_used_first": [unit for unit, _ in counts.most_common()],
    }


def _language_model(path: Path) -> Facts:
    """The counts at the head of an ARPA file."""
    opened = gzip.open if path.suffix == ".gz" else open
    ngrams: Facts = {}
    try:
        with opened(path, "rt", encoding="utf-8") as f:
            for line in f:
                if line.startswith("ngram "):
                    order, _, count = line.removeprefix("ngram ").partition("=")
                    ngrams[f"{int(order)}-grams"] = int(count)
                elif ngrams:
                    break
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, ValueError) as e:
        raise LanguageModelError(f"cannot be read ({e})", path=path) from e
    if not ngrams:
        raise LanguageModelError("no n-gram counts at its head", path=path, fix="give an ARPA file")
    return {"order": len(ngrams), **ngrams}


def _read_json(path: Path) -> Facts:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as e:
        raise ModelError(f"cannot be read ({e})", path=path, fix="copy the system folder again") from e
    if not isinstance(value, dict):
        raise ModelError("damaged (not a mapping)", path=path, fix="copy the system folder again")
    return value


def _print(facts: Facts) -> None:
    """Tables on stdout: the facts, then each section and list under its dotted name."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False)
    for title, table in _tables(facts, ""):
        if title:
            console.print(f"\n{title}", style="bold")
        console.print(table)


def _tables(facts: Facts, title: str) -> Iterator[tuple[str, Table]]:
    """One table of the scalars, then those of what lies deeper."""
    deeper = {name: value for name, value in facts.items() if isinstance(value, dict) or _is_table(value)}
    if len(deeper) < len(facts):
        table = _table(("", ""), header=False)
        for name, value in facts.items():
            if name not in deeper:
                table.add_row(name, _cell(value))
        yield title, table
    for name, value in deeper.items():
        below = f"{title}.{name}" if title else name
        if isinstance(value, dict):
            yield from _tables(value, below)
            continue
        table = _table(tuple(value[0]))
        for row in value[:ROWS]:
            table.add_row(*(_cell(row.get(column)) for column in value[0]))
        if len(value) > ROWS:
            table.caption = f"and {len(value) - ROWS} more, see --json"
        yield below, table


def _table(columns: tuple[str, ...], header: bool = True) -> Table:
    from rich.table import Table

    table = Table(show_header=header)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)
