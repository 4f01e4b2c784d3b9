from pathlib import Path

from asr.score import score_texts
from asr.score.alignments import aligned_lines

GOLDEN = Path(__file__).parents[1] / "golden" / "errors.txt"
REFERENCES = {"ann-1": "THE CAT SAT ON THE MAT", "bob-1": "", "ann-2": "SEVEN", "bob-2": "GOOD MORNING"}
HYPOTHESES = {"ann-1": "A CAT SAT THE THE MAT NOW", "bob-1": "UH", "ann-2": "SEVEN"}
SPEAKERS = {i: i[:3] for i in REFERENCES}


def test_report_is_as_it_was():
    report = score_texts(REFERENCES, HYPOTHESES, speakers=SPEAKERS).report()
    assert report == GOLDEN.read_text()


def test_report_without_speakers_has_one_total():
    report = score_texts(REFERENCES, HYPOTHESES).report()
    assert "Speaker: " not in report
    assert report.splitlines()[-1].split("|")[:2] == ["Sum/Avg ", "      4       9 "]


def test_gaps_are_stars_and_spaces_show():
    assert aligned_lines((("LONGER", None), (None, "B"), ("C", "DD"))) == (
        "LONGER * C",
        "****** B DD",
        "D      I S",
    )
    assert aligned_lines((("A", "A"), (" ", None)))[:2] == ("A _", "A *")
