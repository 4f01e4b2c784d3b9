"""Word times of real speech, against the times that came with the corpus."""

import os
from pathlib import Path

import numpy as np
import pytest

from asr.data.audio import load_cut
from asr.data.budget import Budget
from asr.data.corpora.grid import prepare
from asr.decode.align import align
from asr.experiment import LmSettings, full_lexicon, language_model
from asr.models.gmmhmm.model import GmmHmm
from asr.models.gmmhmm.settings import GmmHmmSettings

DATA = Path(os.environ.get("ASR_DATA", Path(__file__).parent / ".." / ".." / "shared" / "data")) / "grid_s1"


def test_words_of_grid_are_found_within_40_ms(tmp_path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip(f"no GRID recordings at {DATA} (set ASR_DATA)")
    corpus = prepare(DATA, tmp_path / "corpus")
    lexicon = full_lexicon(corpus, language_model(corpus, LmSettings()))
    model = GmmHmm(GmmHmmSettings(step="tri"), lexicon)
    dev = corpus.cuts("dev").to_eager()
    # seed 0 of a budget that embedded training got wrong before its flat start knew of pauses
    model.fit(Budget(0.08, 0).select(corpus.cuts("train").to_eager()), dev, tmp_path / "work")
    errors = []
    for cut in dev:
        said = cut.supervisions[0]
        (e,) = model.emit([load_cut(cut, model.sample_rate)], model.sample_rate)
        found = align(e, model.topology, lexicon, said.text.split()).words
        for word, true in zip(found, said.alignment["word"], strict=True):
            errors += [word.start_s - true.start, word.start_s + word.duration_s - true.end]
    assert np.abs(errors).mean() < 0.040
