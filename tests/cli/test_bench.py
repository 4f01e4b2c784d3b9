import functools
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from asr import bench as module
from asr import experiment
from asr.cell import Cell, recipe_settings
from asr.data.corpus import Corpus
from asr.files import alone
from asr.models.ctc.model import Ctc
from asr.record import RunRecord
from asr.report import page
from asr.score import score_texts
from asr.stages import Losses
from tests.models.test_gmmhmm import LEXICON

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import stub


def toy(to):
    cuts = []
    for name in ("u003", "u007"):
        soundfile.write(to / f"{name}.wav", np.full(1600, 0.1, np.float32), 16000)
        recording = Recording.from_file(to / f"{name}.wav", recording_id=name)
        said = SupervisionSegment(name, name, 0.0, recording.duration, text="THE CAT", speaker="s")
        cuts.append(MonoCut(name, 0.0, recording.duration, 0, [said], recording=recording))
    (to / "u003.wav").unlink()
    Corpus.write(to / "toy", "toy", {"test": CutSet.from_cuts(cuts)}, "CAT K AE T\n", "THE CAT\n")


def change(run, **columns):
    """Give a finished run other figures (...: none) and no words in the utterances of toy."""
    hypotheses = run / "decode" / "test" / "hyp.jsonl"
    lines = [json.loads(line) for line in hypotheses.read_text().splitlines()]
    silent = [e | {"text": ""} if e["id"] in ("u003", "u007") else e for e in lines]
    hypotheses.write_text("".join(json.dumps(e) + "\n" for e in silent))
    hypotheses.with_name("stages.json").unlink()  # of the words that were there
    scores = score_texts(*({e["id"]: e[k] for e in silent} for k in ("reference", "text"))).scores
    counts = {"sub": scores.substitutions, "del": scores.deletions, "ins": scores.insertions}
    record = json.loads((run / "record.json").read_text())
    row = record["row"] | counts | columns
    record["row"] = {name: value for name, value in row.items() if value is not ...}
    (run / "record.json").write_text(json.dumps(record))


@pytest.fixture
def bench(run, monkeypatch, tmp_path):
    """Call ``bench(...)`` as `asr bench ... --data toy --to DIR` with cells that take no training.

    Of the test audio of toy, u007 is there and u003 is not.
    """
    toy(tmp_path)
    monkeypatch.setattr(module, "run_cell", stub.run)
    monkeypatch.setattr(module, "run_bench", functools.partial(module.run_bench, executor=stub.thread))
    return lambda *arguments: run("bench", "--data", tmp_path / "toy", "--to", tmp_path / "out", *arguments)


def test_table_page_and_answer(bench, tmp_path):
    done = bench("--hours", "0.1,0.5,1", "--seeds", "0,1")
    assert done.code == 0, done.err
    assert "[18/18] raw_ctc, 1 h, seed 1: done, WER " in done.err
    last = done.out[done.out.index("\n0.1 h: ") :].strip().splitlines()
    assert last[0].startswith("0.1 h: mfcc_hmm is best with ")
    assert last[2].startswith("1 h: raw_ctc is ")
    assert any(line.startswith("mfcc_hmm and raw_ctc cross: raw_ctc overtakes ") for line in last[3:])
    out = tmp_path / "out"
    assert {"results.csv", "RESULTS.md", "curve.png", "curve.svg", "report.html"} <= {
        p.name for p in out.iterdir()
    }
    assert len((out / "results.csv").read_text().splitlines()) == 19


def test_dev_has_pages_of_its_own(bench, tmp_path):
    (tmp_path / "toy" / "cuts_dev.jsonl.gz").symlink_to("cuts_test.jsonl.gz")
    assert bench("--hours", "0.5").code == 0
    out = tmp_path / "out"
    before = {name: (out / name).read_bytes() for name in ("results.csv", "RESULTS.md", "report.html")}
    done = bench("--hours", "0.5", "--split", "dev")
    assert f"page {out / 'dev' / 'report.html'}" in done.out
    assert "These are figures of dev, where the scales were tuned, too" in done.out
    assert "not in table and page: 3 finished cells there; this bench asks for other hours" in done.err
    assert "Dev split: 120 utterances" in (out / "dev" / "RESULTS.md").read_text()
    assert before == {name: (out / name).read_bytes() for name in before}
    assert not any("figures of dev" in text.decode() for text in before.values())


