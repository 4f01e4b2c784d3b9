import gzip
import json
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import kaldifst
import numpy as np
import pytest

from asr.decode import graph as graph_module
from asr.decode.arcs import Arcs
from asr.decode.graph import Graph
from asr.decode.search import SearchSettings, beam_search, search
from asr.decode.topology import Topology
from asr.errors import LanguageModelError, LexiconError, SearchError
from asr.files import cache_folder
from asr.text.lexicon import Lexicon
from tests.decode.cases import LEXICON, ctc, emissions, hmm, language_model, one_hot

WIDE = SearchSettings(beam=1000.0, max_active=1_000_000)


@pytest.fixture
def lm(tmp_path):
    path = tmp_path / "lm.arpa"
    language_model(np.random.default_rng(0), path, list(LEXICON.entries))
    return path


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ASR_CACHE", str(tmp_path / "cache"))


def same(a: Arcs, b: Arcs) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in vars(a))


def test_arrays_survive_the_way_through_openfst(lm):
    arcs = Graph.build(hmm(np.random.default_rng(0)), LEXICON, lm).arcs
    assert same(arcs, Arcs.of(arcs.fst()))
    vector = kaldifst.StdVectorFst(arcs.fst())
    assert vector.num_states == len(arcs.final)
    assert same(arcs, Arcs.of(vector))


