import gzip
import math
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import LanguageModelError
from asr.text.ngram import MISSING, NGram

DATA = Path(os.environ.get("ASR_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
GOLDEN = Path(__file__).parents[1] / "golden" / "kenlm"

SMALL = """\
Anything may stand before the data.

\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-99\t<s>\t-0.5
-1.0\t</s>
-0.5\tA\t-0.25
-0.75\tB

\\2-grams:
-0.1\t<s> A
-0.2\tA B

\\end\\
"""


@pytest.fixture(scope="module")
def reference():
    path = DATA / "speechocean762" / "reference_lm.arpa.gz"
    if not path.exists():
        pytest.skip(f"no real language model at {path} (set ASR_DATA)")
    return path


def written(tmp_path, text, name="lm.arpa"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_back_off_by_hand(tmp_path):
    model = NGram.read(written(tmp_path, SMALL))
    assert model.order == 2
    assert model.vocabulary == ("A", "B")
    assert model.score("A B") == pytest.approx([-0.1, -0.2, -1.0])
    assert model.score(["B", "A", "A"]) == pytest.approx([-0.5 - 0.75, -0.5, -0.25 - 0.5, -0.25 - 1.0])
    assert model.score("") == pytest.approx([-0.5 - 1.0])
    assert model.score("A X A") == pytest.approx([-0.1, -0.25 + MISSING, -0.5, -0.25 - 1.0])


def test_perplexity_counts_ends_and_leaves_unknown_words_out(tmp_path):
    model = NGram.read(written(tmp_path, SMALL))
    assert model.perplexity(["A B"]) == pytest.approx(10 ** (1.3 / 3))
    assert model.perplexity(["A X A", "A B"]) == pytest.approx(10 ** ((0.1 + 0.5 + 1.25 + 1.3) / 6))
    with pytest.raises(LanguageModelError, match="no sentence"):
        model.perplexity([])


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
def test_written_and_read_is_the_same(tmp_path, name):
    model = NGram.estimate(["A B C", "A B", "C A B", "B B B B"], 3)
    model.write(tmp_path / name)
    again = NGram.read(tmp_path / name)
    assert again.probabilities == [pytest.approx(table, abs=1e-6) for table in model.probabilities]
    assert again.backoffs == [pytest.approx(table, abs=1e-6) for table in model.backoffs]
    first = (tmp_path / name).read_bytes()
    again.write(tmp_path / name)
    model.write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == first
    assert (first[:2] == b"\x1f\x8b") == name.endswith(".gz")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\t", "  "),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("-1.0\t</s>", "\n-1.0\t</s>\t0 \n"),
        lambda text: text.replace("-grams:\n", "-grams:\n\n"),
    ],
    ids=["blanks for tabs", "Windows", "blank lines", "blank first line"],
)
def test_loose_layouts(tmp_path, change):
    strict = NGram.read(written(tmp_path, SMALL))
    loose = NGram.read(written(tmp_path, change(SMALL)))
    assert loose.probabilities == strict.probabilities
    assert [{k: v for k, v in table.items() if v} for table in loose.backoffs] == strict.backoffs


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("ngram 2=2", "ngram 2=3", 5, r"\\data\\ says 3 2-grams, found 2"),
        ("ngram 1=4", "ngram 1=five", 4, "expected `ngram 1=COUNT`"),
        ("ngram 2=2", "ngram 3=2", 5, "expected the count of 2-grams"),
        ("-0.75\tB", "zero\tB", 11, "not a number.*zero"),
        ("A\t-0.25", "A\tnone", 10, "not a number.*none"),
        ("-0.75\tB", "nan\tB", 11, "no log10 probability"),
        ("-0.75\tB", "0.75\tB", 11, "no log10 probability"),
        ("-0.2\tA B", "-0.2\tA", 15, "2 words"),
        ("-0.2\tA B", "-0.2\tA B -1 -1", 15, "2 words"),
        ("-0.2\tA B", "-0.2\tZ B", 15, "'Z B'.*'Z'"),
        ("-0.75\tB", "-0.75\tA", 11, "'A' appears twice"),
        ("\\2-grams:", "\\3-grams:", 13, r"expected \\2-grams:"),
        ("\\end\\\n", "", 17, r"expected \\end\\"),
        ("\\data\\", "data", None, r"no \\data\\ line"),
        ("-1.0\t</s>", "-1.0\tEND", None, "no </s>"),
    ],
)
def test_damage_is_named_with_file_and_line(tmp_path, old, new, line, what):
    assert old in SMALL
    path = written(tmp_path, SMALL.replace(old, new))
    with pytest.raises(LanguageModelError, match=what) as e:
        NGram.read(path)
    assert e.value.line == line
    assert str(e.value).startswith(str(path))


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.arpa.gz", b"no gzip", "no whole gzip"),
        ("b.arpa.gz", gzip.compress(SMALL.encode(), mtime=0)[:60], "no whole gzip"),
        ("c.arpa", gzip.compress(SMALL.encode(), mtime=0), "not UTF-8"),
        ("d.arpa", b"", "no .data. line"),
    ],
)
def test_other_files(tmp_path, name, data, what):
    with pytest.raises(LanguageModelError, match=what):
        NGram.read(written(tmp_path, data, name))
    with pytest.raises(LanguageModelError, match="cannot be read"):
        NGram.read(tmp_path / "missing.arpa")


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_files_are_read_or_refused_but_never_crash(tmp_path_factory, data):
    lines = SMALL.split("\n")
    i = data.draw(st.integers(0, len(lines) - 1))
    lines[i] = data.draw(
        st.sampled_from([*lines, lines[i] + "\t", lines[i][1:], "inf\tA", "-1\t\t", "\\end\\"])
    )
    path = written(tmp_path_factory.mktemp("arpa"), "\n".join(lines[: data.draw(st.integers(1, len(lines)))]))
    try:
        assert np.isfinite(NGram.read(path).score("A B X")).all()
    except LanguageModelError as e:
        assert str(e).startswith(str(path))


