import csv
import fcntl
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from threadpoolctl import threadpool_info

import asr
from asr.bench import COLUMNS, plan, process, run_bench, write_results
from asr.cell import Cell, recipe_settings
from asr.data.corpora import Preparer
from asr.design import CorpusSettings, load_bench
from asr.errors import AsrError, ConfigError, DataError, ModelError, UsageError
from asr.estimate import PowerLaw, estimates
from asr.files import write_text
from asr.models.ctc.training import heard_hours
from asr.record import Stopwatch
from asr.report.live import BenchDisplay

sys.path.insert(0, str(Path(__file__).parent))
import stub


def rows(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def bench_file(tmp_path, **fields):
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump({"recipes": ["mfcc_hmm", "raw_ctc"], "hours": [0.5, "all", 0.1]} | fields))
    return path


def test_results_have_the_columns_of_the_design(tmp_path):
    states = run_bench(
        plan(stub.cells(hours=(0.1, 1.0)), tmp_path), tmp_path, run=stub.run, executor=stub.thread
    )
    assert [s.state for s in states] == ["done"] * 6
    header = (tmp_path / "results.csv").read_text().splitlines()[0]
    assert header == (
        "corpus,recipe,hours,text_words,seed,setting,split,utterances,words,sub,del,ins,wer,wer_low,wer_high,"
        "cer,unadapted_wer,per,lm_per,greedy_wer,greedy_cer,train_s,train_cpu_s,train_gpu_s,decode_rtf,"
        "peak_mb,disk_mb,params"
    )
    written = rows(tmp_path / "results.csv")
    assert [(r["recipe"], r["hours"]) for r in written] == [
        (r, h) for h in ("0.1", "1.0") for r in stub.RECIPES
    ]
    for r in written:
        assert r["per"] == "" and float(r["wer_low"]) <= float(r["wer"]) <= float(r["wer_high"])
        counted = 100 * sum(int(r[c]) for c in ("sub", "del", "ins")) / int(r["words"])
        assert float(r["wer"]) == pytest.approx(counted, abs=1e-3)


def test_table_is_rewritten_after_each_cell(tmp_path):
    seen = []

    def look(state):
        if state.state == "training" or state.row is None:
            seen.append(len(rows(tmp_path / "results.csv")))

    run_bench(plan(stub.cells(hours=(0.1,)), tmp_path), tmp_path, look, run=_slowly, executor=stub.thread)
    assert set(seen) == {0, 1, 2}


def _slowly(cell, folder, stage):
    stage("training")
    time.sleep(0.6)
    return stub.run(cell, folder, stage)


def _alarmed(cell, folder, stage):
    """The log of a training that goes wrong in its second pass, as a process of its own would write it."""
    stage("training")
    for line in (
        "epoch 1/4: train loss 9.9",
        "asr: training diverges: try a lower rate",
        "epoch 2/4: train loss 99.9",
    ):
        with open(folder / "log.txt", "a") as log:
            print(line, file=log)
        time.sleep(1.1)
    stage("tuning on dev")
    time.sleep(1.1)
    return stub.run(cell, folder, lambda _: None)


def test_what_goes_wrong_in_a_training_is_told_while_it_runs(tmp_path, capsys):
    seen = []
    states = plan(stub.cells(hours=(0.1,))[:1], tmp_path)
    states[0].folder.mkdir()
    (states[0].folder / "log.txt").write_text("asr: training of an earlier bench: try again\n")
    with BenchDisplay(states) as display:

        def change(state):
            seen.append((state.state, state.epoch, len(state.alarms)))
            display.change(state)

        run_bench(states, tmp_path, change, run=_alarmed, executor=stub.thread)
    course = list(dict.fromkeys(seen))
    assert course[-5:] == [
        ("training", "epoch 1/4", 0),
        ("training", "epoch 1/4", 1),
        ("training", "epoch 2/4", 1),
        ("tuning on dev", "", 1),
        ("done", "", 1),
    ]
    told = capsys.readouterr().err
    assert told.count("asr: mfcc_hmm, 0.1 h, seed 0: training diverges: try a lower rate\n") == 1
    assert "earlier" not in told


def test_failed_cell_is_named_and_the_rest_goes_on(tmp_path):
    cells = stub.cells(hours=(0.666, 0.777))
    states = run_bench(plan(cells, tmp_path), tmp_path, run=stub.run, executor=stub.thread)
    assert [s.state for s in states] == ["failed", "done", "done"] * 2
    assert "utterance u1: holds no samples; leave it out" in states[0].error
    assert "ZeroDivisionError: a defect" in states[3].error
    assert len(rows(tmp_path / "results.csv")) == 4
    # the same again: the finished are kept, the failed are tried once more
    states = run_bench(plan(cells, tmp_path), tmp_path, run=stub.run, executor=stub.thread)
    assert [s.state for s in states] == ["failed", "kept", "kept"] * 2