def test_a_file_that_is_no_graph_is_refused(tmp_path, lm):
    path = tmp_path / "x.fst"
    for content in (
        b"",
        b"not a graph, but some text that is long enough for a head",
        b"\xd6\xfd\xb2~\x05\0\0\0const",
    ):
        path.write_bytes(content)
        with pytest.raises(SearchError, match="not a usable graph"):
            Arcs.read(path)
    Graph.build(ctc(), LEXICON, lm).arcs.write(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(SearchError, match="not a usable graph"):
        Arcs.read(path)


@pytest.mark.parametrize("penalty", [-3.0, 0.7, 2.5])
def test_patched_penalty_equals_a_rebuilt_graph(penalty, tmp_path):
    """Every word's probability in the ARPA file raised by the penalty, and the graph built from that."""
    words = list(LEXICON.entries)
    language_model(np.random.default_rng(1), tmp_path / "lm.arpa", words)

    def shifted(name, by):
        lines = []
        for line in (tmp_path / "lm.arpa").read_text().split("\n"):
            fields = line.split("\t")
            if len(fields) > 1 and fields[1].split()[-1] in words:
                fields[0] = f"{float(fields[0]) + by / np.log(10):.6f}"
            lines.append("\t".join(fields))
        (tmp_path / name).write_text("\n".join(lines))
        return Graph.build(ctc(), LEXICON, tmp_path / name)

    # three lower to begin with: an ARPA file may not hold probabilities above one
    patched, rebuilt = shifted("patched.arpa", -3.0), shifted("rebuilt.arpa", -3.0 + penalty)
    lengths = set()
    for seed in range(8):
        scores = emissions(np.random.default_rng(seed), ctc(), 7).scores
        got = beam_search(scores, patched, WIDE.model_copy(update={"word_penalty": penalty}))
        want = beam_search(scores, rebuilt, WIDE)
        assert got.words == want.words
        assert got.score == pytest.approx(want.score, abs=1e-3)
        lengths.add(len(got.words) - len(beam_search(scores, patched, WIDE).words))
    assert max(lengths) > 0 if penalty > 1 else min(lengths) <= 0


def test_prefixes_homophones_and_double_letters_are_all_reachable(tmp_path):
    lexicon = Lexicon.spelling(["A", "AA", "AAB", "AB", "B"])
    rng = np.random.default_rng(0)
    language_model(rng, tmp_path / "lm.arpa", list(lexicon.entries))
    topology = ctc(("A", "B", "|"))
    graph = Graph.build(topology, lexicon, tmp_path / "lm.arpa")
    # A | B 2, | 3: an A twice needs a blank between, A held long is one A
    assert search(one_hot(topology, [1, 0, 1, 3]), graph, WIDE).text == "AA"
    assert search(one_hot(topology, [1, 1, 1, 3]), graph, WIDE).text == "A"
    assert search(one_hot(topology, [1, 0, 1, 2, 3]), graph, WIDE).text == "AAB"
    assert search(one_hot(topology, [1, 2, 3, 2, 0, 3]), graph, WIDE).text == "AB B"


def test_of_homophones_the_likelier_is_chosen(tmp_path):
    arpa = "\\data\\\nngram 1=4\n\n\\1-grams:\n-99\t<s>\n-0.5\t</s>\n{}\tTO\n{}\tTWO\n\n\\end\\\n"
    lexicon = Lexicon({"TO": [("a", "b")], "TWO": [("a", "b")]})
    for chances, word in (((-0.4, -0.6), "TO"), ((-0.6, -0.4), "TWO")):
        (tmp_path / "lm.arpa").write_text(arpa.format(*chances))
        graph = Graph.build(ctc(), lexicon, tmp_path / "lm.arpa")
        assert search(one_hot(ctc(), [1, 2]), graph, WIDE).text == word


def test_words_only_one_side_knows_are_counted(tmp_path):
    language_model(np.random.default_rng(0), tmp_path / "lm.arpa", ["A1", "AB", "X", "Y"])
    graph = Graph.build(ctc(), LEXICON, tmp_path / "lm.arpa")
    assert graph.report["lm_only"] == 2
    assert graph.report["lexicon_only"] == len(LEXICON) - 2
    assert graph.report["states"] == len(graph.arcs.final)


def test_no_word_in_common_is_an_error(tmp_path):
    language_model(np.random.default_rng(0), tmp_path / "lm.arpa", ["X", "Y"])
    with pytest.raises(LanguageModelError, match="no word of the lexicon"):
        Graph.build(ctc(), LEXICON, tmp_path / "lm.arpa")


def test_a_broken_count_is_an_error(lm):
    lm.write_text(lm.read_text().replace("ngram 1=", "ngram 1=1"))
    with pytest.raises(LanguageModelError, match=r"lm\.arpa"):
        Graph.build(ctc(), LEXICON, lm)


def test_a_token_the_model_lacks_is_named(lm):
    with pytest.raises(LexiconError, match=r"'C'.*'c'"):
        Graph.build(ctc(("a", "b")), LEXICON, lm)


def test_the_second_build_is_read_from_the_cache(lm, own_cache, monkeypatch):
    first = Graph.build(ctc(), LEXICON, lm)
    packed = lm.with_suffix(".arpa.gz")
    packed.write_bytes(gzip.compress(lm.read_bytes()))
    other = Graph.build(ctc(), LEXICON, packed)
    assert same(first.arcs, other.arcs)

    def forbidden(*_):
        raise AssertionError("built again")

    monkeypatch.setattr(graph_module, "compose", forbidden)
    again = Graph.build(ctc(), LEXICON, lm)
    assert same(first.arcs, again.arcs)
    assert again.report == first.report and again.words == first.words
    with pytest.raises(AssertionError, match="built again"):
        Graph.build(ctc(("a", "b", "c", "d")), LEXICON, lm)


def test_everything_that_matters_is_in_the_key(lm, own_cache):
    rng = np.random.default_rng(0)
    base = hmm(rng)
    slower = Topology(base.kind, base.tokens, base.states, base.stay - 0.1, base.leave, pauses=base.pauses)
    quieter = Topology(base.kind, base.tokens, base.states, base.stay, base.leave, pauses=(("SIL", 0.1),))
    weighted = Lexicon(LEXICON.entries, {"C": (0.9, 0.1)})
    pairs = [(base, LEXICON), (slower, LEXICON), (quieter, LEXICON), (base, weighted)]
    assert len({graph_module._key(t, x, lm) for t, x in pairs}) == len(pairs)


@pytest.mark.parametrize("suffix", ["fst", "json"])
def test_a_damaged_cache_entry_is_made_again(lm, own_cache, suffix):
    first = Graph.build(ctc(), LEXICON, lm)
    (entry,) = cache_folder("graphs").glob(f"*.{suffix}")
    entry.write_bytes(entry.read_bytes()[:-7])
    again = Graph.build(ctc(), LEXICON, lm)
    assert same(first.arcs, again.arcs)
    (entry,) = cache_folder("graphs").glob("*.json")
    assert json.loads(entry.read_text()) == first.report


def test_graphs_that_were_not_used_for_longest_are_deleted(lm, own_cache, monkeypatch):
    topologies = [ctc(("a", "b", "c", *more)) for more in ((), ("d",), ("d", "e"))]
    names = [graph_module._key(t, LEXICON, lm) for t in topologies]
    folder = cache_folder("graphs")

    def age(by):
        for path in folder.iterdir():
            os.utime(path, (path.stat().st_atime - by, path.stat().st_mtime - by))

    Graph.build(topologies[0], LEXICON, lm)
    monkeypatch.setattr(
        graph_module, "CACHE_BYTES", int(2.5 * sum(p.stat().st_size for p in folder.iterdir()))
    )
    age(10)
    Graph.build(topologies[1], LEXICON, lm)
    age(10)
    Graph.build(topologies[0], LEXICON, lm)  # read, hence used after the second
    age(10)
    Graph.build(topologies[2], LEXICON, lm)
    assert {p.stem for p in folder.iterdir()} == {names[0], names[2]}
    assert len(list(folder.iterdir())) == 4


def _build_and_search(path):
    topology = ctc()
    graph = Graph.build(topology, LEXICON, path)
    return len(graph.arcs.next), search(one_hot(topology, [3, 0, 1, 2]), graph, WIDE).text


def test_processes_may_build_the_same_graph_at_once(lm, own_cache):
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("fork")) as pool:
        results = set(pool.map(_build_and_search, [lm] * 4))
    assert len(results) == 1
    assert len(list(cache_folder("graphs").iterdir())) == 2


