"""Compare staged, halfway and end-to-end speech recognition on the same data."""

import importlib
from typing import Any

__version__ = "0.1.0"

# the public names and where they live; each is imported at its first use, as torch alone takes seconds
_HOME = {
    "AcousticModel": "asr.models.base",
    "AsrError": "asr.errors",
    "Budget": "asr.data.budget",
    "Cell": "asr.cell",
    "Corpus": "asr.data.corpus",
    "Emissions": "asr.emissions",
    "Graph": "asr.decode.graph",
    "Hypothesis": "asr.decode.hypothesis",
    "Lexicon": "asr.text.lexicon",
    "NGram": "asr.text.ngram",
    "Scores": "asr.score.counts",
    "SearchSettings": "asr.decode.search",
    "System": "asr.system",
    "Topology": "asr.decode.topology",
    "read_audio": "asr.data.audio",
    "run_cell": "asr.experiment",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name."""
    if name not in _HOME:
        raise AttributeError(f"module 'asr' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    """The public names too, imported or not."""
    return sorted({*globals(), *_HOME})