def test_a_finished_cell_whose_stages_fail_stays_in_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(stub, "STAGES", False)
    cells = stub.cells(hours=(0.1,))
    run_bench(plan(cells, tmp_path), tmp_path, run=stub.run, executor=stub.thread)
    table = (tmp_path / "results.csv").read_text()
    # without a system there is nothing to search again with
    states = plan(cells, tmp_path, stages=True)
    assert [s.state for s in states] == ["failed"] * 3
    assert "its results were kept without its system" in states[0].error
    for state in states:
        (state.folder / "system").mkdir()
        (state.folder / "system" / "system.json").write_text("{}")
    states = plan(cells, tmp_path, stages=True)
    assert [s.state for s in states] == ["waiting"] * 3
    states = run_bench(states, tmp_path, run=_no_stages, executor=stub.thread)
    assert [s.state for s in states] == ["failed"] * 3 and "no audio" in states[0].error
    assert all(s.row is not None for s in states) and (tmp_path / "results.csv").read_text() == table


def test_side_by_side_shared_trainings_come_first(tmp_path):
    begun = []

    def run(cell, folder, stage):
        begun.append(folder)
        return stub.run(cell, folder, stage)

    states = plan(stub.cells(hours=(0.1, 0.25), texts=(None, 500)), tmp_path)
    own = {s.folder for s in states if s.trained_in == s.folder}
    assert len(own) == 6 and len(states) == 12 and {s.folder for s in states[:6]} != own
    run_bench(states, tmp_path, run=run, executor=stub.thread, jobs=2)
    assert set(begun[:5]) <= own and set(begun[7:]).isdisjoint(own)