def test_the_run_that_did_best_on_dev_with_the_most_hours_is_named(bench, tmp_path, monkeypatch):
    arguments = ["--hours", "0.1, 1", "--recipes", "mfcc_hmm, raw_ctc"]
    done = bench(*arguments)
    assert done.code == 0 and "listen:" not in done.out, "there are no models"
    runs = sorted((tmp_path / "out").glob("*-s0-*"))
    assert len(runs) == 4
    for run, wer in zip(runs, (3.5, 4.0, 3.0, None), strict=True):
        tuning = [{"wer": 1.0}, {"wer": wer}] if wer else []
        record = json.loads((run / "record.json").read_text()) | {"tuning": tuning}
        (run / "record.json").write_text(json.dumps(record))
        if wer != 3.0:
            (run / "system").mkdir()
            (run / "system" / "system.json").touch()
    for asr in ("/usr/bin/asr", None):
        monkeypatch.setattr("shutil.which", lambda _, found=asr: found)
        told = bench(*arguments).out.splitlines()[-1]
        program, _, rest = told.removeprefix("listen: ").partition(" ")
        assert rest == f"transcribe AUDIO --model {runs[1]}"
        # where the shell does not find it, by its path
        assert program == "asr" if asr else Path(program).samefile(Path(sys.executable).parent / "asr")
    out = bench(*arguments, "--json").out
    assert json.loads(out[out.index("{") :])["best"] == str(runs[1])


def test_failed_cell_exit_code_and_the_rest(bench, tmp_path):
    done = bench("--hours", "0.666", "--json")
    assert done.code == 1
    # the cells print as well, for here they have no processes of their own
    outcome = json.loads(done.out[done.out.index("{") :])
    assert [r["recipe"] for r in outcome["rows"]] == ["phoneme_ctc", "raw_ctc"]
    assert "holds no samples" in outcome["failed"]["mfcc_hmm, 0.666 h, seed 0"]
    assert "mfcc_hmm, 0.666 h, seed 0: x.wav: utterance u1" in (tmp_path / "out" / "RESULTS.md").read_text()
    again = bench("--hours", "0.666")
    assert "phoneme_ctc, 0.666 h, seed 0: kept" in again.err
    assert "failed: mfcc_hmm, 0.666 h, seed 0" in again.out


@pytest.mark.parametrize("terminated", [False, True])
def test_ctrl_c_leaves_a_report_of_what_is_finished(bench, monkeypatch, tmp_path, terminable, terminated):
    def interrupted(cell, folder, stage):
        if cell.recipe in at:
            if terminated:
                os.kill(os.getpid(), signal.SIGTERM)  # the main thread takes it for Ctrl-C, or all is over
            raise KeyboardInterrupt
        return stub.run(cell, folder, stage)

    monkeypatch.setattr(module, "run_cell", interrupted)
    at, out = list(stub.RECIPES), tmp_path / "out"
    done = bench("--hours", "0.5")
    assert done.code == 130 and "stopped with 0 of 3 cells: the same command goes on from here" in done.err
    assert not (out / "report.html").exists()
    at = ["raw_ctc"]
    done = bench("--hours", "0.5")
    assert done.code == 130 and "stopped with 2 of 3 cells: the same command goes on from here" in done.err
    assert "0.5 h: phoneme_ctc did best, for these trainings, " in done.out
    text = (out / "RESULTS.md").read_text()
    assert "| phoneme_ctc | 0.5 |" in text and "raw_ctc" not in text and "Failed" not in text
    at = []
    again = bench("--hours", "0.5")
    assert again.code == 0 and "phoneme_ctc, 0.5 h, seed 0: kept" in again.err
    assert "raw_ctc" in (out / "RESULTS.md").read_text()


def test_cells_that_are_left_out_are_counted(bench, tmp_path):
    assert "not in table and page" not in bench("--hours", "0.5,1").err
    done = bench("--hours", "1")
    assert done.code == 0 and "not in table and page: 3 finished cells there; " in done.err


