"""What a finished run says about itself, so that its figures can be made again."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from asr.cores import cores
from asr.errors import ModelError
from asr.files import write_json

# of results.csv
COLUMNS = (
    "corpus", "recipe", "hours", "text_words", "seed", "setting", "split", "utterances", "words",
    "sub", "del", "ins", "wer", "wer_low", "wer_high", "cer", "unadapted_wer", "per", "lm_per",
    "greedy_wer", "greedy_cer", "train_s", "train_cpu_s", "train_gpu_s", "decode_rtf",
    "peak_mb", "disk_mb", "params",
)  # fmt: skip

PACKAGES = (
    "torch", "torchaudio", "lightning", "lhotse", "hmmlearn", "librosa", "jiwer", "soundfile",
    "kaldifst", "kaldi-decoder", "kaldilm", "numpy", "espeakng-loader",
)  # fmt: skip


@dataclass(frozen=True)
class RunRecord:
    """Everything needed to judge and repeat one cell of a comparison.

    Attributes
    ----------
    row
        The cell's line of results.csv; a column that a run from before it does not know is None.
    config
        The resolved settings.
    budget
        ``hours`` asked for, ``seed``, ``utterances``, ``seconds`` selected and ``sha256`` of the selection.
    seconds
        Wall-clock seconds by stage.
    tuning
        What was tried on dev: a list of settings with the word errors of each.
    phoneme_tuning
        The same for phonemes, where the system is searched for them; `errors` and `wer` are of those.
    steps
        Word errors on a part of dev after each step of the training, where there are several.
    alarms
        What went wrong in the training, each a line that follows "training".
    provenance
        Command line, git commit, package versions, hardware and date, as the run began.
    training
        Hash of all that its acoustic training depends on, the same for cells that share one; empty in a run
        from before it was kept.
    """

    row: dict[str, Any]
    config: dict[str, Any]
    budget: dict[str, Any]
    seconds: dict[str, float]
    tuning: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    training: str = ""
    phoneme_tuning: list[dict[str, Any]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write record.json; its presence means the run is finished."""
        write_json(folder / "record.json", asdict(self))

    @classmethod
    def load(cls, folder: Path) -> RunRecord:
        """Read record.json of a run folder; ModelError where it is missing, damaged or of a later version."""
        path = folder / "record.json"
        if not path.exists():
            raise ModelError("not a finished run (record.json is missing)", path=folder)
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if unknown := value.keys() - {f.name for f in fields(cls)}:
                what = f"of a later version of this toolkit (it has {', '.join(sorted(unknown))})"
                raise ModelError(what, path=path, fix="read it with that one, or keep runs of each apart")
            row = dict.fromkeys(COLUMNS) | value["row"]
            return cls(**{**value, "row": row | {"split": row["split"] or "test"}})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as e:
            raise ModelError(f"damaged ({e})", path=path, fix="remove the run folder and run again") from e


def scored_split(run: Path) -> str:
    """The split that a run's own results are of; test for a folder without a record."""
    return RunRecord.load(run).row["split"] if (run / "record.json").exists() else "test"


def alarms_of(runs: Iterable[tuple[str, RunRecord]]) -> list[tuple[str, str]]:
    """What went wrong in the trainings of named runs: a line, and the name of the first run of a training."""
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, run in runs:
        if not run.training or run.training not in seen:  # an old one does not tell it
            found += [(name, alarm) for alarm in run.alarms]
        seen.add(run.training)
    return found


def note_path(run: Path) -> Path:
    """Where whoever ran a cell may have written of its figures: its own note.txt, else that of its bench."""
    own = run / "note.txt"
    return own if own.exists() else run.parent / own.name


class Stopwatch:
    """Wall-clock and CPU seconds of a piece of work, over all processes that took part in it; GPU seconds.

    Use it as a context manager around the work. What was spent is kept in a small file, which a thread
    rewrites every few seconds, so that a process that is killed loses no more than that. Work that had to be
    done twice counts twice: it was spent.

    Parameters
    ----------
    path
        The file; what it holds is added to.
    every_s
        Seconds between two rewritings.

    Raises
    ------
    ModelError
        If the file is damaged.
    """

    def __init__(self, path: Path, every_s: float = 5.0) -> None:
        self.path, self.every_s = path, every_s
        self.earlier_s = self.earlier_cpu_s = self.earlier_gpu_s = 0.0
        self._stop = threading.Event()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds so far."""
        return self.earlier_s + time.perf_counter() - self._began

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds so far, of all threads of the processes, of others that one began once they ended."""
        return self.earlier_cpu_s + _cpu_seconds() - self._cpu_began

    @property
    def gpu_seconds(self) -> float:
        """Wall-clock seconds so far, where this process computes on a GPU, which nobody else has meanwhile.

        Other processes that it began, as for `model.processes`, are not asked.
        """
        return self.earlier_gpu_s + (time.perf_counter() - self._began if _on_gpu() else 0.0)

    def __enter__(self) -> Stopwatch:
        if self.path.exists():
            try:
                value = json.loads(self.path.read_text(encoding="utf-8"))
                self.earlier_s, self.earlier_cpu_s = float(value["seconds"]), float(value["cpu_seconds"])
                self.earlier_gpu_s = float(value.get("gpu_seconds", 0.0))
            except (json.JSONDecodeError, KeyError, TypeError, ValueError) as e:
                raise ModelError(f"damaged ({e})", path=self.path, fix="remove the run folder") from e
        self._began, self._cpu_began = time.perf_counter(), _cpu_seconds()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._write()

    def _keep(self) -> None:
        while not self._stop.wait(self.every_s):
            self._write()

    def _write(self) -> None:
        spent = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds, "gpu_seconds": self.gpu_seconds}
        write_json(self.path, {name: round(seconds, 3) for name, seconds in spent.items()})


def provenance() -> dict[str, Any]:
    """Command, commit, versions, hardware and date of this process."""
    return {
        "command": " ".join(["asr", *sys.argv[1:]]),
        "commit": git_commit(),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "hardware": hardware(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def git_commit() -> str:
    """Commit of the checkout this package runs from, ``+changes`` when it is not clean; empty outside one."""
    root = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return ""  # installed inside somebody else's repository
        return git("rev-parse", "HEAD") + (
            "+changes" if git("status", "--porcelain", "asr", "recipes", "conf") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return ""


def hardware() -> str:
    """Processor, usable cores, memory and, if there is one, GPU, in one line."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    line = f"{model}, {cores()} cores, {memory:.0f} GiB"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        line += f", {torch.cuda.get_device_name()}"
    return line


def _cpu_seconds() -> float:
    """Of this process, and of those it began and that have ended: a training may take several."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _on_gpu() -> bool:
    """Whether this process has put anything on a GPU; it asks nothing of one that it has not used."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized() and torch.cuda.max_memory_allocated() > 0


def peak_megabytes() -> float:
    """Largest resident memory that this process, or one it began, has had, in MB."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