def _no_stages(cell, folder, stage):
    raise DataError("no audio")


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.3, 1.0, 6.0])
def test_ctrl_c_ends_a_cell_that_is_being_started(tmp_path, after):
    """The fork server may still be importing what its first process needs."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "stub.py"), tmp_path],
        env=os.environ | {"STUB_SECONDS": "90"},
    )
    while not list(tmp_path.glob("*_*")):
        time.sleep(0.05)
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) != 0
    assert not list(tmp_path.glob("*/record.json"))


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"row": {}, "moods": []}', "of a later version of this toolkit (it has moods)"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(tmp_path, record, what):
    state = plan(stub.cells(hours=(0.1,)), tmp_path)[0]
    state.folder.mkdir(parents=True)
    (state.folder / "record.json").write_text(record)
    again = plan(stub.cells(hours=(0.1,)), tmp_path)
    assert again[0].state == "failed" and f"record.json: {what}" in again[0].error
    assert [s.state for s in again[1:]] == ["waiting", "waiting"]


def test_two_benches_cannot_write_one_folder(tmp_path):
    with open(tmp_path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another bench is running here"):
            run_bench(plan(stub.cells(), tmp_path), tmp_path, run=stub.run, executor=stub.thread)


@pytest.mark.slow
def test_killed_cell_fails_alone_in_its_own_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import stub, sys; from pathlib import Path\n"
         "if __name__ == '__main__':\n"
         " to = Path(sys.argv[1]); p = stub.plan(stub.cells(hours=(0.888,)), to)\n"
         " print([(s.state, s.error) for s in stub.run_bench(p, to, run=stub.run)])", tmp_path],
        cwd=Path(__file__).parent, capture_output=True, text=True, timeout=900, check=True,
    )  # fmt: skip
    assert done.stdout.count("'done', None") == 2
    assert "its process was killed (out of memory?); see" in done.stdout
    log = next(tmp_path.glob("raw_ctc*/log.txt")).read_text()
    assert log == "a line of the training\n"


@pytest.mark.slow
def test_kill_9_keeps_what_is_finished_and_ends_in_the_same_table(tmp_path):
    command = [sys.executable, str(Path(__file__).parent / "stub.py")]
    slow = os.environ | {"STUB_SECONDS": "0.3"}
    subprocess.run([*command, tmp_path / "unbroken"], check=True, timeout=900)

    to = tmp_path / "killed"
    process = subprocess.Popen([*command, to], env=slow, start_new_session=True)
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        begun = {p.parent for p in to.glob("*/training_time.json")}
        if len(ended := {p.parent for p in to.glob("*/record.json")}) >= 4 and begun - ended:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {p: p.stat().st_mtime_ns for p in to.glob("*/record.json")}
    assert 4 <= len(finished) < 12
    time.sleep(1)  # the cell's own process must be gone, or it would go on writing
    assert set(to.glob("*/record.json")) == set(finished)
    (half,) = {p.parent for p in to.glob("*/training_time.json")} - {p.parent for p in finished}
    spent = json.loads((half / "training_time.json").read_text())["seconds"]
    assert spent > 0

    subprocess.run([*command, to], check=True, timeout=900)
    assert {p: p.stat().st_mtime_ns for p in finished} == finished
    assert (to / "results.csv").read_text() == (tmp_path / "unbroken" / "results.csv").read_text()
    assert not list(to.rglob(".partial-*.csv"))
    # the second training sleeps no time at all; what the killed one took counts, too
    seconds = {p.parent: json.loads(p.read_text())["seconds"]["train"] for p in to.glob("*/record.json")}
    assert seconds[half] >= spent


def test_cells_are_the_product_cheapest_first(tmp_path):
    bench = load_bench(
        bench_file(tmp_path, seeds=[1, 0], set={"all": ["lm.order=2"], "raw_ctc": ["search.beam=9"]})
    )
    cells = bench.cells(Path("c"))
    assert len(cells) == 12
    assert [c.hours for c in cells] == [0.1] * 4 + [0.5] * 4 + [None] * 4
    assert cells[2] == Cell(Path("c"), "raw_ctc", 0.1, 1, ("lm.order=2", "search.beam=9"))


def test_texts_are_an_axis_of_their_own(tmp_path):
    bench = load_bench(bench_file(tmp_path, hours=[0.1], recipes=["mfcc_hmm"], texts=[500, "all"]))
    some, everything = bench.cells(Path("c"))
    assert (some.words, everything.words) == (500, None)
    assert some.settings().lm.words == 500 and everything.settings().lm.words is None
    assert some.folder_name().startswith("mfcc_hmm-0.1h-500w-s0-")
    labels = [s.label for s in plan([some, everything], tmp_path)]
    assert labels == ["mfcc_hmm, 0.1 h, seed 0, 500 words of text", "mfcc_hmm, 0.1 h, seed 0"]


def test_what_the_hours_decide_is_part_of_a_cell(tmp_path):
    """Another rule then makes other cells; all hours are those of the corpus, once it is there."""

    def share(cell):
        return cell.settings().model.phoneme_share

    some, all_hours = Cell(tmp_path, "phoneme_ctc", 2), Cell(tmp_path, "phoneme_ctc")
    assert (share(some), share(replace(some, hours=1.9)), share(all_hours)) == (0.5, 1.0, None)
    splits = {"train": {"hours": 1.99}}
    (tmp_path / "corpus.json").write_text(json.dumps({"name": "mine", "splits": splits}))
    assert share(all_hours) == 0.5
    alone = replace(all_hours, overrides=("model.phoneme_share=1",))
    assert all_hours.training() != alone.training()
    assert all_hours.folder_name() != alone.folder_name()


def test_cells_of_one_training_share_it(tmp_path):
    """Fewer words of text, or the other output of one encoder; the folder of the first holds it."""
    both = ("model.phoneme_share=0.5",)
    cells = [
        Cell(Path("c"), "mfcc_hmm", 0.1),
        Cell(Path("c"), "mfcc_hmm", 0.1, words=500),
        Cell(Path("c"), "mfcc_hmm", 0.1, words=500, overrides=("model.passes=9",)),
        Cell(Path("c"), "raw_ctc", 0.1, overrides=both),
        Cell(Path("c"), "phoneme_ctc", 0.1, overrides=both),
        Cell(Path("c"), "phoneme_ctc", 0.1),
        Cell(Path("c"), "phoneme_ctc", 3),  # by rule what the next one is by setting
        Cell(Path("c"), "raw_ctc", 3, overrides=both),
        Cell(Path("c"), "raw_ctc", 3),
    ]
    states = plan(cells, tmp_path)
    assert [[s.folder for s in states].index(s.trained_in) for s in states] == [0, 0, 2, 3, 3, 5, 6, 6, 8]

    seen = {}

    def run(cell, folder, stage):
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / f"by {cell.words}").touch()
        seen[folder] = sorted(p.name for p in (folder / "checkpoints").iterdir())
        raise AsrError("enough")

    run_bench(states[:2], tmp_path, run=run, executor=stub.thread)
    assert list(seen.values()) == [["by None"], ["by 500", "by None"]]
    # the first folder is gone: the second trains by itself
    shutil.rmtree(states[0].folder)
    run_bench(plan(cells[1:2], tmp_path), tmp_path, run=run, executor=stub.thread)
    assert seen[states[1].folder] == ["by 500"] and not (states[1].folder / "checkpoints").is_symlink()


def test_a_finished_training_is_shared_before_the_first_cells_own(tmp_path):
    """Fewer words of text, asked for later, come first and take what there is."""
    (all_text,) = plan([Cell(Path("c"), "mfcc_hmm", 0.1)], tmp_path)
    (all_text.folder / "checkpoints").mkdir(parents=True)
    (all_text.folder / "checkpoints" / "trained.json").write_text("{}")
    cells = [Cell(Path("c"), "mfcc_hmm", 0.1, words=500), Cell(Path("c"), "mfcc_hmm", 0.1)]
    assert [s.trained_in for s in plan(cells, tmp_path)] == [all_text.folder] * 2


def test_test_is_scored_on_what_was_trained_for_dev(tmp_path):
    """Settings are chosen on dev; the chosen ones are not trained again, and each split has its table."""
    on_test = stub.cells(hours=(0.5,))
    on_dev = [replace(cell, split="dev") for cell in on_test]
    states = run_bench(plan(on_dev, tmp_path), tmp_path, run=stub.run, executor=stub.thread)
    for state in states[:2]:
        write_text(state.folder / "checkpoints" / "trained.json", "{}")
    # what cannot be read belongs to somebody else
    for name, content in (("a", b"\xff"), ("b", b'{"row": {}'), ("c", b"[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_bytes(content)
    (tmp_path / "d" / "record.json").mkdir(parents=True)
    again = plan(on_test, tmp_path)
    assert [s.trained_in for s in again] == [states[0].folder, states[1].folder, again[2].folder]
    costs = estimates(again)
    # the third has to be trained anew
    assert costs[2].minutes > costs[0].minutes == costs[1].minutes
    run_bench(again, tmp_path, run=stub.run, executor=stub.thread)
    assert (again[0].folder / "checkpoints").resolve() == states[0].folder / "checkpoints"
    assert [r["split"] for r in rows(tmp_path / "results.csv")] == ["test"] * 3
    assert [r["split"] for r in rows(tmp_path / "dev" / "results.csv")] == ["dev"] * 3


def test_a_training_that_was_shared_and_deleted_is_made_anew_by_whoever_comes_first(tmp_path):
    cells = [Cell(Path("c"), "mfcc_hmm", 0.1), Cell(Path("c"), "mfcc_hmm", 0.1, words=500)]
    run_bench(plan(cells, tmp_path), tmp_path, run=_nothing, executor=stub.thread)
    shutil.rmtree(tmp_path / cells[0].folder_name())
    states = run_bench(plan(cells[::-1], tmp_path), tmp_path, run=_nothing, executor=stub.thread)
    assert ["enough" in s.error for s in states] == [True, True]
    assert not (states[0].folder / "checkpoints").is_symlink()


def _nothing(cell, folder, stage):
    raise AsrError("enough")


def test_a_recipe_that_was_changed_meanwhile_is_not_trained_under_the_old_name(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: recipes/mfcc_hmm/recipe.yaml\nrecipe: mine\n")
    states = plan([Cell(Path("c"), str(path), 0.1)], tmp_path)
    path.write_text("extends: recipes/mfcc_hmm/recipe.yaml\nrecipe: mine\ntune_utterances: 7\n")
    (state,) = run_bench(states, tmp_path, run=_nothing, executor=stub.thread)
    assert state.state == "failed" and "changed meanwhile" in state.error
    states = plan([Cell(Path("c"), str(path), 0.1)], tmp_path)
    path.write_text("tune_utterances: many\n")
    (state,) = run_bench(states, tmp_path, run=_nothing, executor=stub.thread)
    assert state.state == "failed" and str(path) in state.error


def test_command_line_replaces_fields_and_adds_settings(tmp_path):
    path = bench_file(tmp_path, set={"raw_ctc": ["search.beam=9"]})
    bench = load_bench(path, overrides=["lm.order=1"], recipes=["mfcc_hmm"], hours=None, seeds=[3])
    assert bench.cells(Path("c")) == [
        Cell(Path("c"), "mfcc_hmm", h, 3, ("lm.order=1",)) for h in (0.1, 0.5, None)
    ]


def test_a_variant_is_a_curve_of_its_own_and_shares_what_it_can(tmp_path):
    variants = {
        "raw_unigram": {"of": "raw_ctc", "set": ["lm.order=1"]},
        "raw_wide": {"of": "raw_ctc", "set": ["model.width=64"]},
    }
    changes = {"all": ["search.beam=9"], "raw_ctc": ["model.width=32"], "raw_wide": ["model.blocks=1"]}
    fields = {"recipes": ["raw_ctc", *variants], "hours": [0.1], "variants": variants, "set": changes}
    bench = load_bench(bench_file(tmp_path, **fields), overrides=["tune_utterances=3"])
    plain, unigram, wide = bench.cells(tmp_path)
    assert plain.overrides == ("search.beam=9", "model.width=32", "tune_utterances=3")
    own = ("search.beam=9", "model.width=32", "recipe=raw_unigram", "lm.order=1", "tune_utterances=3")
    assert (unigram.recipe, unigram.overrides) == ("raw_ctc", own)
    settings = wide.settings()
    assert (settings.model.width, settings.model.blocks, settings.tune_utterances) == (64, 1, 3)
    states = plan([plain, unigram, wide], tmp_path)
    assert [s.label for s in states] == [
        f"{r}, 0.1 h, seed 0" for r in ("raw_ctc", "raw_unigram", "raw_wide")
    ]
    assert states[1].trained_in == states[0].folder and states[2].trained_in == states[2].folder
    assert states[1].folder.name.startswith("raw_unigram-0.1h-s0-")


def test_a_corpus_may_have_hours_of_its_own(tmp_path):
    corpora = [{"name": "synth", "hours": [1, "all"]}, {"name": "fsdd"}]
    path = bench_file(tmp_path, corpora=corpora)
    own, shared = load_bench(path).corpora
    assert own.hours == (1.0, "all") and shared.hours is None
    cells = load_bench(path, recipes=["raw_ctc"]).cells(Path("c"), own.hours)
    assert [c.hours for c in cells] == [1.0, None]
    assert [c.hours for c in load_bench(path, hours=[2.0]).corpora] == [None, None]
    with pytest.raises(ConfigError, match=r"corpora\.0\.hours: not above zero"):
        load_bench(bench_file(tmp_path, corpora=[{"name": "synth", "hours": [-1]}]))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"recipe": ["x"]}, "did you mean 'recipes'"),
        ({"hours": [0]}, "not above zero"),
        ({"texts": [0]}, "texts: not above zero"),
        ({"texts": [10, 10]}, "twice"),
        ({"hours": []}, "hours: empty"),
        ({"seeds": [1, 1]}, "seeds: empty, or a value appears twice"),
        ({"seeds": [0, -1]}, r"seeds\.1: .*greater than or equal to 0"),
        ({"set": {"raw_ctc": ["lm.words=100"]}}, "raw_ctc: sets lm.words; give words of text by `texts`"),
        ({"set": {"rawctc": ["a=b"]}}, "'rawctc' is no recipe of this bench"),
        ({"variants": {"x": {"of": "raw_ctc", "set": ["lm.order=1"]}}}, "'x' is not among `recipes`"),
        ({"recipes": ["x"], "variants": {"x": {"of": "raw", "set": ["lm.order=1"]}}}, "no recipe 'raw'"),
        ({"recipes": ["x"], "variants": {"x": {"of": "raw_ctc", "set": []}}}, "variants.x.set"),
        (
            {"recipes": ["a/b"], "variants": {"a/b": {"of": "raw_ctc", "set": ["lm.order=1"]}}},
            "cannot be a name",
        ),
        (
            {"recipes": ["20"], "variants": {"20": {"of": "raw_ctc", "set": ["lm.order=1"]}}},
            "cannot be a name",
        ),
        (
            {"recipes": ["_x"], "variants": {"_x": {"of": "raw_ctc", "set": ["lm.order=1"]}}},
            "cannot be a name",
        ),
        ({"recipes": ["x"], "variants": {"x": {"of": "raw_ctc", "set": ["recipe=y"]}}}, "another name, 'y'"),
        ({"set": {"raw_ctc": ["recipe=../x"]}}, "'../x' cannot be a name; begin with a letter"),
        ({"hours": ["most"]}, "hours"),
        ({"set": {"raw_ctc": ["recipe=mfcc_hmm"]}}, "mfcc_hmm and raw_ctc are both named 'mfcc_hmm'; give"),
    ],
)
def test_bad_bench_file_is_refused(tmp_path, fields, says):
    with pytest.raises(ConfigError, match=says):
        load_bench(bench_file(tmp_path, **fields))


@pytest.mark.parametrize("corpora", [["fsdd"], None, {"name": "synth"}])
def test_malformed_corpora_are_refused_with_hours_of_the_command_line_too(tmp_path, corpora):
    with pytest.raises(ConfigError, match="corpora"):
        load_bench(bench_file(tmp_path, corpora=corpora), hours=[1.0])


def test_unknown_recipe_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match="no recipe 'kaldi'"):
        plan([Cell(Path("c"), "kaldi", 0.1, 0)], tmp_path)


def test_corpus_is_prepared_once_and_per_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = []

    def prepare(self, source, target, **options):
        calls.append((source, options))
        target.mkdir(parents=True)
        (target / "corpus.json").write_text("{}")

    monkeypatch.setattr(Preparer, "prepare", prepare)
    some = CorpusSettings(name="synth", options={"hours": 0.1})
    other = CorpusSettings(name="synth", options={"hours": 0.2})
    assert some.prepared() == some.prepared() == some.where() != other.prepared()
    assert calls == [(None, {"hours": 0.1}), (None, {"hours": 0.2})]
    Path("some.txt").write_text("one\n")
    spoken = CorpusSettings(name="synth", options={"text": "some.txt"})
    before = spoken.where()
    Path("some.txt").write_text("two\n")
    assert spoken.where() != before
    for name in ("gone.txt", "x" * 300):
        with pytest.raises(UsageError, match="an option names no file"):
            CorpusSettings(name="synth", options={"text": name}).where()
    with pytest.raises(ConfigError, match="'text' is unknown; fsdd takes: none"):
        CorpusSettings(name="fsdd", options={"text": "gone.txt"}).check()
    with pytest.raises(UsageError, match="an option names no file"):
        CorpusSettings(name="synth", options={"text": "gone.txt"}, folder=tmp_path / "new").check()
    with pytest.raises(ConfigError, match="'hour' is unknown; synth takes: hours, seed"):
        CorpusSettings(name="synth", options={"hour": 1}).prepared()
    with pytest.raises(ConfigError, match="language is False, no text; write its code in quotes"):
        CorpusSettings(name="csv", options={"language": False}).check()  # YAML's `no`


BENCHES = sorted((Path(__file__).parents[2] / "conf" / "bench").glob("*.yaml"))


@pytest.mark.parametrize("conf", BENCHES, ids=lambda path: path.stem)
def test_every_bench_file_can_be_planned(conf, tmp_path):
    bench = load_bench(conf.stem)
    cells = bench.model_copy(update={"hours": bench.hours or ("all",)}).cells(tmp_path)
    assert len(plan(cells, tmp_path)) == len(cells) > 0


def test_quick_bench_is_there_and_valid(tmp_path):
    bench = load_bench("quick")
    assert len(bench.recipes) == 3 and len(bench.hours) == 4 and [c.name for c in bench.corpora] == ["synth"]
    assert len(plan(bench.cells(tmp_path), tmp_path)) == 12


def test_two_recipe_files_of_one_name_are_refused(tmp_path):
    """Table and curves would take their cells for seeds of one recipe."""
    for name in ("wide", "narrow"):
        (tmp_path / f"{name}.yaml").write_text("extends: recipes/raw_ctc/recipe.yaml\n")
    files = [str(tmp_path / "wide.yaml"), str(tmp_path / "narrow.yaml")]
    with pytest.raises(ConfigError, match=r"wide.yaml and .*narrow.yaml are both named 'raw_ctc'"):
        load_bench(bench_file(tmp_path, recipes=files))
    with open(files[1], "a") as f:
        f.write("recipe: narrow\n")
    assert load_bench(bench_file(tmp_path, recipes=files)).recipes == tuple(files)


def a_corpus(folder, hours=0.29523):
    """A prepared folder with no more in it than naming its cells takes."""
    folder.mkdir()
    (folder / "lexicon.txt").write_text("A AH\n")
    (folder / "lm.txt").write_text("A\n")
    with gzip.open(folder / "cuts_train.jsonl.gz", "wt") as f:
        f.write('{"id": "u1"}\n')
    (folder / "corpus.json").write_text(json.dumps({"name": "mine", "splits": {"train": {"hours": hours}}}))
    return folder


def test_a_corpus_of_the_user_has_the_recipes_own_settings(tmp_path):
    bench = load_bench("default")
    assert len(bench.recipes) == 3 and not bench.corpora and not bench.set
    cells = bench.cells(a_corpus(tmp_path / "mine"))
    assert [c.hours for c in cells[::3]] == [0.037, 0.074, 0.15, None]
    assert {c.overrides for c in cells} == {()}
    assert load_bench("default", hours=[2]).cells(Path("c"))[0].hours == 2
    assert [c.hours for c in bench.cells(tmp_path / "none")] == [None] * 3
    with pytest.raises(DataError, match="no training audio"):
        bench.cells(a_corpus(tmp_path / "empty", hours=0))


def test_a_changed_corpus_gives_new_cells(tmp_path):
    mine = a_corpus(tmp_path / "mine")
    first = [c.folder_name() for c in load_bench("default").cells(mine)]
    names = {first[0]}
    for file in (
        "lexicon.txt",
        "lm.txt",
        "corpus.json",
        "lm.arpa.gz",
        "cuts_train.jsonl.gz",
        "cuts_dev.jsonl.gz",
    ):
        path = mine / file
        before = path.read_bytes() if path.exists() else None
        if path.suffix == ".gz":
            with gzip.open(path, "wt") as f:
                f.write(f"{file}\n")
        else:
            path.write_bytes(before + b"\n")
        names.add(Cell(mine, "mfcc_hmm", 0.037).folder_name())
        path.unlink() if before is None else path.write_bytes(before)
    assert len(names) == 7
    assert [c.folder_name() for c in load_bench("default").cells(mine)] == first
    # the same cuts, packed at another time and under another name
    with (
        open(mine / "cuts_train.jsonl.gz", "wb") as f,
        gzip.GzipFile("x", "wb", fileobj=f, mtime=7) as packed,
    ):
        packed.write(b'{"id": "u1"}\n')
    assert Cell(mine, "mfcc_hmm", 0.037).folder_name() == first[0]
    (mine / "cuts_train.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"cuts_train.jsonl.gz: cannot be read"):
        Cell(mine, "mfcc_hmm", 0.037).folder_name()


def test_a_record_from_before_a_column_existed_is_read(tmp_path):
    cells = stub.cells(hours=(0.5,))
    run_bench(plan(cells, tmp_path), tmp_path, run=stub.run, executor=stub.thread)
    for path in tmp_path.glob("*/record.json"):
        record = json.loads(path.read_text())
        for column in ("setting", "train_s", "train_cpu_s", "decode_rtf", "disk_mb", "greedy_cer", "lm_per"):
            del record["row"][column]
        path.write_text(json.dumps(record))
    states = plan([*cells, *stub.cells(hours=(1.0,))], tmp_path)
    assert [s.state for s in states] == ["kept"] * 3 + ["waiting"] * 3
    assert states[0].row["train_cpu_s"] is None and estimates(states)[3].minutes >= 0
    write_results(states, tmp_path / "results.csv")
    assert [r["train_s"] for r in rows(tmp_path / "results.csv")] == [""] * 3


def test_seconds_of_killed_processes_count(tmp_path):
    path = tmp_path / "time.json"
    code = (
        "import os, sys, time; from pathlib import Path; from asr.record import Stopwatch\n"
        "with Stopwatch(Path(sys.argv[1]), every_s=0.01):\n"
        " end = time.process_time() + 0.2\n"
        " while time.process_time() < end: pass\n"
        " time.sleep(0.3)\n"
        " os.kill(os.getpid(), 9)\n"
    )
    killed = [subprocess.run([sys.executable, "-c", code, path]).returncode for _ in range(2)]
    assert killed == [-9, -9]
    spent = json.loads(path.read_text())
    assert spent["seconds"] > 0.9 and 0.3 < spent["cpu_seconds"] < spent["seconds"]
    with Stopwatch(path) as watch:
        assert watch.seconds >= spent["seconds"] and watch.cpu_seconds >= spent["cpu_seconds"]
    path.write_text("{}")
    with pytest.raises(ModelError, match=r"time.json: damaged"), Stopwatch(path):
        pass


def test_seconds_count_as_those_of_a_gpu_while_something_is_on_it(tmp_path, monkeypatch):
    path = tmp_path / "time.json"
    with Stopwatch(path) as watch:
        time.sleep(0.05)
        assert watch.gpu_seconds == 0.0
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 1 << 20)
        assert watch.gpu_seconds == pytest.approx(watch.seconds, abs=0.01)
    on_gpu = json.loads(path.read_text())["gpu_seconds"]
    assert on_gpu >= 0.05
    monkeypatch.undo()
    with Stopwatch(path) as watch:  # it went on without one
        time.sleep(0.05)
        assert watch.gpu_seconds == on_gpu <= watch.seconds - 0.05


def test_seconds_of_processes_that_take_part_count(tmp_path):
    code = "import time\nwhile time.process_time() < 0.5: pass"
    with Stopwatch(tmp_path / "time.json") as watch:
        subprocess.run([sys.executable, "-c", code], check=True)
        assert 0.5 <= watch.cpu_seconds < 2.0


def test_two_close_budgets_foretell_no_ages():
    assert PowerLaw.through([(0.29, 2.0), (0.295, 2.6)]).at(2.0) < 120
    assert PowerLaw.through([(0.29, 2.6), (0.295, 2.0)]).at(2.0) > 2
    assert PowerLaw.through([(1.0, 10.0), (4.0, 40.0)]).at(2.0) == pytest.approx(20)


def test_estimates_follow_the_finished_cells(tmp_path):
    """Costs planted as hours squared, but for networks a second for each hour they hear."""

    def trained(recipe, hours):
        if recipe == "mfcc_hmm":
            return 100 * hours**2
        return heard_hours(hours, recipe_settings(recipe).model)

    some = plan(stub.cells(hours=(0.5, 1.0)), tmp_path)
    run_bench(some, tmp_path, run=stub.run, executor=stub.thread)
    for state in some:
        path = state.folder / "record.json"
        record = json.loads(path.read_text())
        hours = state.cell.hours
        record["seconds"] = {"train": trained(state.recipe, hours), "tune": 20 * hours**2}
        path.write_text(json.dumps(record))
    states = plan([*stub.cells(hours=(0.5, 1.0, 4.0)), Cell(Path("toy"), "raw_ctc")], tmp_path)
    found = estimates(states)
    assert found[:6] == [None] * 6 and found[9] is None
    expected = [(trained(s.recipe, 4.0) + 20 * 16) / 60 for s in states[6:9]]
    assert [cost.minutes for cost in found[6:9]] == pytest.approx(expected)
    assert all(cost.megabytes == pytest.approx(1.5) for cost in found[6:9])
    # the training of a cell with less text is there already
    texts = plan(stub.cells(hours=(0.5, 1.0, 4.0), texts=(None, 500)), tmp_path)
    shared = [
        c.minutes for s, c in zip(texts, estimates(texts), strict=True) if s.trained_in != s.folder and c
    ]
    assert shared == pytest.approx([20 / 60 * h**2 for h in (0.5, 1.0, 4.0) for _ in range(3)])
    for path in tmp_path.glob("*/decode/test/stages.json"):
        path.unlink()
        write_text(path.parents[2] / "system" / "system.json", "{}")
    # trained and scored, but which stage lost the words is open
    assert [e.minutes for e in estimates(plan(stub.cells(hours=(1.0,)), tmp_path, stages=True))] == (
        pytest.approx([20 / 60] * 3)
    )
    # a variant of a measured recipe costs what the recipe does, until a cell of its own is finished
    variant = plan([Cell(Path("toy"), "raw_ctc", 4.0, overrides=("recipe=fast",))], tmp_path)
    (cost,) = estimates([*states, *variant])[-1:]
    assert variant[0].recipe == "fast" and cost.minutes == pytest.approx(expected[2])
    # fewer passes take less time
    half = Cell(Path("toy"), "raw_ctc", 4.0, overrides=("recipe=half", "model.effort=0.5"))
    (cost,) = estimates([*states, *plan([half], tmp_path)])[-1:]
    assert expected[2] / 2 < cost.minutes < expected[2] - 1
    # the recipe of the cell that holds a training is not forgotten for the one that shares it
    tasks = {
        name: ("model.phoneme_share=0.5", f"model.targets={name}", f"recipe={name}")
        for name in ("phonemes", "characters")
    }
    both = [
        Cell(Path("toy"), "raw_ctc", hours, overrides=given)
        for given in tasks.values()
        for hours in (0.5, 2.0)
    ]
    run_bench(plan(both[:1], tmp_path), tmp_path, run=stub.run, executor=stub.thread)
    planned = plan(both, tmp_path)
    assert planned[2].trained_in == planned[0].folder
    assert None not in (estimates(planned)[1], estimates(planned)[2])
    # one budget: proportional to the hours
    for state in states:
        if state.cell.hours == 0.5:
            (state.folder / "record.json").unlink()
    one = [s for s in states if s.cell.hours != 0.5]
    assert estimates(one)[3].minutes == pytest.approx(8)
    # cells of other budgets in the same folder tell as much as those of the bench
    (other,) = estimates(plan([Cell(Path("toy"), "mfcc_hmm", 4.0)], tmp_path))
    assert other.minutes == pytest.approx(8)


def test_empty_table_has_a_header(tmp_path):
    write_results([], tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_cells_run_side_by_side_and_tell_one_at_a_time(tmp_path):
    lock, running, most, telling, told_together = threading.Lock(), [], [], [], []

    def run(cell, folder, stage):
        with lock:
            running.append(cell)
            most.append(len(running))
        time.sleep(0.1)
        with lock:
            running.remove(cell)
        return stub.run(cell, folder, stage)

    def change(state):
        telling.append(state)
        told_together.append(len(telling))
        time.sleep(0.001)
        telling.remove(state)

    states = plan(stub.cells(), tmp_path / "three")
    run_bench(states, tmp_path / "three", change, jobs=3, run=run, executor=stub.thread)
    assert max(most) == 3 and max(told_together) == 1
    assert {s.state for s in states} == {"done"}
    alone = plan(stub.cells(), tmp_path / "one")
    run_bench(alone, tmp_path / "one", run=stub.run, executor=stub.thread)
    assert (tmp_path / "three" / "results.csv").read_text() == (tmp_path / "one" / "results.csv").read_text()


def test_a_cell_takes_no_more_than_its_share_of_the_cores():
    with process(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 1
        pools = pool.submit(threadpool_info).result()
    assert {p["num_threads"] for p in pools if p["user_api"] == "blas"} == {1}


def test_cells_take_no_modules_from_the_working_directory(tmp_path):
    """As of a user whose own project has a folder of that name."""
    (tmp_path / "here" / "asr").mkdir(parents=True)
    (tmp_path / "here" / "asr" / "__init__.py").write_text("raise SystemExit('not this one')")
    script = tmp_path / "script.py"
    script.write_text(
        "def where():\n"
        "    import asr.experiment\n"
        "    return asr.__file__\n"
        "if __name__ == '__main__':\n"
        "    from asr.bench import process\n"
        "    with process() as pool:\n"
        "        print(pool.submit(where).result(timeout=100))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(asr.__file__).parents[1])}
    environment.pop("PYTHONSAFEPATH", None)
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path / "here", env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == asr.__file__, done.stderr
