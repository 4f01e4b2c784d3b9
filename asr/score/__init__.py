"""Error counts: what was said against what was recognised.

Conventions: rates are in percent, counts are integers, and counts add; rates are never averaged.
"""

from asr.score.align import align_characters, align_words
from asr.score.bootstrap import (
    FEW,
    SPEAKERS,
    Interval,
    PairedBootstrap,
    compare_bootstrap,
    holm,
    interval,
    paired,
    without_errors,
)
from asr.score.counts import Pairs, Scores, UtteranceScore
from asr.score.curve import Cells, Comparison, Curve, Forecast, compare_curves, curves
from asr.score.files import Transcripts, read_decoded, read_transcripts
from asr.score.mapsswe import Mapsswe, mapsswe
from asr.score.result import Result, score_texts

__all__ = [
    "FEW",
    "SPEAKERS",
    "Cells",
    "Comparison",
    "Curve",
    "Forecast",
    "Interval",
    "Mapsswe",
    "PairedBootstrap",
    "Pairs",
    "Result",
    "Scores",
    "Transcripts",
    "UtteranceScore",
    "align_characters",
    "align_words",
    "compare_bootstrap",
    "compare_curves",
    "curves",
    "holm",
    "interval",
    "mapsswe",
    "paired",
    "read_decoded",
    "read_transcripts",
    "score_texts",
    "without_errors",
]
