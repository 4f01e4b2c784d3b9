"""Whether a network can learn a few utterances by heart: where it cannot, more of them will not help."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import lhotse
from lhotse.cut import Cut

from asr.data.audio import load_cut
from asr.decode.greedy import greedy
from asr.errors import AsrError
from asr.models.ctc.model import Ctc
from asr.models.ctc.settings import CtcSettings
from asr.models.ctc.targets import Targets
from asr.models.networks.batches import usable
from asr.score import Result, score_texts
from asr.text.lexicon import Lexicon

UTTERANCES = 10
PASSES = 80
LEARNED = 5.0  # percent of the labels wrong, at most


def overfit(settings: CtcSettings, lexicon: Lexicon, cuts: lhotse.CutSet, seed: int = 0) -> Result:
    """Train on ten utterances of middle length alone, without masks, dropout, copies or weight decay.

    Those that cannot be read, or that are too short for their labels, are passed over.

    Parameters
    ----------
    settings
        Of a recipe; its sizes and its learning rate are what is tried.
    lexicon, seed
        As of `Ctc`.
    cuts
        Utterances to choose from.

    Returns
    -------
    Result
        Errors in labels of the network's best paths on those utterances.

    Raises
    ------
    DataError
        If none of them is usable.
    ModelError
        If the loss stops being a number.
    """
    plain = {
        "epochs": PASSES, "dropout": 0.0, "time_masks": 0, "channel_masks": 0, "speeds": (1.0,),
        "weight_decay": 0.0, "crf": 0.0, "phoneme_share": None, "noise_share": 0.0, "room_share": 0.0,
        "average": 0.0, "consistency": 0.0, "intermediate": 0.0, "alone": 1.0,
    }  # fmt: skip
    model = Ctc(settings.model_copy(update=plain), lexicon, seed)
    targets = model.targets
    assert targets is not None  # it was made from a lexicon
    ordered = sorted(cuts, key=lambda c: (c.duration, c.id))
    from_middle = sorted(range(len(ordered)), key=lambda k: abs(2 * k - len(ordered) + 1))
    fit = (ordered[k] for k in from_middle if _is_usable(ordered[k], targets, model.sample_rate))
    some = lhotse.CutSet.from_cuts(itertools.islice(fit, UTTERANCES)).to_eager()
    with tempfile.TemporaryDirectory() as folder:
        model.fit(some, some, Path(folder))
    waveforms = [load_cut(cut, model.sample_rate) for cut in some]
    found = [greedy(e) for e in model.emit(waveforms, model.sample_rate)]
    return score_texts(
        {cut.id: " ".join(targets.units.decode(targets.encode(cut))) for cut in some},
        {cut.id: " ".join(labels) for cut, labels in zip(some, found, strict=True)},
    )


def _is_usable(cut: Cut, targets: Targets, sample_rate: int) -> bool:
    """Whether a network can be trained on it."""
    try:
        usable(cut, [targets.encode], sample_rate)
    except AsrError:
        return False
    return True
