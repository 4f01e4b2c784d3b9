"""Twenty kills at random moments of a bench of real cells end in the table of an unbroken one."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from asr.data.corpora.synth import prepare

KILLS = 20
MEASURED = {"train_s", "train_cpu_s", "decode_rtf", "peak_mb"}
SMALL = ["model.epochs=8", "model.width=32", "model.blocks=1", "model.lstm_layers=0"]


def scores(path):
    with open(path, newline="") as f:
        return [{k: v for k, v in row.items() if k not in MEASURED} for row in csv.DictReader(f)]


@pytest.mark.slow
def test_twenty_kills_end_in_the_same_table(tmp_path):
    prepare(tmp_path / "corpus", hours=0.05, clean=True, dev_hours=0.005, test_hours=0.005)
    conf = tmp_path / "kills.yaml"
    conf.write_text(
        yaml.safe_dump(
            {
                "recipes": ["mfcc_hmm", "phoneme_ctc", "raw_ctc"],
                "hours": [0.02, 0.04],
                "jobs": 2,
                "set": {"mfcc_hmm": ["model.passes=8"], "phoneme_ctc": SMALL, "raw_ctc": SMALL},
            }
        )
    )
    command = [Path(sys.executable).with_name("asr"), "bench", conf, "--data", tmp_path / "corpus"]
    began = time.monotonic()
    subprocess.run([*command, "--to", tmp_path / "unbroken"], check=True, timeout=1800)
    whole = time.monotonic() - began

    wait, hit = random.Random(0), 0
    to = tmp_path / "killed"
    for _ in range(KILLS):
        process = subprocess.Popen([*command, "--to", to], stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            process.wait(wait.uniform(0.05, 0.3) * whole)
        except subprocess.TimeoutExpired:
            hit += 1
            # half of the time only the bench itself, whose cells must notice
            end = os.killpg if hit % 2 else os.kill
            end(process.pid, signal.SIGKILL)
            process.wait()
    assert hit >= KILLS // 2, "most kills must hit a bench that is not finished"
    subprocess.run([*command, "--to", to], check=True, timeout=1800)
    assert scores(to / "results.csv") == scores(tmp_path / "unbroken" / "results.csv")
    assert len(scores(to / "results.csv")) == 6
    assert not [p for p in to.rglob("*") if p.name.startswith(".partial")]
