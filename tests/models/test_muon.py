"""Muon against torch's own, against singular values, and beside AdamW."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asr.models.ctc.settings import CtcSettings
from asr.models.networks.muon import Muon, orthogonal
from asr.models.networks.network import Network
from asr.models.networks.training import MUON_DECAY, Training


@pytest.mark.parametrize("shape", [(24, 24), (16, 56), (56, 16)])
def test_orthogonal_keeps_the_directions_and_evens_out_the_values(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    left, values, right = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    spread = np.geomspace(1.0, 0.1, len(values))
    found = orthogonal(torch.tensor((left * spread) @ right, dtype=torch.float32)).numpy()
    among = left.T @ found @ right.T
    assert 0.6 < np.diag(among).min() and np.diag(among).max() < 1.3
    assert np.abs(among - np.diag(np.diag(among))).max() < 0.05
    assert np.linalg.norm(found - left @ among @ right) < 0.05 * np.linalg.norm(found)


@pytest.mark.parametrize("shape", [(48, 200), (200, 48), (64, 64)])
def test_orthogonal_equals_the_iteration_as_it_is_published(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    matrix = rng.standard_normal((shape[0], 12)) @ rng.standard_normal((12, shape[1]))
    matrix += 0.01 * rng.standard_normal(shape)  # most directions are hundreds of times weaker than the first
    x = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        x = 3.4445 * x - 4.7750 * x @ x.T @ x + 2.0315 * x @ x.T @ x @ x.T @ x
    found = orthogonal(torch.tensor(matrix, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, x, atol=1e-4)


def test_it_steps_as_that_of_torch_and_as_adamw(monkeypatch: pytest.MonkeyPatch) -> None:
    # theirs rounds to bfloat16 there; that the iteration is the published one, the test above says
    monkeypatch.setattr("torch.optim._muon._zeropower_via_newtonschulz", lambda m, *_: orthogonal(m))
    torch.manual_seed(5)
    matrix, vector = torch.randn(12, 40), torch.randn(7)
    start = [torch.nn.Parameter(w.clone()) for w in (matrix, matrix.view(12, 8, 1, 5), vector)]
    ours = Muon(
        [
            {"params": start[:2], "weight_decay": 0.3, "matrices": 1},
            {"params": start[2:], "weight_decay": 0.1},
        ],
        lr=0.02,
        betas=(0.9, 0.98),
    )
    theirs = [torch.nn.Parameter(w.clone()) for w in (matrix, vector)]
    optimizers = [
        torch.optim.Muon(theirs[:1], lr=0.02, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(theirs[1:], lr=0.02, weight_decay=0.1, betas=(0.9, 0.98)),
    ]
    for _ in range(5):
        gradients = torch.randn(12, 40), torch.randn(7)
        for weight, gradient in zip(start, (gradients[0], *gradients), strict=True):
            weight.grad = gradient.clone().view_as(weight)
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient.clone()
        for optimizer in (ours, *optimizers):
            optimizer.step()
    torch.testing.assert_close(start[0].data, theirs[0].data, rtol=0, atol=1e-6)
    torch.testing.assert_close(start[1].data, start[0].data.view(12, 8, 1, 5), rtol=0, atol=0)
    torch.testing.assert_close(start[2].data, theirs[1].data, rtol=0, atol=0)
    assert (start[0] - matrix).abs().mean() > 1e-2


def test_gates_below_each_other_are_matrices_of_their_own() -> None:
    torch.manual_seed(7)
    gradients = torch.randn(4, 6, 9)
    whole = torch.nn.Parameter(torch.zeros(24, 9))
    parts = [torch.nn.Parameter(torch.zeros(6, 9)) for _ in range(4)]
    whole.grad = gradients.flatten(0, 1)
    for part, gradient in zip(parts, gradients, strict=True):
        part.grad = gradient.clone()
    Muon([{"params": [whole], "matrices": 4}], lr=0.1).step()
    Muon([{"params": parts, "matrices": 1}], lr=0.1).step()
    torch.testing.assert_close(whole.data, torch.cat([p.data for p in parts]), rtol=0, atol=0)


def test_the_encoder_is_its_own_and_the_ends_are_adamws() -> None:
    settings = CtcSettings(optimizer="muon", width=32, channels=16, blocks=1, lstm_layers=1)
    network = Network.seeded(0, settings, 10, second=5)
    optimizer = Training(network, settings, [10], 0, "key").configure_optimizers()["optimizer"]
    names = {id(p): name for name, p in network.named_parameters()}
    groups = {names[id(p)]: g for g in optimizer.param_groups for p in g["params"]}
    assert len(groups) == len(names)
    matrices = {name: g["matrices"] for name, g in groups.items() if g["matrices"]}
    lstm = {f"lstms.0.{way}.weight_{kind}_l0": 4 for way in ("ahead", "back") for kind in ("ih", "hh")}
    assert matrices == {"subsample.project.weight": 1, "blocks.0.conv.weight": 1, **lstm}
    decay = settings.weight_decay
    assert groups["blocks.0.conv.weight"]["weight_decay"] == pytest.approx(MUON_DECAY * decay)
    assert groups["output.weight"]["weight_decay"] == pytest.approx(decay)
    assert groups["blocks.0.norm.weight"]["weight_decay"] == 0.0