def test_reading_a_real_model_is_quick(reference):
    start = time.process_time()
    model = NGram.read(reference)
    assert time.process_time() - start < 1.5
    assert (model.order, len(model.vocabulary)) == (3, 2604)
    assert [len(table) for table in model.probabilities] == [2606, 58306, 136114]


def test_broken_count_in_a_real_model(tmp_path, reference):
    lines = gzip.decompress(reference.read_bytes()).decode().split("\n")
    del lines[3000]
    with pytest.raises(LanguageModelError, match=r"lm.arpa:3: .*says 58306 2-grams, found 58305"):
        NGram.read(written(tmp_path, "\n".join(lines)))


def test_without_language_model_every_word_is_as_probable_as_the_others(tmp_path):
    model = NGram.uniform(["B", "A", "B", "</s>", "C"])
    assert model.vocabulary == ("A", "B", "C") and model.order == 1
    assert model.score("C A B") == pytest.approx(np.full(4, -math.log10(4)))
    model.write(tmp_path / "lm.arpa")
    assert NGram.read(tmp_path / "lm.arpa").score("A A") == pytest.approx(np.full(3, -math.log10(4)))
    with pytest.raises(LanguageModelError, match="no word"):
        NGram.uniform(["</s>"])


def random_sentences(vocabulary, count=300):
    rng = random.Random(0)
    return [" ".join(rng.choices([*vocabulary, "QZX"], k=rng.randint(0, 12))) for _ in range(count)]


def test_real_model_sums_to_one(reference):
    model = NGram.read(reference)
    words = [*model.vocabulary, "</s>"]
    for history in ("<s>", "THE", "<s> THE", "OF THE", "QZX"):
        context = history.split()
        assert sum(10 ** model._score([*context, w], len(context)) for w in words) == pytest.approx(
            1, abs=2e-3
        )


def test_equals_what_kenlm_said():
    """kenlm has no wheels, so its scores are kept: those of kenlm 0.3.0's `Model.full_scores`, base 10.

    lm.arpa is a trigram model that `NGram.estimate` made of 17 sentences; scores.tsv holds some of them and
    random ones, with unknown words: on each line the sentence, a tab, the scores of its words and its end.
    """
    model = NGram.read(GOLDEN / "lm.arpa")
    rows = [line.split("\t") for line in (GOLDEN / "scores.tsv").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 50
    for sentence, scores in rows:
        assert model.score(sentence) == pytest.approx([float(s) for s in scores.split()], abs=1e-5)


@pytest.mark.parametrize("kind", ["real", "estimated"])
def test_equals_kenlm(tmp_path, reference, kind):
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed: pip install kenlm")
    if kind == "real":
        path, model = reference, NGram.read(reference)
    else:
        sentences = random_sentences(NGram.read(reference).vocabulary[:200], 500)
        path, model = tmp_path / "lm.arpa", NGram.estimate(sentences, 3)
        model.write(path)
    peer = kenlm.Model(str(path))
    text = random_sentences(model.vocabulary)
    for sentence in text:
        theirs = [p for p, _, _ in peer.full_scores(sentence)]
        assert model.score(sentence) == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_kaldilm_compiles_an_estimated_model(tmp_path, order):
    """The path that G gives a sentence, back-off arcs where needed, costs what `score` says."""
    import kaldilm

    model = NGram.estimate(["A B C", "A B", "C A B", "B B B B", "A C C A B"], order)
    model.write(tmp_path / "lm.arpa")
    symbols = tmp_path / "words.txt"
    fst = kaldilm.arpa2fst(
        str(tmp_path / "lm.arpa"), disambig_symbol="#0", max_order=order, write_symbol_table=str(symbols)
    )
    ids = dict(line.split() for line in symbols.read_text().splitlines())
    arcs, final, start = {}, {}, None
    for line in fst.strip().splitlines():
        fields = line.split()
        start = fields[0] if start is None else start
        if len(fields) >= 4:
            arcs.setdefault(fields[0], {})[fields[2]] = (
                fields[1],
                float(fields[4]) if len(fields) > 4 else 0.0,
            )
        else:
            final[fields[0]] = float(fields[1]) if len(fields) > 1 else 0.0

    def step(state, word):
        cost = 0.0
        while word not in arcs.get(state, {}):
            state, back = arcs[state][ids["#0"]]
            cost += back
        return arcs[state][word][0], cost + arcs[state][word][1]

    for sentence in ("A B C", "C C B A", "B", "A A A A A B"):
        state, cost = start, 0.0
        for word in sentence.split():
            state, more = step(state, ids[word])
            cost += more
        while state not in final:
            state, back = arcs[state][ids["#0"]]
            cost += back
        cost += final[state]
        assert cost == pytest.approx(-model.score(sentence).sum() * np.log(10), abs=1e-4)
