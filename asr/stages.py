"""Which stage lost the words: oracle swaps put one stage after another right and count what that saves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asr.data.corpus import Corpus, phones_of, text_of
from asr.decode.graph import Graph
from asr.decode.linear import Linear, best_path, frames_needed
from asr.decode.search import SearchSettings, beam_search, scaled
from asr.decode.topology import Topology
from asr.emissions import Emissions
from asr.errors import DataError
from asr.evaluation import LOSSES, emissions_of
from asr.experiment import full_lexicon, search_lexicon
from asr.files import write_json
from asr.score import read_decoded, score_texts
from asr.system import System
from asr.text.lexicon import Lexicon
from asr.text.ngram import UNKNOWN, NGram
from asr.text.units import WORD_END

# in the order in which they are put right
STAGES = ("search", "vocabulary", "language model", "acoustics", "pronunciation")
WIDE = {"beam": 16.0, "max_active": 8000}
# emissions that are sure: a wrong column costs so much a frame, and each token lasts some frames
SURE = {"acoustic_scale": 1.0, "word_penalty": 0.0, "prior_scale": 0.0, "beam": 60.0, "max_active": 8000}
WRONG = -30.0
HOLD = 2
FEWEST_LOG10 = -6.0  # of a word that the language model lacks, where it has no <unk> either


@dataclass(frozen=True)
class Losses:
    """The word errors of a split, stage by stage.

    Attributes
    ----------
    words
        Reference words.
    by_utterance
        Utterance id → (1 + stages,) errors as scored, and after each stage is put right with those before it.
    """

    words: int
    by_utterance: Mapping[str, tuple[int, ...]]

    @property
    def errors(self) -> int:
        """All word errors, as the run was scored."""
        return sum(e[0] for e in self.by_utterance.values())

    @property
    def stages(self) -> dict[str, int]:
        """Errors of each stage; they add up to `errors`. Below zero: putting it right did harm."""
        counts = np.array(list(self.by_utterance.values()), dtype=np.int64).reshape(-1, 1 + len(STAGES))
        return dict(zip(STAGES, (-np.diff(counts.sum(axis=0))).tolist(), strict=True))

    def save(self, path: Path) -> None:
        """Write as JSON."""
        lost = {"words": self.words, "errors": self.errors, "stages": self.stages}
        write_json(path, {**lost, "utterances": {i: list(e) for i, e in self.by_utterance.items()}})

    @classmethod
    def load(cls, path: Path) -> Losses:
        """Read what `save` wrote; DataError where it is damaged."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            counts = {i: tuple(int(x) for x in e) for i, e in content["utterances"].items()}
            if any(len(e) != 1 + len(STAGES) for e in counts.values()):
                raise ValueError("another number of stages")
            return cls(int(content["words"]), counts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            raise DataError(f"damaged ({e})", path=path, fix="run `asr stages` again") from e


def stages_path(run: Path, split: str) -> Path:
    """Where a run keeps the losses of a split."""
    return run / "decode" / split / LOSSES


def attribute(run: Path, corpus: Corpus, split: str = "test") -> Losses:
    """Decode a scored split again with one stage after another put right; keep and return what that saves.

    In this order, each on top of those before: a wide search; a vocabulary with every word of the split, new
    ones with the language model's probability of an unknown word; a language model estimated from the split's
    own transcripts; emissions that are sure of the true tokens (the corpus' reference phonemes, else the
    lexicon's; letters for a system that spells). What is still wrong then, no stage before can mend: words
    whose pronunciations the lexicon does not tell apart or does not have, or whose phonemes share states.

    Swapping in another order shares the errors out otherwise, since one stage often repairs another's; the
    order is the same for every recipe.

    Parameters
    ----------
    run
        A run folder with a system and the decoded split.
    corpus
        Where the split's audio and transcripts are.

    Raises
    ------
    DataError
        If the run did not decode the split, or that of another corpus.

    Reference
    ---------
    Chase 1997, "Error-responsive feedback mechanisms for speech recognizers" (PhD thesis, CMU), which assigns
    errors to parts of a recogniser in the same spirit, by comparing scores instead of swapping parts.
    """
    decoded = read_decoded(run, split)
    cuts = corpus.cuts(split).to_eager()
    references = decoded.references
    if references != {c.id: text_of(c) for c in cuts}:
        raise DataError(
            f"{split} was decoded on another corpus, or another state of it",
            path=run,
            fix="name the corpus it was trained on, as it was then",
        )
    system = System.load(run)
    lexicon = full_lexicon(corpus, system.lm)
    scored = _errors(references, decoded.texts)
    graphs = _graphs(system, lexicon, list(references.values()))
    # a word corrected by hand is said as the system has it
    says = Lexicon({**lexicon.entries, **system.lexicon.restricted(lexicon.entries).entries})
    wide = _wide(system.settings)
    texts: list[dict[str, str]] = [{} for _ in graphs]
    truth: dict[str, str] = dict(references)
    if system.first:
        system.first = _wide(system.first)
    sure = system.settings.model_copy(update=SURE)
    for cut, emissions, _, _ in emissions_of(system, cuts, "stages"):
        for found, graph in zip(texts, graphs, strict=True):
            found[cut.id] = _text(emissions, graph, wide, system.model.log_prior)
        tokens = _tokens(system.model.topology, says, references[cut.id], phones_of(cut))
        ideal = certain(system.model.topology, tokens, emissions)
        truth[cut.id] = _text(ideal, graphs[-1], sure, None)
    counts = [scored, *(_errors(references, found) for found in texts), _errors(references, truth)]
    rows = {i: (*(c[i] for c in counts), 0) for i in references}
    losses = Losses(sum(len(t.split()) for t in references.values()), rows)
    losses.save(stages_path(run, split))
    return losses


def certain(topology: Topology, tokens: Sequence[str], like: Emissions) -> Emissions:
    """Emissions that leave no doubt of a sequence of tokens, in the columns of other emissions.

    Raises
    ------
    LexiconError
        If a token is outside the topology.
    """
    names = tuple(f"{t}_I" for t in tokens) if topology.placed else tuple(tokens)
    said = {"all": [names]} if tokens else {}
    linear = Linear.build(replace(topology, placed=False), Lexicon(said), list(said))
    frames = HOLD * max(1, frames_needed(linear.arcs))
    level = np.zeros((frames, len(like.units)), dtype=np.float32)
    columns = linear.arcs.ilabel[best_path(linear.arcs, level).arcs] - 1
    # tied states differ by neighbours and place in the word, and where words begin is not among the tokens
    tied = topology.context is not None
    kind = np.array([u.rpartition(".")[0] or u if tied else u for u in like.units])
    scores = np.where(kind[columns][:, None] == kind, np.float32(0), np.float32(WRONG))
    return Emissions(scores, like.units, like.frame_shift_s, "likelihood")


def _wide(settings: SearchSettings) -> SearchSettings:
    """The settings with a search that is wide, and no narrower than it was."""
    return settings.model_copy(update={k: max(v, getattr(settings, k)) for k, v in WIDE.items()})


def _errors(references: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, int]:
    return {u.id: u.scores.errors for u in score_texts(references, texts).utterances}


def _text(emissions: Emissions, graph: Graph, settings: SearchSettings, log_prior: np.ndarray | None) -> str:
    if not len(emissions.scores):
        return ""
    return " ".join(beam_search(scaled(emissions, settings, log_prior), graph, settings).words)


def _graphs(system: System, lexicon: Lexicon, texts: Sequence[str]) -> list[Graph]:
    """The system's graph, one with every word of `texts`, and one with their own language model besides."""
    topology = system.model.topology
    own = NGram.read(system.lm)
    words = {w for text in texts for w in text.split()}
    with tempfile.TemporaryDirectory(prefix="asr-") as name:
        more, best = Path(name) / "more.arpa.gz", Path(name) / "best.arpa.gz"
        unigrams = own.probabilities[0]
        rare = unigrams.get(UNKNOWN, FEWEST_LOG10)
        added = {w: rare for w in sorted(words - unigrams.keys())}
        NGram([{**unigrams, **added}, *own.probabilities[1:]], own.backoffs).write(more)
        every = search_lexicon(system.model, lexicon, more)
        # the system's own words are as it has them: corrected by hand, perhaps, and as probable as they were
        # said in training, which a loaded model no longer knows
        has = system.lexicon.restricted(every.entries)
        chances = {w: p for w, p in every.probabilities.items() if w not in has}
        every = Lexicon({**every.entries, **has.entries}, {**chances, **has.probabilities})
        NGram.estimate(texts, own.order, vocabulary=every.entries).write(best)
        return [
            system.graph,
            Graph.build(topology, every, more),
            Graph.build(topology, every, best),
        ]


def _tokens(topology: Topology, lexicon: Lexicon, text: str, spoken: Sequence[str]) -> list[str]:
    """The true tokens of a text: spelled, as spoken where the corpus tells, or as the lexicon has it."""
    known = set(topology.symbols)
    if WORD_END in known:
        return [c for word in text.split() for c in (*word, WORD_END) if c in known]
    return list(spoken) if spoken and known.issuperset(spoken) else lexicon.pronounce(text)
