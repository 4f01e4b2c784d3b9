"""What a bench found, in plain sentences: the best recipe at each budget, and whether the curves cross."""

from __future__ import annotations

from asr.report.figures import FURTHER, Findings, Point, hours_text, words_text
from asr.score import Comparison, Curve, Forecast

WORTH = 0.15  # share of the errors that so many more hours must save to be called worth it


def answer(findings: Findings) -> list[str]:
    """Sentences: the best recipe of each budget, the crossings, a forecast and what to do next.

    A recipe is called better only where MAPSSWE and the paired bootstrap both say so at p < 0.05 after Holm's
    correction for the number of comparisons in the bench. Where a recipe has no two seeds nothing is known of
    the luck of its trainings, and what is said is said of these trainings, not of the recipes; where the test
    speakers are few, of them. Whether curves cross is corrected for the number of pairs.
    """
    lines = [_best(findings, h) for h in findings.budgets]
    lines += [_crossing(findings, a, b, compared) for (a, b), compared in findings.comparisons.items()]
    lines += _texts(findings)
    commits = {r.record.provenance.get("commit") for r in findings.runs}
    if len(commits) > 1:
        lines.append(
            f"These cells were made by {len(commits)} versions of the toolkit: the report says which."
        )
    if any(r.row["split"] == "dev" for r in findings.runs):
        lines.append(
            "These are figures of dev, where the scales were tuned, too: for choices, not for a verdict."
        )
    if findings.budgets:
        top = findings.budgets[-1]
        best = min((p for p in findings.points if p.hours == top), key=lambda p: p.wer)
        lines += _forecast(findings, best) + _next(findings, best)
    return lines


def percent(point: Point) -> str:
    """WER and its interval."""
    if point.scores.rate is None:
        return "unknown"
    if point.interval.low is None:
        return f"{point.wer:.1f}% (interval unknown)"
    return f"{point.wer:.1f}% ({point.interval.low:.1f} to {point.interval.high:.1f})"


def _confidence(findings: Findings) -> str:
    """What an interval of this bench is called."""
    return f"95% interval {_these(findings)}".rstrip()


def _these(findings: Findings) -> str:
    """What was measured of which nothing is known beyond it; empty where all that counts was resampled."""
    known = {"trainings": findings.nested, "speakers": findings.speakers}
    unknown = " and ".join(what for what, resampled in known.items() if not resampled)
    return f"for these {unknown}" if unknown else ""


def _best(findings: Findings, hours: float) -> str:
    ranked = sorted((p for p in findings.points if p.hours == hours), key=lambda p: p.wer)
    best, others = ranked[0], ranked[1:]
    start = f"{hours_text(best.hours)} h: "
    these = _these(findings)
    if not others:
        return f"{start}{best.recipe} reaches {percent(best)} WER{these and f', {these}'}."
    beaten = [c.b if c.winner is c.a else c.a for c in findings.contests if c.winner is best]
    unsure = [p for p in others if p not in beaten]
    rest = ", ".join(f"{p.recipe} {percent(p)}" for p in others)
    if not unsure:
        how = f"did best, {these}," if these else "is best"
        return f"{start}{best.recipe} {how} with {percent(best)} WER; {rest}."
    names = " and ".join(p.recipe for p in unsure)
    lead = f"{start}{best.recipe} is lowest{these and f', {these},'} with {percent(best)} WER, then {rest}"
    return f"{lead}; the data cannot tell {best.recipe} from {names}."


def _crossing(findings: Findings, a: str, b: str, compared: Comparison) -> str:
    these = _these(findings)
    known = these and f", {these}"
    span = f"from {hours_text(compared.low)} to {hours_text(compared.high)} h"
    if compared.verdict == "none":
        return f"{a} and {b} do not cross {span}: {compared.leader} is better all the way{known}."
    if compared.verdict == "unknown":
        won = [c.winner for c in findings.contests if {c.a.recipe, c.b.recipe} == {a, b} and c.winner]
        at = {name: [hours_text(p.hours) for p in won if p.recipe == name] for name in (a, b)}
        ahead = [f"{name} is better at {' and '.join(hours)} h{known}" for name, hours in at.items() if hours]
        start = f"{a} and {b}: {'; '.join([*ahead, ''])}"
        return f"{start}the data cannot tell whether they cross {span}."
    where = [
        f"{c.second} overtakes {c.first} at {_place(c.hours)} h "
        f"({_confidence(findings)} {_place(c.low)} to {_place(c.high)} h)"
        for c in compared.crossings
    ]
    return f"{a} and {b} cross: {', then '.join(where)}."


