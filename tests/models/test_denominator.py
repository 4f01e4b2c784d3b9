"""The sum over all label sequences, against all of them written out."""

import itertools
import math

import numpy as np
import pytest
import torch

from asr.models.ctc.denominator import Denominator
from asr.models.ctc.settings import CtcSettings
from asr.models.ctc.training import CtcTraining
from asr.models.networks.batches import Batch
from asr.models.networks.network import Network
from asr.text.ngram import NGram

UNITS = 4
SENTENCES = [[1, 2, 2, 3], [1, 3], [2, 1, 2, 3], [3, 3, 1], [1, 2, 2, 1]] * 3


def collapsed(path):
    return [u for u, _ in itertools.groupby(path) if u]


def weight_of(graph, labels):
    """Sum over all ways of backing off, as the graph's arcs have them."""
    mass = {graph.start: 1.0}
    for label in labels:
        for h in range(len(graph.last)):  # longest first
            if h in mass and graph.shorter[h] >= 0:
                s = int(graph.shorter[h])
                mass[s] = mass.get(s, 0.0) + graph.backoff[h] * mass[h]
        after = {}
        for h, m in mass.items():
            for k in range(graph.first[h], graph.first[h + 1]):
                if graph.last[graph.target[k]] == label:
                    v = int(graph.target[k])
                    after[v] = after.get(v, 0.0) + m * graph.weight[k]
        mass = after
    return sum(m * graph.final[h] for h, m in mass.items())


@pytest.mark.parametrize("order", [2, 3, 4])
def test_equals_the_sum_over_all_paths(order):
    denominator = Denominator(SENTENCES, UNITS, order)
    rng = np.random.default_rng(order)
    log_probs = torch.tensor(rng.normal(size=(2, 5, UNITS)) * 2, dtype=torch.float32).log_softmax(2)
    frames = torch.tensor([5, 3])
    found = denominator(log_probs, frames)
    for row, count in enumerate(frames.tolist()):
        total = 0.0
        for path in itertools.product(range(UNITS), repeat=count):
            p = math.exp(sum(float(log_probs[row, t, u]) for t, u in enumerate(path)))
            total += p * weight_of(denominator.graph, collapsed(path))
        assert float(found[row]) == pytest.approx(math.log(total), abs=1e-4)


def test_a_bigram_weighs_sequences_as_it_scores_them():
    denominator = Denominator(SENTENCES, UNITS, 2)
    model = NGram.estimate([" ".join(map(str, s)) for s in SENTENCES], 2, ["1", "2", "3"])
    for labels in ([1], [1, 2], [3, 1, 1], [2, 3, 2, 1]):
        wanted = 10 ** model.score(list(map(str, labels))).sum()
        assert weight_of(denominator.graph, labels) == pytest.approx(wanted, rel=1e-6)


def test_gradient_is_that_of_the_sum():
    denominator = Denominator(SENTENCES, UNITS, 3)
    rng = np.random.default_rng(0)
    log_probs = torch.tensor(rng.normal(size=(2, 6, UNITS)), dtype=torch.float32).log_softmax(2)
    log_probs.requires_grad_()
    frames = torch.tensor([6, 4])
    weights = torch.tensor([1.0, -0.5])
    (denominator(log_probs, frames) * weights).sum().backward()
    step = 1e-2
    for place in [(0, 0, 0), (0, 2, 1), (0, 5, 3), (1, 1, 2), (1, 3, 0), (1, 5, 1)]:
        moved = []
        for sign in (1, -1):
            changed = log_probs.detach().clone()
            changed[place] += sign * step
            moved.append(float((denominator(changed, frames) * weights).sum()))
        assert float(log_probs.grad[place]) == pytest.approx((moved[0] - moved[1]) / (2 * step), abs=2e-3)
    assert log_probs.grad[0].sum(1).tolist() == pytest.approx([1.0] * 6, abs=1e-5)
    assert not log_probs.grad[1, 4:].any()


@pytest.mark.parametrize(("first", "counts"), [(0, 1.0), (10, 0.0)])
def test_the_denominator_counts_from_the_second_cycle_on(first, counts):
    settings = CtcSettings(channels=16, width=32, blocks=1, lstm_layers=1, flat_start=0, crf=0.3)
    network = Network.seeded(0, settings, UNITS)
    denominator = Denominator(SENTENCES, UNITS, 3)
    module = CtcTraining(network, settings, (first, 10), 0, "key", [denominator])
    module.log = module.log_dict = lambda *_, **__: None
    waveforms = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    batch = Batch(waveforms, torch.tensor([16000, 14000]), torch.tensor([1, 2, 3]), torch.tensor([2, 1]))
    with torch.no_grad():
        found = module.training_step(batch, 0)
        log_probs, frames = network(batch.waveforms, batch.samples)
        alone = torch.nn.functional.ctc_loss(
            log_probs.transpose(0, 1), batch.targets, frames, batch.target_lengths, reduction="sum"
        )
        others = denominator(log_probs, frames).sum()
    assert float(found) == pytest.approx(float(alone + counts * 0.3 * others) / 3, rel=1e-5)