def test_threads_may_search_one_graph_at_once(lm):
    topology = ctc()
    graph = Graph.build(topology, LEXICON, lm)
    some = [emissions(np.random.default_rng(i), topology, 20) for i in range(40)]
    settings = [WIDE.model_copy(update={"word_penalty": float(i % 3 - 1)}) for i in range(40)]
    alone = [search(e, graph, s) for e, s in zip(some, settings, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: search(p[0], graph, p[1]), zip(some, settings, strict=True)))
    assert together == alone


def test_a_graph_may_be_sent_to_another_process(lm):
    graph = Graph.build(ctc(), LEXICON, lm)
    before = search(one_hot(ctc(), [3]), graph, WIDE)
    assert search(one_hot(ctc(), [3]), pickle.loads(pickle.dumps(graph)), WIDE) == before


def test_the_last_two_transducers_are_kept(lm):
    """A system that adapts searches with two word penalties in turn; building one takes half a second."""
    graph = Graph.build(ctc(), LEXICON, lm)
    first, second = graph.fst(-1.0), graph.fst(0.5)
    assert graph.fst(-1.0) is first and graph.fst(0.5) is second
    graph.fst(2.0)
    assert graph.fst(0.5) is second and graph.fst(-1.0) is not first


def test_line_ends_of_windows_lose_no_n_gram(tmp_path):
    language_model(np.random.default_rng(3), tmp_path / "lm.arpa", list(LEXICON.entries))
    unix = Graph.build(ctc(), LEXICON, tmp_path / "lm.arpa")
    text = (tmp_path / "lm.arpa").read_bytes()
    (tmp_path / "lm.arpa").write_bytes(text.replace(b"\n", b"\r\n"))
    windows = Graph.build(ctc(), LEXICON, tmp_path / "lm.arpa")
    assert same(unix.arcs, windows.arcs)