def _place(hours: float) -> str:
    """A place between budgets, in two digits."""
    return hours_text(float(f"{hours:.2g}"))


def _texts(findings: Findings) -> list[str]:
    """What more text brought at the largest budget, where several texts were measured."""
    texts = list(findings.by_text)
    if len(texts) < 2:
        return []
    least, most = findings.by_text[texts[0]], findings.by_text[texts[-1]]
    top = findings.budgets[-1]
    before = {p.recipe: p for p in least if p.hours == top}
    pairs = [(before[p.recipe], p) for p in most if p.hours == top and p.recipe in before]
    if not pairs:
        return []
    change = "; ".join(f"{b.recipe} {a.wer:.1f}% to {b.wer:.1f}%" for a, b in pairs)
    span = f"from {words_text(texts[0])} to {words_text(texts[-1])}"
    return [f"More text at {hours_text(top)} h, {span}: {change} WER."]


def _untold(curve: Curve, best: Point) -> str:
    """Why the curve of the best recipe is not to be continued beyond what was measured."""
    if not best.scores.errors:
        return f"{best.recipe} made no error on these utterances, which are too few to show more"
    if curve.hidden is None:
        return "it takes four budgets, so that three can foretell the fourth"
    if not curve.fits:
        return f"the curve of {best.recipe} is no power law (p = {curve.fit_p:.3f})"
    check = f"{_told(curve.hidden)} at {hours_text(best.hours)} h, unlike measured"
    return f"from its smaller budgets alone the law of {best.recipe} foretells {check}"


def _told(told: Forecast) -> str:
    return f"{told.rate:.1f}% ({told.low:.1f} to {told.high:.1f})"


def _forecast(findings: Findings, best: Point) -> list[str]:
    """What more hours would probably bring to the recipe that is best with the most of them."""
    curve = findings.curves.get(best.recipe)
    if curve is None or len(curve.hours) < 2:
        return []
    if not curve.foretells or curve.hidden is None:
        return [f"No forecast: {_untold(curve, best)}."]
    told = curve.forecast(FURTHER * best.hours)
    return [
        f"Forecast, not measured: {hours_text(told.hours)} h, ten times the most measured, would probably "
        f"bring {best.recipe} from {best.wer:.1f}% to {told.rate:.1f}% WER "
        f"({_confidence(findings)} {told.low:.1f} to {told.high:.1f}); from the smaller budgets alone it "
        f"foretells {_told(curve.hidden)} at {hours_text(best.hours)} h, as measured."
    ]


def _next(findings: Findings, best: Point) -> list[str]:
    """Advice that follows from what is still open."""
    advice = []
    curve = findings.curves.get(best.recipe)
    if curve is not None and len(curve.hours) > 1 and best.scores.errors:
        told = curve.forecast(FURTHER * best.hours)
        if curve.foretells and told.high < (1 - WORTH) * best.wer:
            advice.append("more hours will pay")
        elif curve.foretells and told.low > (1 - WORTH) * best.wer:
            advice.append(
                "more hours alone will bring little: look at the worst utterances, lexicon and text"
            )
        else:
            advice.append("whether more hours pay cannot be told yet: measure more budgets")
    if min(len(p.runs) for p in findings.points) < 3:
        advice.append("run with --seeds 0,1,2, since single trainings differ by chance")
    if any(c.winner is None for c in findings.contests if c.a.hours == best.hours):
        more = "speakers" if findings.speakers else "utterances"
        advice.append(f"to tell the close ones apart, test on more {more}")
    return [f"Next: {'; '.join(advice)}."] if advice else []
