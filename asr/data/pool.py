"""Utterances that are listened to together, since one speaker said them."""

from __future__ import annotations

import itertools

from lhotse import CutSet
from lhotse.cut import Cut

POOL_S = 300.0  # seconds of one speaker taken together: more tells little about a voice, and takes memory


def speaker_batches(cuts: CutSet) -> list[list[Cut]]:
    """Cuts of one speaker each, at most about POOL_S seconds together, in a fixed order."""
    # an unknown speaker may be a different one each time
    ordered = sorted(cuts, key=lambda c: (c.supervisions[0].speaker or c.id, c.id))
    batches = []
    for _, group in itertools.groupby(ordered, key=lambda c: c.supervisions[0].speaker or c.id):
        batch: list[Cut] = []
        for cut in group:
            if batch and sum(c.duration for c in batch) + cut.duration > POOL_S:
                batches.append(batch)
                batch = []
            batch.append(cut)
        batches.append(batch)
    return batches