def test_stages_are_of_the_split_that_a_run_was_scored_on(run, monkeypatch, tmp_path):
    toy(tmp_path)
    asked = []
    monkeypatch.setattr(
        "asr.stages.attribute", lambda *arguments: asked.append(arguments[2]) or Losses(1, {"u": (0,) * 6})
    )
    for split in ("dev", None):
        RunRecord({"split": split}, {}, {}, {}).save(tmp_path / "run")
        run("stages", tmp_path / "run", "--data", tmp_path / "toy")
    run("stages", tmp_path / "run", "--data", tmp_path / "toy", "--split", "train")
    assert asked == ["dev", "test", "train"]


def test_stages_are_found_for_cells_that_lack_them(bench, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(stub, "STAGES", False)
    monkeypatch.setattr(module, "attribute", lambda run, corpus, split: asked.append((run.name, split)))
    bench("--hours", "0.5", "--recipes", "raw_ctc")
    assert asked == []
    for record in (tmp_path / "out").glob("*/record.json"):
        (record.parent / "system").mkdir()
        (record.parent / "system" / "system.json").write_text("{}")
    done = bench("--hours", "0.5", "--recipes", "raw_ctc", "--stages")
    assert done.code == 0 and [split for _, split in asked] == ["test"]


def test_page_is_given_the_recordings(bench, monkeypatch, tmp_path):
    asked = []

    def recordings(corpus, split, ids):
        asked.append((corpus.folder, split, len(ids)))
        return {}

    monkeypatch.setattr(page, "recordings", recordings)
    bench("--hours", "0.1", "--recipes", "raw_ctc")
    assert asked == [(tmp_path / "toy", "test", page.WORST)]


def test_everything_failed(bench, tmp_path):
    done = bench("--hours", "0.666,0.777", "--recipes", "mfcc_hmm")
    assert done.code == 1
    assert "a defect" in (tmp_path / "out" / "report.html").read_text()


def test_dry_run_lists_cells_and_does_nothing(bench, tmp_path):
    done = bench("--dry-run", "--hours", "0.5,all", "--recipes", "raw_ctc", "--seeds", "7")
    assert done.code == 0
    *cells, told = done.out.splitlines()
    assert told == "no estimate: no cell of these recipes is finished in this folder yet"
    assert [line.split(",")[:3] for line in cells] == [
        ["raw_ctc", " 0.5 h", " seed 7: waiting"],
        ["raw_ctc", " all hours", " seed 7: waiting"],
    ]
    assert not (tmp_path / "out").exists()
    bench("--hours", "0.5,1", "--recipes", "raw_ctc")
    done = bench("--dry-run", "--hours", "0.5,1,2", "--recipes", "raw_ctc")
    assert "raw_ctc, 2 h, seed 0: waiting, about 0.0 min and 2 MB" in done.out
    assert done.out.splitlines()[-1] == "1 of 1 waiting cells: about 0 minutes, 1 at a time, and 2 MB"


def test_dry_run_tells_of_hours_that_are_not_there(bench, tmp_path):
    corpus = tmp_path / "toy" / "corpus.json"
    told = json.loads(corpus.read_text())
    corpus.write_text(json.dumps(told | {"splits": told["splits"] | {"train": {"hours": 0.75}}}))
    done = bench("--dry-run", "--hours", "0.5,2", "--recipes", "raw_ctc", "--seeds", "7")
    assert "raw_ctc, 2 h, seed 7: waiting, will fail: there are 0.75 h of training audio" in done.out
    assert "raw_ctc, 0.5 h, seed 7: waiting, will" not in done.out and done.code == 1


def test_dry_run_tells_which_cells_share_a_training(bench):
    shared = ("--set", "model.phoneme_share=0.5", "--recipes", "phoneme_ctc,raw_ctc", "--hours", "0.5,1")
    done = bench("--dry-run", *shared)
    assert "raw_ctc, 1 h, seed 0: waiting, with the training of phoneme_ctc, 1 h, seed 0, " in done.out
    assert done.out.count("with the training of") == 2


@pytest.mark.parametrize("given", ["[a=1]", "{model.width: 64}", "{all: 64}", "{all: [64]}", "{all: a=1}"])
def test_settings_of_a_bench_are_lists_under_names(run, tmp_path, given):
    conf = tmp_path / "mine.yaml"
    conf.write_text(f"corpora: [{{name: fsdd}}]\nrecipes: [raw_ctc]\nset: {given}\n")
    done = run("bench", conf, "--dry-run")
    says = "set: settings are lists under a recipe's name or all, as in {all: [model.width=64]}"
    assert done.code == 2 and says in done.err


def test_a_language_that_nobody_can_pronounce_is_told_before_anything_is_run(run, tmp_path):
    conf = tmp_path / "mine.yaml"
    (tmp_path / "t.csv").write_text("path,text\n")
    corpus = f"{{name: csv, source: {tmp_path / 't.csv'}, options: {{language: xx-nope}}}}"
    conf.write_text(f"corpora: [{corpus}]\nrecipes: [raw_ctc]\nhours: [1]\n")
    done = run("bench", conf, "--dry-run")
    assert done.code == 1 and "espeak-ng does not speak the language 'xx-nope'" in done.err


def test_a_source_that_is_not_there_is_told_before_anything_is_run(run, tmp_path):
    conf = tmp_path / "mine.yaml"
    conf.write_text("corpora: [{name: csv, source: gone.csv, folder: new}]\nrecipes: [raw_ctc]\nhours: [1]\n")
    for more in ((), ("--dry-run",)):
        done = run("bench", conf, "--to", tmp_path / "out", *more)
        assert done.code == 1 and "gone.csv: corpora: no such source of csv; correct `source:`" in done.err
    assert not (tmp_path / "out").exists()


def test_a_corpus_of_the_user_is_no_quick_bench(bench, run, monkeypatch, tmp_path):
    """As in the README: no bench file. The toy networks of `quick` are for its own corpus."""
    done = bench("--hours", "0.5", "--json")
    assert {r["setting"] for r in json.loads(done.out[done.out.index("{") :])["rows"]} == {""}
    monkeypatch.chdir(tmp_path)
    done = run("bench", "--data", tmp_path / "new", "--hours", "0.5", "--dry-run")
    assert ", runs/new/mfcc_hmm-0.5h-s0-" in done.out.splitlines()[0]
    done = run("bench", "--dry-run")
    assert ", runs/quick/mfcc_hmm-0.05h-s0-" in done.out.splitlines()[0]


def test_each_of_several_corpora_has_its_own_answer(bench, tmp_path):
    shutil.copytree(tmp_path / "toy", tmp_path / "other")
    several = ("--data", tmp_path / "other", "--hours", "0.5", "--recipes", "raw_ctc,mfcc_hmm")
    done = bench(*several)
    assert done.code == 0, done.err
    assert re.findall(r"^(toy|other|table .*)$", done.out, re.MULTILINE) == [
        line
        for name in ("toy", "other")
        for line in (
            name,
            f"table {tmp_path / 'out' / name}/results.csv, page {tmp_path / 'out' / name}/report.html",
        )
    ]
    assert done.out.count("0.5 h: ") == 2
    found = bench(*several, "--json").out
    assert list(json.loads(found[found.index("{") :])) == ["toy", "other"]
    assert bench(*several, "--dry-run").out.count(": kept") == 4
    (tmp_path / "x").mkdir()
    shutil.copytree(tmp_path / "toy", tmp_path / "x" / "toy")
    done = bench("--data", tmp_path / "x" / "toy", "--hours", "0.5")
    assert done.code == 2 and "two corpora are named toy" in done.err


def test_a_failure_in_the_first_corpus_does_not_stop_the_second(bench, tmp_path):
    shutil.copytree(tmp_path / "toy", tmp_path / "other")
    done = bench("--data", tmp_path / "other", "--hours", "0.666", "--json")
    found = json.loads(done.out[done.out.index("{") :])
    assert done.code == 1 and [len(f["failed"]) for f in found.values()] == [1, 1]


def test_a_corpus_that_cannot_be_prepared_does_not_stop_the_others(bench, run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    corpora = [{"name": "csv", "source": "none.csv"}, {"name": "csv", "folder": "toy"}]
    fields = {"corpora": corpora, "recipes": ["raw_ctc"], "hours": [0.5]}
    Path("own.yaml").write_text(json.dumps(fields))
    done = run("bench", "own.yaml")
    assert done.code == 1 and done.err.count("none.csv") == 1 and "0.5 h: raw_ctc reaches " in done.out
    done = run("bench", "own.yaml", "--dry-run")
    assert done.code == 1 and done.err.count("none.csv") == 1 and "raw_ctc, 0.5 h, seed 0: kept" in done.out


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"name": "fsd"}, "did you mean 'fsdd'"),
        ({"name": "csv"}, "no source of csv named"),
        ({"name": "synth", "options": {"hour": 1}}, "'hour' is unknown"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_wrong_use_of_a_later_corpus_is_told_before_the_first_is_run(
    bench, run, monkeypatch, tmp_path, second, says, dry
):
    monkeypatch.chdir(tmp_path)
    fields = {"corpora": [{"name": "csv", "folder": "toy"}, second], "recipes": ["raw_ctc"], "hours": [0.5]}
    Path("own.yaml").write_text(json.dumps(fields))
    done = run("bench", "own.yaml", *dry)
    assert done.code == 2 and says in done.err and not Path("runs").exists()


def test_a_locked_folder_does_not_stop_the_other_corpora(bench, tmp_path):
    shutil.copytree(tmp_path / "toy", tmp_path / "other")
    with alone(tmp_path / "out" / "toy", pytest.fail):
        done = bench("--data", tmp_path / "other", "--hours", "0.5", "--recipes", "raw_ctc", "--json")
    assert done.code == 1 and "another bench is running here" in done.err
    assert list(json.loads(done.out[done.out.index("{") :])) == ["other"]


def test_cells_of_one_corpus_are_spoken_of_when_there_are_several(bench, tmp_path):
    shutil.copytree(tmp_path / "toy", tmp_path / "other")
    assert bench("--hours", "0.5", "--recipes", "raw_ctc").code == 0
    done = bench("--data", tmp_path / "other", "--hours", "0.5", "--recipes", "raw_ctc", "--dry-run")
    assert "holds cells of a bench of one corpus" in done.err


@pytest.mark.parametrize("hours", [(), ("--hours", "0.5")])
def test_a_wrong_folder_is_refused_in_one_line(bench, run, tmp_path, hours):
    for folder, says in (("new", "no such folder"), (".", "not a prepared corpus")):
        done = run("bench", "--data", tmp_path / folder, "--to", tmp_path / "out", *hours)
        assert done.code == 1 and done.err.count(says) == done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_figures_that_a_run_does_not_know_are_left_open(bench, tmp_path):
    bench("--hours", "0.5", "--recipes", "raw_ctc")
    (path,) = (tmp_path / "out").glob("*/record.json")
    change(path.parent, train_s=..., hours=0.295234)
    done = bench("--hours", "0.5", "--recipes", "raw_ctc")
    assert done.code == 0 and re.search(r"raw_ctc +0\.295 .* - +0\.0100", done.out)
    assert "unreadable" not in done.out + done.err + (tmp_path / "out" / "RESULTS.md").read_text()


def test_unreadable_audio_is_named_once_and_told_of_each_run(bench, tmp_path):
    bench("--hours", "0.5,1", "--recipes", "raw_ctc")
    for path in (tmp_path / "out").glob("*/record.json"):
        change(path.parent, unreadable=1)
    done = bench("--hours", "0.5,1", "--recipes", "raw_ctc")
    assert done.code == 1
    text = "seed 0: 1 of 120 test utterances unreadable and counted as deleted"
    assert f"\nraw_ctc, 0.5 h, {text}\nraw_ctc, 1 h, {text}\n" in done.out
    # u007 can be read: nothing was recognised in it
    assert done.err.count("u003.wav: utterance u003: ") == 1 and "u007" not in done.err
    results = (tmp_path / "out" / "RESULTS.md").read_text()
    assert f"\nUnreadable audio:\n\n- raw_ctc, 0.5 h, {text}\n- raw_ctc, 1 h, {text}\n\n" in results
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"<li>raw_ctc, 0.5 h, {text}</li><li>raw_ctc, 1 h, {text}</li>" in page
    assert bench("--hours", "0.5,1", "--recipes", "raw_ctc", "--json").code == 1


@pytest.fixture
def trained(capsys, tmp_path):
    """A finished run folder of `asr train raw_ctc --data toy --hours 0.5 --to out`."""
    toy(tmp_path)
    cell = Cell(tmp_path / "toy", "raw_ctc", 0.5)
    folder = tmp_path / "out" / cell.folder_name()
    stub.run(cell, folder, lambda _: None)
    capsys.readouterr()  # what the training printed
    return folder


def test_train_names_unreadable_audio(run, trained, monkeypatch, tmp_path):
    change(trained, unreadable=1)
    arguments = ["train", "raw_ctc", "--data", tmp_path / "toy", "--hours", "0.5", "--to", tmp_path / "out"]
    done = run(*arguments)
    assert done.code == 1 and done.out.startswith("test WER ")
    assert ", 1 of 120 utterances unreadable and counted as deleted, real-time factor 0.0100\n" in done.out
    assert done.err.count("u003.wav: utterance u003: ") == 1 and "u007" not in done.err
    done = run(*arguments, "--json")
    assert done.code == 1 and json.loads(done.out)["unreadable"] == 1
    # the first time the scoring has named it
    record = (trained / "record.json").read_text()
    (trained / "record.json").unlink()

    def scored(*_):
        (trained / "record.json").write_text(record)
        return json.loads(record)["row"]

    monkeypatch.setattr(experiment, "run_cell", scored)
    done = run(*arguments)
    assert done.code == 1 and "u003" not in done.err


def test_what_went_wrong_in_a_training_is_said_again_at_the_end(run, bench, trained, tmp_path):
    """Of a finished run too, in the table of a bench and in its pages."""
    record = json.loads((trained / "record.json").read_text())
    alarm = "diverges: the loss was 0.71, in step 520 it is 9.10: try a lower model.learning_rate (it is 1)"
    (trained / "record.json").write_text(json.dumps(record | {"alarms": [alarm]}))
    arguments = ("train", "raw_ctc", "--data", tmp_path / "toy", "--hours", "0.5", "--to", tmp_path / "out")
    assert f"asr: training {alarm}\n" in run(*arguments).err
    assert json.loads(run(*arguments, "--json").out)["alarms"] == [alarm]
    assert f"warning: {trained}: training {alarm}" in run("check", trained).out
    assert alarm.split(":")[0] in run("show", trained).out
    assert json.loads(run("show", trained, "--json").out)["alarms"] == [{"training": alarm}]
    done = bench("--recipes", "raw_ctc", "--hours", "0.5")
    line = f"raw_ctc, 0.5 h, seed 0: training {alarm}"
    assert done.out.count(line) == 1
    for name in ("RESULTS.md", "report.html"):
        text = (tmp_path / "out" / name).read_text()
        assert "Trainings to look at" in text and line in text


def test_train_begins_with_the_network_of_another_run(run, tmp_path):
    Ctc(recipe_settings("raw_ctc").model, LEXICON).save(tmp_path / "a b")
    done = run("train", "raw_ctc", "--data", tmp_path / "new", "--init-from", tmp_path / "a b", "--dry-run")
    assert done.code == 0 and yaml.safe_load(done.out)["model"]["init_from"] == str(tmp_path / "a b")
    plain = run("train", "raw_ctc", "--data", tmp_path / "new", "--dry-run")
    assert plain.out.partition("\n")[0] != done.out.partition("\n")[0]  # the run folders


def test_train_tells_what_an_older_run_knows(run, trained, tmp_path):
    change(trained, decode_rtf=..., wer_low=None, wer_high=None)
    done = run("train", "raw_ctc", "--data", tmp_path / "toy", "--hours", "0.5", "--to", tmp_path / "out")
    assert done.code == 0, done.err
    assert re.match(r"test WER \d+\.\d\d% \[\d+ / \d+: .* ins\], greedy CER 1.00%\nlisten: ", done.out)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--hours", "half"], "--hours: 'half' is no number"),
        (["--seeds", "0,x"], "--seeds: 'x' is no number"),
        (["--recipes", "mfcc"], "no recipe 'mfcc'"),
        (["--set", "search.beem=3"], "did you mean 'search.beam'"),
        (["slow"], "no bench 'slow'; name one of augmentation, both, default"),
    ],
)
def test_wrong_use(bench, arguments, says):
    done = bench(*arguments)
    assert done.code == 2 and says in done.err
