"""Pictures of a network: where its filters lie, and which audio excites a unit."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asr.cli.main import main
from asr.data.corpus import Corpus
from asr.errors import UsageError
from asr.features.logmel import mel_edges
from asr.features.waveform import LearnedFilterbank
from asr.models.ctc.model import Ctc
from asr.models.ctc.settings import CtcSettings
from asr.models.networks.network import Network
from asr.report.filters import FLOOR_DB, PIECES, draw_filters, exciting, layers_of, responses
from asr.system import System
from tests.models.test_ctc import LEXICON, RATE, SMALL, tone_cuts


@pytest.fixture(scope="module")
def network() -> Network:
    return Network.seeded(0, CtcSettings(**SMALL), 5)


def test_responses_of_untrained_filters_are_mel_spaced() -> None:
    front = LearnedFilterbank(40, 16000)
    with torch.no_grad():  # the picture sorts them
        order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
        both = torch.cat([order, order + 40])
        front.filters.copy_(front.filters[both])
        front.scale.copy_(front.scale[both])
    gain, centre = responses(front, 16000)
    wanted = mel_edges(40, 60.0, 8000.0)[1:-1]
    np.testing.assert_allclose(centre[2:], wanted[2:], rtol=0.02)
    peak = gain.argmax(axis=1) * 16000 / 1024
    np.testing.assert_allclose(peak[2:], wanted[2:], atol=16000 / 1024)
    assert gain.max() == pytest.approx(0.0, abs=1e-3) and gain.min() >= FLOOR_DB


def test_pieces_are_those_that_excite_the_unit_most(network: Network, tmp_path: Path) -> None:
    cuts = list(tone_cuts(tmp_path / "wav", 12))
    found = exciting(network, "block1", 3, cuts)
    assert len(found) == PIECES
    assert [p.value for p in found] == sorted((p.value for p in found), reverse=True)
    seen: list[float] = []
    handle = layers_of(network)["block1"].register_forward_hook(lambda _, __, out: seen.append(out[0, :, 3]))
    values = []
    for cut in cuts:
        wave = torch.from_numpy(cut.load_audio())
        with torch.inference_mode():
            network(wave, torch.tensor([wave.shape[1]]))
        values.append(float(seen[-1][: -(-wave.shape[1] // 320)].max()))
    handle.remove()
    np.testing.assert_allclose([p.value for p in found], sorted(values)[::-1][:PIECES], rtol=1e-5)
    assert found[0].title.startswith(f"tone{int(np.argmax(values))}, ")
    assert len(found[0].waveform) == round(0.6 * RATE)


def test_the_picture_is_written(network: Network, tmp_path: Path) -> None:
    pieces = exciting(network, "lstm1", 0, list(tone_cuts(tmp_path / "wav", 4)))
    draw_filters(network, tmp_path / "a.svg", pieces, "lstm1:0")
    text = (tmp_path / "a.svg").read_text()
    assert text.startswith("<?xml") and len(text) > 10_000
    draw_filters(network, tmp_path / "b.png", [])
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_draws_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`asr show RUN --filters PICTURE --unit LAYER:NUMBER --data DIR`, and no run of mixtures."""
    Corpus.write(tmp_path / "toy", "toy", {"dev": tone_cuts(tmp_path / "wav", 4)}, "LOW L OW\n", "LOW\n")
    system = SimpleNamespace(model=Ctc(CtcSettings(**SMALL), LEXICON))
    monkeypatch.setattr(System, "load", lambda run: system)
    arguments = ["--filters", "a.svg", "--unit", "block2:7", "--data", "toy"]
    monkeypatch.setattr("sys.argv", ["asr", "show", "run", *arguments])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    labels = set(re.findall(r"<!-- (.*?) -->", (tmp_path / "a.svg").read_text()))
    assert any("block2:7" in label for label in labels)
    titles = [re.split("[:,] ", label) for label in labels if "tone" in label]
    assert {title[1] for title in titles} == {f"tone{k}" for k in range(4)}
    system.model = None
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2


def test_what_there_is_not_is_said(network: Network, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no layer 'block9'"):
        exciting(network, "block9", 0, [])
    with pytest.raises(UsageError, match="no unit 48"):
        exciting(network, "block1", 48, [])
    with pytest.raises(UsageError, match="no learned filters"):
        draw_filters(Network.seeded(0, CtcSettings(**SMALL, frontend="logmel"), 5), tmp_path / "a.png", [])
