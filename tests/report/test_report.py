import asyncio
import base64
import html.parser
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tornado.websocket import websocket_connect

from asr.bench import plan, run_bench
from asr.data.corpus import Corpus
from asr.errors import DataError
from asr.record import RunRecord, alarms_of, provenance
from asr.report import figures, write_report
from asr.report.answer import answer
from asr.report.figures import Findings, Point, Run, contest, hours_text
from asr.report.markdown import table
from asr.report.plot import _style, draw_cost, draw_curve, draw_stages, draw_texts, inline_svg
from asr.score import Scores, holm, paired, without_errors

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import stub

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Finished runs of three recipes at four budgets with two seeds; mfcc_hmm and raw_ctc cross."""
    to = tmp_path_factory.mktemp("runs")
    made = []
    for cell in stub.cells(seeds=(0, 1)):
        folder = to / f"{cell.recipe}-{cell.hours}-{cell.seed}"
        stub.run(cell, folder, lambda _: None)
        made.append(folder)
    return made


@pytest.fixture(scope="module")
def found(folders):
    return Findings.of([Run.load(f) for f in folders])


@pytest.fixture(scope="module")
def written(folders, tmp_path_factory):
    to = tmp_path_factory.mktemp("report")
    sentences = write_report(to, folders, {"a cell <1>": "why & how"}, provenance())
    return to, sentences


def test_points_pool_the_seeds(found):
    assert [(p.recipe, p.hours) for p in found.points] == [
        (r, h) for r in stub.RECIPES for h in (0.1, 0.25, 0.5, 1.0)
    ]
    point = found.points[0]
    assert point.scores.reference == 2 * point.runs[0].row["words"]
    assert point.wer == pytest.approx(sum(r.row["wer"] for r in point.runs) / 2, abs=1e-3)
    assert point.interval.low < point.wer < point.interval.high


def test_hours_for_people():
    hours = [0.295234, 1.0, 999.4, 999.5, 999.6, 1000.0, 1234.5]
    assert [hours_text(h) for h in hours] == ["0.295", "1", "999", "1000", "1000", "1000", "1234"]


def pair(found, a, b):
    """The contest of two points of a bench, not corrected."""
    return contest(a, b, found.curves[a.recipe], found.curves[b.recipe])


def test_contest_decides_only_what_the_data_can_tell(found):
    at = {(p.recipe, p.hours): p for p in found.points}
    clear = pair(found, at["raw_ctc", 0.1], at["mfcc_hmm", 0.1])
    assert clear.winner.recipe == "mfcc_hmm" and clear.paired.difference > 20
    same = pair(found, at["mfcc_hmm", 1.0], at["mfcc_hmm", 1.0])
    assert same.winner is None


def test_answer_names_the_best_and_the_crossing(found):
    lines = answer(found)
    assert lines[0].startswith("0.1 h: mfcc_hmm is best with ")
    assert lines[3].startswith("1 h: raw_ctc is best with ")
    crossing = next(line for line in lines if line.startswith("mfcc_hmm and raw_ctc"))
    assert re.fullmatch(
        r"mfcc_hmm and raw_ctc cross: raw_ctc overtakes mfcc_hmm at 0\.\d+ h "
        r"\(95% interval 0\.\d+ to 0\.\d+ h\)\.",
        crossing,
    )
    assert found.comparisons["mfcc_hmm", "raw_ctc"].crossings[0].hours == pytest.approx(0.43, abs=0.1)
    forecast = next(line for line in lines if line.startswith("Forecast, not measured: 10 h"))
    assert "raw_ctc from " in forecast and "95% interval" in forecast
    assert lines[-1].startswith("Next: ") and "--seeds 0,1,2" in lines[-1]


def test_answer_of_one_training_each_is_about_these_trainings(found):
    lines = answer(Findings.of([r for r in found.runs if r.row["seed"] == 0]))
    assert lines[0].startswith("0.1 h: mfcc_hmm did best, for these trainings, with ")
    claims = [line for line in lines if "95% interval" in line]
    assert len(claims) > 1 and all("95% interval for these trainings" in line for line in claims)
    assert not any(" is best " in line for line in lines)


def test_answer_of_few_speakers_is_about_them(found):
    def said_by(runs, speakers):
        some = []
        for run in runs:
            heard = [replace(u, speaker=f"s{k % speakers}") for k, u in enumerate(run.result.utterances)]
            some.append(replace(run, result=replace(run.result, utterances=tuple(heard))))
        return answer(Findings.of(some))

    lines = said_by(found.runs, 4)
    assert lines[0].startswith("0.1 h: mfcc_hmm did best, for these speakers, with ")
    assert all("interval for these speakers" in line for line in lines if "95% interval" in line)
    assert said_by(found.runs, 5)[0].startswith("0.1 h: mfcc_hmm is best with ")


def test_answer_continues_no_curve_that_did_not_foretell_its_own_end(found):
    """With three budgets nothing was foretold; without errors there is nothing to continue."""

    def told(runs):
        return [
            line for line in answer(Findings.of(runs)) if line.startswith(("No forecast", "Next", "Forecast"))
        ]

    raw = [r for r in found.runs if r.row["recipe"] == "raw_ctc"]
    three = told([r for r in raw if r.row["hours"] > 0.1])
    assert three[0] == "No forecast: it takes four budgets, so that three can foretell the fourth."
    assert three[1].startswith("Next: whether more hours pay cannot be told yet: measure more budgets;")
    at_top = {r.row["seed"]: r for r in raw if r.row["hours"] == 1.0}
    # the curve falls to 0.5 h and then stays
    flat = [replace(at_top[r.row["seed"]], record=r.record) if r.row["hours"] == 0.5 else r for r in raw]
    bent = told(flat)
    assert bent[0].startswith("No forecast: ") and "whether more hours pay cannot be told" in bent[1]
    right = [replace(u, scores=Scores(0, 0, 0, u.scores.reference)) for u in at_top[0].result.utterances]
    spotless = [
        replace(
            r,
            result=replace(r.result, utterances=tuple(right)),
            record=replace(r.record, row=r.row | {"sub": 0, "del": 0, "ins": 0}),
        )
        if r.row["hours"] == 1.0
        else r
        for r in raw
    ]
    assert told(spotless) == [
        "No forecast: raw_ctc made no error on these utterances, which are too few to show more.",
        "Next: run with --seeds 0,1,2, since single trainings differ by chance.",
    ]


def test_losses_of_other_hypotheses_are_refused(folders, tmp_path):
    run = shutil.copytree(folders[0], tmp_path / "run")
    path = run / "decode" / "test" / "stages.json"
    lost = json.loads(path.read_text())
    next(iter(lost["utterances"].values()))[0] += 1
    path.write_text(json.dumps(lost))
    with pytest.raises(DataError, match=r"stages\.json: has \d+ errors, its record \d+; remove it"):
        Run.load(run)


def test_answer_admits_what_it_cannot_tell(found):
    mfcc = [run for point in found.line("mfcc_hmm") for run in point.runs]
    twins = []
    for run in mfcc:
        record = replace(run.record, row=run.row | {"recipe": "twin"})
        twins.append(replace(run, record=record))
    lines = answer(Findings.of(mfcc + twins))
    assert all("the data cannot tell" in line for line in lines[:5])
    assert lines[4] == "mfcc_hmm and twin: the data cannot tell whether they cross from 0.1 to 1 h."
    assert lines[5].startswith(("Forecast, not measured", "No forecast"))
    only = answer(Findings.of(mfcc))
    assert only[0].startswith("0.1 h: mfcc_hmm reaches ")
    assert not any("cross" in line for line in only)


def test_better_is_only_what_both_tests_call_so(found, monkeypatch):
    at = {(p.recipe, p.hours): p for p in found.points}
    clear = at["raw_ctc", 0.1], at["mfcc_hmm", 0.1]
    for segments, utterances in ((0.3, 1e-4), (1e-4, 0.3)):
        monkeypatch.setattr(figures, "_segment_p", lambda a, b, p=segments: p)
        monkeypatch.setattr(figures, "paired", lambda d, draws, p=utterances: replace(paired(d, draws), p=p))
        assert pair(found, *clear).p == 0.3 and pair(found, *clear).winner is None


def test_a_point_without_errors_is_as_sure_as_its_utterances_are_many_and_none_is_surer(found):
    def heard(run, wrong):
        right = tuple(
            replace(u, pairs=tuple((w, w) for w, _ in u.pairs), scores=Scores(0, 0, 0, len(u.pairs)))
            for u in run.result.utterances  # the stub's have substitutions alone
        )
        some = replace(right[0], scores=replace(right[0].scores, substitutions=wrong))
        row = run.row | {"sub": wrong, "del": 0, "ins": 0}
        record = replace(run.record, row=row)
        return replace(run, record=record, result=replace(run.result, utterances=(some, *right[1:])))

    line = [run for p in found.line("raw_ctc") for run in p.runs]
    best = [heard(run, int(run.row["hours"] < 1)) for run in line]
    points = Findings.of(best).points
    assert [p.interval.high for p in points] == [pytest.approx(without_errors(120))] * 4
    assert points[-1].wer == 0 < points[0].wer
    assert answer(Findings.of(best))[3].startswith("1 h: raw_ctc reaches 0.0% (0.0 to 3.0) WER")


def test_one_utterance_makes_no_recipe_better(found):
    def cut(run):
        u = run.result.utterances[0]
        s = u.scores
        row = run.row | {"sub": s.substitutions, "del": s.deletions, "ins": s.insertions}
        row["words"] = s.reference
        return replace(run, record=replace(run.record, row=row), result=replace(run.result, utterances=(u,)))

    lone = Findings.of([cut(run) for run in found.runs])
    assert not lone.contests and not lone.comparisons
    lines = answer(lone)
    assert "(interval unknown)" in lines[0] and not any(" is best" in s or "cross" in s for s in lines)
    assert draw_curve(lone, "")


def test_contests_are_corrected_for_their_number(found):
    raw = [pair(found, c.a, c.b).p for c in found.contests]
    assert len(found.contests) == 12
    assert [c.p for c in found.contests] == pytest.approx(holm(raw))
    assert min(raw) < 0.5 * min(c.p for c in found.contests)


def test_seeds_of_the_same_speech_are_no_more_evidence_than_one(found):
    """The same alignments twice give MAPSSWE twice the difference, and the same p-value."""
    at = {(p.recipe, p.hours): p for p in found.points}
    one, two = (Point(p.recipe, p.hours, p.runs[:1]) for p in (at["raw_ctc", 0.5], at["mfcc_hmm", 0.5]))
    again = [
        Point(p.recipe, p.hours, (p.runs[0], replace(p.runs[0], record=found.points[0].runs[1].record)))
        for p in (one, two)
    ]
    assert 1e-4 < pair(found, one, two).segment_p < 1
    assert pair(found, *again).segment_p == pytest.approx(pair(found, one, two).segment_p)


def test_markdown_holds_what_is_needed_to_run_it_again(written):
    to, sentences = written
    text = (to / "RESULTS.md").read_text()
    for line in sentences:
        assert f"- {line}\n" in text
    assert text.count("\n| mfcc_hmm |") == 8 + 1  # cells, and its law
    for block in text.split("\n\n"):
        assert len({line.count("|") for line in block.splitlines() if line.startswith("|")}) <= 1
    assert text.count("| mfcc_hmm | raw_ctc |") == 4
    origin = provenance()
    for wanted in (origin["commit"], origin["hardware"], origin["python"], "torch 2.11", "Command: `asr"):
        assert wanted in text


def test_stages_are_drawn_and_add_up_to_the_error_rate(found, written):
    for point in found.points:
        assert sum(point.lost.values()) == pytest.approx(point.wer)
    text = (written[0] / "RESULTS.md").read_text()
    stages = "search | vocabulary | language model | acoustics | pronunciation"
    head = f"| hours | recipe | seeds | {stages} | WER % |"
    rows = text[text.index(head) :].split("\n\n")[0].splitlines()[2:]
    assert len(rows) == len(found.points) and rows[0].startswith("| 0.1 | mfcc_hmm | 0, 1 | 0.0 | ")
    page = (written[0] / "report.html").read_text()
    assert "Which stage lost the words" in page and "0.25 h phoneme_ctc" in page
    unknown = replace(found.points[0], runs=(replace(found.points[0].runs[0], losses=None),))
    assert unknown.lost is None
    # where one of two seeds knows, it alone is told of
    one, other = found.points[0].runs
    some = replace(found.points[0], runs=(replace(one, losses=None), other))
    assert sum(some.lost.values()) == pytest.approx(other.row["wer"], abs=1e-3)


def test_a_stage_that_did_harm_is_left_of_zero(found):
    runs = []
    for run in found.runs:
        counts = {i: (e[0], e[0] + 1, *e[2:]) for i, e in run.losses.by_utterance.items()}
        runs.append(replace(run, losses=replace(run.losses, by_utterance=counts)))
    harmed = Findings.of(runs)
    (axes,) = draw_stages(harmed).axes
    ends = {}
    for bar in axes.patches:
        assert bar.get_width() * bar.get_x() >= 0
        row = round(bar.get_y() + bar.get_height() / 2)
        ends[row] = ends.get(row, 0.0) + bar.get_width()
    (marks,) = (line for line in axes.lines if line.get_label() == "WER")
    for rate, row in zip(*marks.get_data(), strict=True):
        assert ends[round(row)] == pytest.approx(rate)


def test_hypotheses_that_were_not_scored_are_refused(folders, tmp_path):
    shutil.copytree(folders[0], tmp_path / "run")
    path = tmp_path / "run" / "decode" / "test" / "hyp.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    with pytest.raises(DataError, match=r"errors in .* its record says"):
        Run.load(tmp_path / "run")


def test_cost_is_drawn_where_every_run_knows_it(found, written):
    page = (written[0] / "report.html").read_text()
    assert "What it cost" in page and "CPU seconds of training (log scale)" in page
    figure = draw_cost(found)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    axis, (low, high) = axes.xaxis, axes.get_xlim()
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    read = [t.label1.get_text() for t in ticks if low <= t.get_loc() <= high]
    assert len(read) > 1 and all(float(text) > 0 for text in read)  # seconds, not powers of ten
    point = found.points[0]
    older = replace(
        point.runs[0].record, row={k: v for k, v in point.runs[0].row.items() if k != "train_cpu_s"}
    )
    runs = [replace(point.runs[0], record=older), *(r for p in found.points[1:] for r in p.runs)]
    assert draw_cost(Findings.of(runs)) is None


@pytest.mark.parametrize("size", [(6.4, 4.0), (3.9, 3.6)])
@pytest.mark.parametrize("decades", range(1, 6))
def test_ticks_of_the_cost_do_not_overlap(found, size, decades):
    runs = []
    for point in found.points:
        for run in point.runs:
            row = run.record.row | {"train_cpu_s": 3.0 * 10 ** (decades * run.record.row["hours"])}
            runs.append(replace(run, record=replace(run.record, row=row)))
    figure = draw_cost(Findings.of(runs), size)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    shown = [t for t in axes.get_xticklabels() if t.get_text() and low <= t.get_position()[0] <= high]
    boxes = sorted((t.get_window_extent() for t in shown), key=lambda box: box.x0)
    assert boxes and all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_what_trained_on_a_gpu_is_drawn_by_the_seconds_that_it_had_it(found):
    def with_gpu(run: Run) -> Run:
        if run.record.row["recipe"] == "mfcc_hmm":
            return run
        row = {**run.record.row, "train_gpu_s": 7.0 * run.record.row["hours"]}
        return replace(run, record=replace(run.record, row=row))

    runs = [with_gpu(r) for p in found.points for r in p.runs]
    (axes,) = draw_cost(Findings.of(runs)).axes
    assert axes.get_xlabel() == "CPU seconds, GPU seconds where it used one, of training (log scale)"
    drawn = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    assert drawn["mfcc_hmm"] == pytest.approx([10, 25, 50, 100])
    assert drawn["raw_ctc"] == pytest.approx([0.7, 1.75, 3.5, 7.0])
    mixed = [r for r in runs if r.record.row["recipe"] == "raw_ctc" and r.record.row["hours"] == 1.0]
    other = replace(
        mixed[0], record=replace(mixed[0].record, row=mixed[0].record.row | {"train_gpu_s": None})
    )
    (axes,) = draw_cost(Findings.of([other, *mixed[1:]])).axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[pytest.approx(100)]]  # no mean of both kinds
    head, rows = table(runs)
    (column,) = (i for i, name in enumerate(head) if name == "training GPU s")
    assert {row[0]: row[column] for row in rows if row[0] != "phoneme_ctc"} == {
        "mfcc_hmm": "",
        "raw_ctc": "7",
    }
    assert "training GPU s" not in table([r for p in found.points for r in p.runs])[0]


def test_texts_are_a_table_of_colours_and_the_rest_is_of_the_most_text(tmp_path):
    folders = []
    for cell in stub.cells(hours=(0.25, 1.0), texts=(100, 1000)):
        folders.append(tmp_path / f"{cell.recipe}-{cell.hours}-{cell.words}")
        stub.run(cell, folders[-1], lambda _: None)
    found = Findings.of([Run.load(f) for f in folders])
    assert list(found.by_text) == [100, 1000]
    assert found.points == found.by_text[1000] and len(found.points) == 6
    drawn = {t.get_text() for axes in draw_texts(found).axes for t in axes.texts}
    assert drawn == {f"{p.wer:.1f}" for points in found.by_text.values() for p in points}
    write_report(tmp_path, folders, {}, provenance())
    page, table = ((tmp_path / name).read_text() for name in ("report.html", "RESULTS.md"))
    assert "Audio and text" in page
    assert "| recipe | hours | text | seed |" in table and table.count("| 100 words |") == 6
    assert "](texts.svg)" in table and "100 words" in (tmp_path / "texts.svg").read_text()
    few, many = (p[-1] for p in found.by_text.values())
    (line,) = (line for line in answer(found) if line.startswith("More text at 1 h, from 100 words to "))
    assert f"raw_ctc {few.wer:.1f}% to {many.wer:.1f}%" in line


def test_one_text_is_not_drawn(found, written):
    assert draw_texts(found) is None and not (written[0] / "texts.svg").exists()
    assert "Audio and text" not in (written[0] / "report.html").read_text()


class Checker(html.parser.HTMLParser):
    """Every tag closed in order; no address outside the page."""

    VOID = frozenset({"meta", "link", "br", "path", "use", "rect"})

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.outside = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self._look(attrs)

    def handle_startendtag(self, tag, attrs):
        self._look(attrs)

    def _look(self, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and not value.startswith(("#", "data:")):
                self.outside.append(value)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_is_whole_and_needs_no_network(written):
    path = written[0] / "report.html"
    text = path.read_text()
    check = Checker()
    check.feed(text)
    assert check.open == [] and check.outside == []
    assert len(set(check.ids)) == len(check.ids)
    assert "@import" not in text and "<script src" not in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {f"#{i}" for i in check.ids}
    assert path.stat().st_size < 3_000_000
    assert "a cell &lt;1&gt;: why &amp; how" in text
    assert "currentColor" in text and "#010203" not in text
    for recipe in stub.RECIPES:
        assert f"<h3>{recipe}, 1 h</h3>" in text
    assert text.count("<details>") == 24


@pytest.fixture
def playing(tmp_path):
    """A page with players, and what was recognised where."""
    from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

    cell = stub.cells(hours=(0.1,))[2]
    stub.run(cell, tmp_path / "run", lambda _: None)
    path = tmp_path / "run" / "decode" / "test" / "hyp.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for e in entries:
        texts = e["text"].split()
        e["words"] = [[w, round(0.9 * k / len(texts), 2), 0.05, 1.0] for k, w in enumerate(texts)]
    path.write_text("".join(json.dumps(e) + "\n" for e in entries))
    cuts = []
    for e in entries:
        wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
        soundfile.write(tmp_path / f"{e['id']}.wav", wave, 16000)
        recording = Recording.from_file(tmp_path / f"{e['id']}.wav", recording_id=e["id"])
        said = SupervisionSegment(e["id"], e["id"], 0.0, 1.0, text=e["reference"], speaker="s")
        cuts.append(MonoCut(e["id"], 0.0, 1.0, 0, [said], recording=recording))
    Corpus.write(tmp_path / "toy", "toy", {"test": CutSet.from_cuts(cuts)}, "A AH\n", "A\n")
    write_report(tmp_path, [tmp_path / "run"], {}, provenance(), tmp_path / "toy")
    return tmp_path / "report.html", entries


def test_worst_utterances_play_from_their_words(playing):
    """One player for each of the worst utterances, and each of its words starts where it was recognised."""
    path, entries = playing
    page = path.read_text()
    check = Checker()
    check.feed(page)
    assert check.open == [] and check.outside == []
    players = re.findall(r'<audio id="audio-(\w+)" src="data:audio/mpeg;base64,([^"]+)"', page)
    assert len(players) == 8 and len(page) < 3_000_000
    for name, data in players:
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == 16000 and 0.95 < len(samples) / rate < 1.2  # MP3 has whole frames
        block = page[page.index(f'data-audio="audio-{name}"') :].split('class="utterance"')[0]
        (entry,) = (e for e in entries if e["id"] == name)
        starts = [float(t) for t in re.findall(r'data-at="([\d.]+)" title', block)]
        assert starts == [w[1] for w in entry["words"]]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the page with")
@pytest.mark.parametrize("width", [390, 1200])
def test_clicked_through_in_chromium_the_page_has_no_error_and_fits(playing, tmp_path, width):
    """Every fold opened, every word clicked, waiting for its sound and faster than one can listen."""
    path, _ = playing
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    command += ["--remote-allow-origins=*", f"--user-data-dir={tmp_path / 'profile'}", "about:blank"]
    browser = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        told = tmp_path / "profile" / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not told.exists() or not told.read_text().count("\n"):
            assert browser.poll() is None and time.monotonic() < deadline, "Chromium did not start"
            time.sleep(0.1)
        errors, seen = asyncio.run(_click_through(told.read_text().split()[0], path, width))
    finally:
        browser.kill()
        browser.wait()
    assert errors == []
    assert seen["outside"] == [] and seen["width"] <= width
    assert seen["folds"] > 0 and seen["played"] == seen["words"] > 8


async def _click_through(port, path, width):
    """Console errors and exceptions, and what was seen, of a page opened by the DevTools protocol."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as tabs:
        address = next(t["webSocketDebuggerUrl"] for t in json.load(tabs) if t["type"] == "page")
    socket = await websocket_connect(address, max_message_size=2**26)
    number, events = itertools.count(), []

    async def call(method, **params):
        mine = next(number)
        await socket.write_message(json.dumps({"id": mine, "method": method, "params": params}))
        while True:
            message = json.loads(await asyncio.wait_for(socket.read_message(), 60))
            if message.get("id") == mine:
                return message["result"]
            events.append(message)

    async def js(expression):
        found = await call("Runtime.evaluate", expression=expression, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    for domain in ("Runtime", "Log", "Page", "Network"):
        await call(f"{domain}.enable")
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    await call("Emulation.setDeviceMetricsOverride", **size)
    await call("Page.navigate", url=path.as_uri())
    ready = f"document.readyState == 'complete' && location.href == {json.dumps(path.as_uri())}"
    deadline = time.monotonic() + 60
    while not await js(ready):
        assert time.monotonic() < deadline, "the page did not load"
        await asyncio.sleep(0.1)
    await js("document.querySelectorAll('summary').forEach(s => s.click())")
    await js("words = document.querySelectorAll('[data-at]'); words.forEach(w => w.click())")
    seen = {
        "folds": await js("document.querySelectorAll('details[open]').length"),
        "width": await js("document.documentElement.scrollWidth"),
        "words": await js("words.length"),
    }
    # a word plays when its own player, and no other, is on, at the word or after it
    await js("""
        player = w => document.getElementById(w.closest('[data-audio]').dataset.audio);
        on = w => (!player(w).paused || player(w).ended) && player(w).currentTime >= +w.dataset.at - 0.05
            && [...document.querySelectorAll('audio')].every(a => a === player(w) || a.paused);
        plays = async w => {
            w.click();
            for (let i = 0; i < 100 && !on(w); i++) await new Promise(done => setTimeout(done, 20));
            return on(w);
        };
        played = async () => { let n = 0; for (const w of words) n += await plays(w); return n; };""")
    seen["played"] = await js("played()")
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    seen["outside"] = [url for url in asked if not url.startswith(("data:", path.as_uri()))]
    bad = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    return [e for e in events if e["method"] in bad], seen


def test_unreadable_run_is_named_and_the_rest_shown(folders, tmp_path):
    broken = tmp_path / "broken"
    stub.run(stub.cells()[0], broken, lambda _: None)
    (broken / "decode" / "test" / "hyp.jsonl").write_text("{")
    write_report(tmp_path, [broken, folders[-1]], {}, provenance())
    text = (tmp_path / "RESULTS.md").read_text()
    assert "- broken: " in text and "hyp.jsonl:1: not JSON" in text and "| raw_ctc | 1 |" in text


def test_the_table_shows_the_plots_beside_it_and_none_of_an_earlier_bench(folders, tmp_path):
    (tmp_path / "texts.svg").write_text("<svg>of an earlier bench</svg>")
    write_report(tmp_path, folders, {}, provenance())
    shown = re.findall(r"!\[.*]\((.*)\)", (tmp_path / "RESULTS.md").read_text())
    assert {"curve.svg", "cost.svg"} <= set(shown) == {f.name for f in tmp_path.glob("*.svg")}


def test_styles_of_twelve_recipes_differ():
    assert len({_style(i) for i in range(12)}) == 12


def test_same_runs_same_plot(folders, tmp_path):
    for to in (tmp_path / "1", tmp_path / "2"):
        write_report(to, folders[:6], {}, provenance())
    assert (tmp_path / "1" / "curve.svg").read_bytes() == (tmp_path / "2" / "curve.svg").read_bytes()
    assert (tmp_path / "1" / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_name_with_dollars_is_no_formula(found):
    svg = inline_svg(draw_curve(found, r"us$\frac$eu"), "a-")
    assert r"us$\frac$eu" in svg


def test_what_shares_a_training_shares_its_luck(tmp_path):
    """Two recipes that search the same trainings and find the same: nothing is between them."""
    cells = stub.cells(hours=(0.5, 1.0), seeds=(0, 1, 2))
    both = [replace(c, overrides=("model.phoneme_share=0.5",)) for c in cells if c.recipe != "mfcc_hmm"]
    states = run_bench(plan(both, tmp_path), tmp_path, run=stub.run, executor=stub.thread)
    runs = [Run.load(s.folder) for s in states]
    assert len({r.record.training for r in runs}) == 6 and all(r.record.training for r in runs)
    first = {r.record.training: r.result for r in runs if r.row["recipe"] == "phoneme_ctc"}
    same = [replace(r, result=first[r.record.training]) for r in runs]
    apart = [replace(r, record=replace(r.record, training="")) for r in same]

    def between(some):
        a, b = Findings.of(some).curves.values()
        return (a.draws - b.draws).std()

    assert between(same) < 1e-6 and between(apart) > 0.3


def test_what_went_wrong_in_a_shared_training_is_told_once():
    """But of each run that does not tell its training, as an old one."""

    def run(training, *alarms):
        return RunRecord({}, {}, {}, {}, training=training, alarms=list(alarms))

    runs = [("a", run("1", "x", "y")), ("b", run("1", "x", "y")), ("c", run("2", "z"))]
    assert alarms_of(runs) == [("a", "x"), ("a", "y"), ("c", "z")]
    assert alarms_of([("e", run("", "x")), ("f", run("", "x"))]) == [("e", "x"), ("f", "x")]
