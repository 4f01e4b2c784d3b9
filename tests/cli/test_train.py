"""asr train: what it says when it is stopped, and of a run that is not there."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def corpus(run, tmp_path):
    rows = ["path,text,split"]
    for seed, split in enumerate(("train", "dev", "test")):
        noise = np.random.default_rng(seed).uniform(-0.1, 0.1, 16000)
        soundfile.write(tmp_path / f"{split}.wav", noise, 16000)
        rows.append(f"{split}.wav,hello world,{split}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    done = run("prepare", "csv", "--from", tmp_path / "table.csv", "--to", tmp_path / "data")
    assert done.code == 0, done.err
    return tmp_path / "data"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_stopped_says_how_to_go_on(run, corpus, monkeypatch, tmp_path, terminable, number):
    """By Ctrl-C, or by a scheduler."""

    def interrupted(*_):
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr("asr.models.ctc.model.Ctc.fit", interrupted)
    done = run("train", "raw_ctc", "--data", corpus, "--to", tmp_path / "runs")
    assert done.code == 130
    assert done.err.splitlines()[-1] == "stopped: the same command goes on from here"


def test_a_run_to_begin_from_that_is_not_there_is_told_first(run, corpus, tmp_path):
    done = run(
        "train", "raw_ctc", "--data", corpus, "--to", tmp_path / "runs", "--init-from", tmp_path / "nix"
    )
    assert done.code == 1 and "lexicon and language model" not in done.err
    assert f"asr: error: {tmp_path / 'nix'}: no such run to begin from; name a finished run" in done.err
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("noise_from=NIX", "nix: no such folder of noises; correct model.noise_from"),
        ("init_from=NIX", "nix: no such run to begin from; name a finished run"),
        ("device=cuda", "model.device: torch sees 0 GPUs for 1 processes; set model.device=cpu"),
    ],
)
def test_what_settings_name_is_told_before_anything_is_done_and_by_a_dry_run(
    run, corpus, monkeypatch, tmp_path, setting, says
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    given = f"model.{setting}".replace("NIX", str(tmp_path / "nix"))
    arguments = (
        "--data",
        corpus,
        "--to",
        tmp_path / "runs",
        "--set",
        "model.noise_share=0.5",
        "--set",
        given,
    )
    done = run("train", "raw_ctc", *arguments)
    assert done.code and says in done.err and "lexicon and language model" not in done.err
    done = run("train", "raw_ctc", *arguments, "--dry-run")
    assert done.code and says in done.err and "recipe: raw_ctc" in done.out
    done = run("bench", *arguments, "--recipes", "raw_ctc", "--hours", "all", "--dry-run")
    will = f"seed 0: waiting, will fail: {says}".replace("nix", f"{tmp_path}/nix")
    assert done.code == 1 and will in done.out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("left", ["checkpoints/training.json", "system/system.json", "record.json"])
def test_a_network_that_is_trained_needs_no_gpu(run, corpus, monkeypatch, tmp_path, left):
    """Whatever has been done with it since."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ("--data", corpus, "--to", tmp_path, "--set", "model.device=cuda", "--dry-run")
    bench = ("bench", *arguments, "--recipes", "raw_ctc", "--hours", "all")
    done = run("train", "raw_ctc", *arguments)
    assert done.code == 2 and "torch sees" in done.err and run(*bench).code == 1
    assert run(*bench, "--cluster", "tcp://elsewhere:8786").code == 0
    file = Path(done.out.splitlines()[0].removeprefix("# ")) / left
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert run("train", "raw_ctc", *arguments).code == 0
    if left == "record.json":  # of a run that is damaged a bench says so
        done = run(*bench)
        assert done.code == 1 and "seed 0: failed: " in done.out and "damaged" in done.out
    else:
        assert run(*bench).code == 0


@pytest.mark.parametrize("hours", [0, 100])
def test_hours_that_are_not_there_are_told_by_a_dry_run(run, corpus, hours):
    done = run("train", "raw_ctc", "--data", corpus, "--hours", hours, "--dry-run")
    assert done.code == 2 and f"asr: error: {hours} hours are " in done.err.replace("is no", "are no")


def test_a_run_to_begin_from_belongs_to_a_network(run, corpus, tmp_path):
    arguments = ("--data", corpus, "--init-from", tmp_path / "nix", "--dry-run")
    done = run("train", "mfcc_hmm", *arguments)
    assert done.code == 2 and "--init-from: mfcc_hmm has no network; leave it out" in done.err
    done = run("train", "mfcc_hybrid", *arguments)
    assert done.code == 1 and "nix: no such run to begin from" in done.err


def test_a_folder_that_is_not_prepared_is_told_at_once(run, tmp_path):
    done = run("train", "raw_ctc", "--data", tmp_path / "nix", "--to", tmp_path / "runs")
    assert done.code == 1 and done.err.startswith(f"asr: error: {tmp_path / 'nix'}: ")
