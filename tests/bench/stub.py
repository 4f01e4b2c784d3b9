"""A cell that takes no training: run folders as a real one leaves them, in a tenth of a second.

Run as a program it is a bench of twelve such cells, to be killed.
"""

import json
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from asr.bench import plan, run_bench
from asr.cell import Cell
from asr.errors import AudioError
from asr.files import write_text
from asr.record import RunRecord, Stopwatch, provenance
from asr.score import score_texts
from asr.stages import Losses, stages_path

WORDS = "THE A OF AND CAT DOG RIVER SEVEN MOUNTAIN WALKED SLOWLY UNDER BRIGHT MORNING LIGHT".split()
# error rate at one hour, and how fast it falls with the logarithm of the hours
RECIPES = {"mfcc_hmm": (0.25, 0.1), "phoneme_ctc": (0.2, 0.4), "raw_ctc": (0.15, 0.7)}
STAGES = True  # whether a cell knows which stage lost its words
SLOW = float(os.environ.get("STUB_SECONDS", "0"))


def run(cell, folder, stage):
    stage("training")
    with Stopwatch(folder / "training_time.json", every_s=0.02) as watch:
        time.sleep(SLOW)
        spent = watch.seconds
    print("a line of the training")
    if cell.recipe == "mfcc_hmm" and cell.hours == 0.666:
        raise AudioError("holds no samples", path="x.wav", utterance="u1", fix="leave it out")
    if cell.recipe == "mfcc_hmm" and cell.hours == 0.777:
        raise ZeroDivisionError("a defect")
    if cell.recipe == "mfcc_hmm" and cell.hours == 0.888:
        os.kill(os.getpid(), 9)
    at_one, fall = RECIPES[cell.recipe]
    wer = min(0.9, at_one * cell.hours**-fall * (1000 / (cell.words or 1000)) ** 0.2)
    sentences, errors = random.Random(0), random.Random(f"{cell.recipe} {cell.hours} {cell.seed}")
    references, hypotheses = {}, {}
    for i in range(120):
        reference = [sentences.choice(WORDS) for _ in range(sentences.randint(3, 12))]
        hypothesis = [errors.choice(WORDS) if errors.random() < wer else word for word in reference]
        references[f"u{i:03d}"], hypotheses[f"u{i:03d}"] = " ".join(reference), " ".join(hypothesis)
    speakers = {i: f"s{n % 40}" for n, i in enumerate(references)}
    result = score_texts(references, hypotheses, speakers=speakers)
    lines = []
    for i, text in hypotheses.items():
        entry = {"id": i, "text": text, "reference": references[i], "speaker": speakers[i]}
        lines.append(json.dumps(entry) + "\n")
    write_text(folder / "decode" / cell.split / "hyp.jsonl", "".join(lines))
    if STAGES:
        lost = {u.id: (e := u.scores.errors, e, e - e // 4, e // 2, e // 8, 0) for u in result.utterances}
        Losses(result.scores.reference, lost).save(stages_path(folder, cell.split))
    scores = result.scores
    row = {
        "corpus": "toy", "recipe": cell.settings().recipe, "hours": cell.hours,
        "text_words": cell.words or 1000, "seed": cell.seed, "setting": " ".join(cell.overrides),
        "split": cell.split, "utterances": 120, "words": scores.reference,
        "sub": scores.substitutions, "del": scores.deletions, "ins": scores.insertions,
        "wer": round(scores.rate, 3), "wer_low": round(result.interval[0], 3),
        "wer_high": round(result.interval[1], 3), "cer": 12.345, "per": None, "lm_per": None,
        "greedy_wer": None, "greedy_cer": 1.0, "train_s": 1.0, "train_cpu_s": 100 * cell.hours,
        "decode_rtf": 0.01, "peak_mb": 100, "disk_mb": 1.5, "params": 1234,
    }  # fmt: skip
    settings = cell.settings().model_dump(mode="json")
    record = RunRecord(
        row, settings, {"hours": cell.hours}, {"train": spent}, [], [], provenance(), cell.training()
    )
    record.save(folder)
    return row


def cells(hours=(0.1, 0.25, 0.5, 1.0), seeds=(0,), texts=(None,)):
    return [
        Cell(Path("toy"), recipe, h, s, words=w)
        for h in hours for recipe in RECIPES for s in seeds for w in texts
    ]  # fmt: skip


def thread():
    return ThreadPoolExecutor(1)


if __name__ == "__main__":
    to = Path(sys.argv[1])
    run_bench(plan(cells(), to), to, run=run)
