"""Praat's TextGrids and ELAN's annotations: the stretches of a recording and what is said in each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from praatio import textgrid
from praatio.utilities.errors import PraatioException

from asr.errors import DataError

_LABEL = re.compile(r"(\d+(?:\.\d+)?)\t(\d+(?:\.\d+)?)\t(.*)")
EVERY = "all"  # as a tier: each is of one speaker, who gives it its name
SUFFIXES = (".TextGrid", ".textgrid", ".eaf")


@dataclass(frozen=True)
class Annotation:
    """From when to when, in seconds, something is said; the speaker is None where nothing tells."""

    start: float
    end: float
    text: str
    speaker: str | None = None


Tiers = Mapping[str, Sequence[Annotation]]


def read_tiers(path: Path, tier: str | None = None) -> list[Annotation]:
    """The stretches of a TextGrid or an eaf file that hold text, in order of time.

    Parameters
    ----------
    path
        The file.
    tier
        Which tier holds the sentences, or several with commas: its name, in ELAN also the part before an
        ``@`` or its linguistic type; "all" for every one, in ELAN but for those below others, which are
        translations and the like. It need not be named where there is only one.

    Raises
    ------
    DataError
        If the file cannot be read, or it is not clear which tier to take.
    """
    tiers, kinds, below = _elan(path) if path.suffix.lower() == ".eaf" else (_praat(path), {}, set())
    if tier == EVERY:
        chosen = [name for name in tiers if name not in below]
    elif tier is not None:
        wanted = {tier, *(part.strip() for part in tier.split(","))}
        chosen = [name for name in tiers if wanted & {name, name.split("@")[0], kinds.get(name)}]
    else:
        chosen = list(tiers) if len(tiers) == 1 else []
    if not chosen:
        names = ", ".join(tiers)
        what = f"no tier {tier!r}, there are: {names}" if tier else f"several tiers: {names}"
        if not tiers:
            what = "no tier with intervals"
        fix = f"name that of the sentences with --tier, or `--tier {EVERY}` if each is a speaker"
        raise DataError(what, path=path, fix=fix)
    said = [
        replace(s, speaker=s.speaker or name) if tier == EVERY else s
        for name in chosen
        for s in tiers[name]
        if s.text.strip()
    ]
    return sorted(said, key=lambda s: s.start)


def _praat(path: Path) -> Tiers:
    """The interval tiers of a TextGrid."""
    try:
        grid = textgrid.openTextgrid(
            str(path), includeEmptyIntervals=False, reportingMode="silence", duplicateNamesMode="rename"
        )
    # praatio raises whatever goes wrong inside it
    except (PraatioException, OSError, ValueError, IndexError, KeyError, AttributeError) as e:
        raise DataError(f"no TextGrid that can be read ({e})", path=path, fix="save it again in Praat") from e
    return {
        t.name: [Annotation(i.start, i.end, i.label) for i in t.entries]
        for t in grid.tiers
        if isinstance(t, textgrid.IntervalTier)
    }


def _elan(path: Path) -> tuple[Tiers, dict[str, str], set[str]]:
    """The tiers of an eaf file, of which linguistic type each is, and which are below others.

    An annotation without times of its own has those of the one that it refers to.

    Reference: ELAN's EAF 3.0 schema, elements TIME_ORDER and TIER.
    """
    try:
        root = ElementTree.parse(path).getroot()
        times = {
            slot.attrib["TIME_SLOT_ID"]: float(slot.attrib["TIME_VALUE"]) / 1000
            for slot in root.iter("TIME_SLOT")
            if "TIME_VALUE" in slot.attrib
        }
        spans: dict[str, tuple[float, float]] = {}
        for one in root.iter("ALIGNABLE_ANNOTATION"):
            ends = one.attrib["TIME_SLOT_REF1"], one.attrib["TIME_SLOT_REF2"]
            if all(slot in times for slot in ends):  # slots within a word often have no time
                spans[one.attrib["ANNOTATION_ID"]] = (times[ends[0]], times[ends[1]])
        above = {
            one.attrib["ANNOTATION_ID"]: one.attrib["ANNOTATION_REF"] for one in root.iter("REF_ANNOTATION")
        }
        tiers: dict[str, list[Annotation]] = {}
        kinds: dict[str, str] = {}
        below: set[str] = set()
        for tier in root.iter("TIER"):
            name = tier.attrib["TIER_ID"]
            kinds[name] = tier.attrib.get("LINGUISTIC_TYPE_REF", "")
            if "PARENT_REF" in tier.attrib:
                below.add(name)
            speaker = tier.attrib.get("PARTICIPANT") or (name.split("@")[1] if "@" in name else None)
            for one in (a for kind in ("ALIGNABLE", "REF") for a in tier.iter(f"{kind}_ANNOTATION")):
                key = _timed(one.attrib["ANNOTATION_ID"], above)
                if key in spans:
                    text = one.findtext("ANNOTATION_VALUE") or ""
                    tiers.setdefault(name, []).append(Annotation(*spans[key], text, speaker))
    except (ElementTree.ParseError, LookupError, ValueError, OSError) as e:
        raise DataError(f"no eaf file that can be read ({e})", path=path, fix="save it again in ELAN") from e
    return tiers, kinds, below


def read_labels(text: str) -> list[Annotation]:
    """The stretches of a label track of Audacity: start, end (seconds), text, by tabs; none if it is none."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("\\")]
    found = [_LABEL.fullmatch(line) for line in lines]
    return [Annotation(float(m[1]), float(m[2]), m[3]) for m in found if m] if all(found) else []


def _timed(annotation: str, above: Mapping[str, str]) -> str:
    """The annotation at the end of a chain of those that have the times of another."""
    passed = set()
    while annotation in above and annotation not in passed:
        passed.add(annotation)
        annotation = above[annotation]
    return annotation
