"""Error counts: what was said against what was recognised.

Conventions: rates are in percent, counts are integers, and counts add; rates are never averaged.
"""

from asr.score.align import Pairs, align_characters, align_words
from asr.score.bootstrap import Interval, compare_bootstrap, interval
from asr.score.counts import Scores
from asr.score.result import Result, UtteranceScore, score_texts

__all__ = [
    "Interval",
    "Pairs",
    "Result",
    "Scores",
    "UtteranceScore",
    "align_characters",
    "align_words",
    "compare_bootstrap",
    "interval",
    "score_texts",
]
