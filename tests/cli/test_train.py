"""asr train: what it says when it is stopped, and of a run that is not there."""

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


def test_ctrl_c_says_how_to_go_on(run, corpus, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

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
