"""The speakers of the embedded corpus: espeak-ng variants with an accent, a pace and a pitch of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ACCENTS = (
    "en-us",
    "en",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-us-nyc",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
AMERICAN = 0.5
"""Share of speakers with the accent that CMUdict describes; the rest is spread over the other accents."""

# A variant has a vocal tract of its own, so no variant is in two splits. Left out: whispers, robots, echoes.
VARIANTS = {
    "train": """f1 f2 f3 f5 m1 m2 m3 m5 m6 m8 Alex Alicia Andrea adam anika belinda benjamin david ed edward2
    Gene grandma Mario Michael Mike Reed rob robert quincy shelby steph Storm victor iven3 klatt3 travis
    norbert pablo Denis miguel""",
    "dev": "f4 m4 Annie boris linda Gene2 Lee iven4 steph2 marcelo",
    "test": "aunty m7 edward ian max Diogo grandpa steph3 michel zac klatt6 Hugo paul sandro",
}
SPEAKERS = {"train": 80, "dev": 10, "test": 28}


@dataclass(frozen=True)
class Voice:
    """One speaker.

    Attributes
    ----------
    name
        The speaker's id.
    espeak
        Accent and variant as espeak-ng names them.
    rate
        Words per minute.
    pitch, pitch_range
        0 to 99.
    """

    name: str
    espeak: str
    rate: int
    pitch: int
    pitch_range: int


def voices(split: str, seed: int) -> list[Voice]:
    """The speakers of a split, in an order of their own; a variant that occurs twice has another accent."""
    variants = VARIANTS[split].split()
    random = np.random.default_rng([seed, 1, list(VARIANTS).index(split)])
    p = [AMERICAN] + [(1 - AMERICAN) / (len(ACCENTS) - 1)] * (len(ACCENTS) - 1)
    rounds = -(-SPEAKERS[split] // len(variants))
    accents = {v: random.choice(ACCENTS, size=rounds, replace=False, p=p) for v in variants}
    found = []
    for i in range(SPEAKERS[split]):
        variant = variants[i % len(variants)]
        accent = str(accents[variant][i // len(variants)])
        rate, pitch, spread = (int(random.integers(*r)) for r in ((135, 196), (30, 71), (30, 81)))
        found.append(Voice(f"{split}-{accent}-{variant}".lower(), f"{accent}+{variant}", rate, pitch, spread))
    return [found[i] for i in random.permutation(len(found))]
