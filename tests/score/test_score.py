import random
import re
import shutil
import subprocess

import jiwer
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import DataError
from asr.score import (
    Interval,
    Scores,
    align_words,
    compare_bootstrap,
    interval,
    mapsswe,
    read_transcripts,
    score_texts,
    without_errors,
)
from asr.score.align import count

WORDS = [f"W{i}" for i in range(40)]
texts = st.lists(st.sampled_from(["A", "B", "C", "DE"]), max_size=8).map(" ".join)
counts = st.builds(
    lambda s, d, i, h: Scores(s, d, i, s + d + h), *[st.integers(min_value=0, max_value=50)] * 4
)


def corrupted(words, rate, rng):
    """Words as a recogniser may return them: `rate` of them deleted, mistaken or followed by another."""
    out = []
    for word in words:
        x = rng.random()
        if x >= rate / 3:
            out.append(rng.choice(WORDS) if x < 2 * rate / 3 else word)
        if x > 1 - rate / 3:
            out.append(rng.choice(WORDS))
    return out


def pairs(n=1000, rate=0.35, seed=0, systems=1):
    """`n` references and what `systems` systems made of them, under ids that name a speaker."""
    rng = random.Random(seed)
    references = {f"s{i % 7}-{i:04d}": rng.choices(WORDS, k=rng.randint(1, 15)) for i in range(n)}
    heard = [{i: " ".join(corrupted(r, rate, rng)) for i, r in references.items()} for _ in range(systems)]
    return {i: " ".join(r) for i, r in references.items()}, *heard


@given(st.lists(counts))
def test_counts_add_and_the_rate_is_that_of_the_sum(several):
    total = sum(several, Scores.zero())
    assert total.errors == sum(s.errors for s in several)
    words = sum(s.reference for s in several)
    assert total.rate == (pytest.approx(100 * total.errors / words) if words else None)
    assert total.hits + total.substitutions + total.deletions == total.reference


def test_impossible_counts_are_refused():
    with pytest.raises(DataError, match="impossible error counts"):
        Scores(substitutions=2, deletions=0, insertions=0, reference=1)
    with pytest.raises(DataError, match="impossible"):
        Scores(insertions=-1)


def test_kaldi_line():
    assert Scores(40, 3, 3, 773).kaldi() == "%WER 5.95 [ 46 / 773, 3 ins, 3 del, 40 sub ]"
    assert Scores(insertions=1).kaldi("PER") == "%PER nan [ 1 / 0, 1 ins, 0 del, 0 sub ]"


@pytest.mark.parametrize("rate", [0.1, 0.35, 0.9])
def test_words_equal_jiwer_on_1000_random_pairs(rate):
    references, hypotheses = pairs(rate=rate, seed=1)
    result = score_texts(references, hypotheses)
    for u in result.utterances:
        them = jiwer.process_words(references[u.id], hypotheses[u.id])
        assert (u.scores.substitutions, u.scores.deletions, u.scores.insertions, u.scores.hits) == (
            them.substitutions, them.deletions, them.insertions, them.hits,
        )  # fmt: skip
    everything = jiwer.wer(list(references.values()), list(hypotheses.values()))
    assert result.scores.rate == pytest.approx(100 * everything)


def test_characters_equal_jiwer_on_1000_random_pairs():
    references, hypotheses = pairs(seed=2)
    result = score_texts(references, hypotheses, unit="character")
    them = jiwer.process_characters(list(references.values()), list(hypotheses.values()))
    assert result.scores == Scores(
        them.substitutions, them.deletions, them.insertions, them.hits + them.substitutions + them.deletions
    )
    assert result.rate_name == "CER"


@given(texts, texts)
def test_alignment_holds_both_texts_and_is_minimal(reference, hypothesis):
    for method in ("jiwer", "sclite"):
        (aligned,) = align_words([reference], [hypothesis], method)
        assert [r for r, _ in aligned if r is not None] == reference.split()
        assert [h for _, h in aligned if h is not None] == hypothesis.split()
        assert all(r is not None or h is not None for r, h in aligned)
        s = count(aligned)
        weights = (1, 1) if method == "jiwer" else (4, 3)
        found = weights[0] * s.substitutions + weights[1] * (s.deletions + s.insertions)
        assert found == edit_distance(reference.split(), hypothesis.split(), *weights)


def edit_distance(a, b, substitution, gap):
    """Plain recursion, memo by hand: the definition."""
    memo = {}

    def cost(i, j):
        if (i, j) not in memo:
            if not i or not j:
                memo[i, j] = gap * (i + j)
            else:
                same = 0 if a[i - 1] == b[j - 1] else substitution
                memo[i, j] = min(cost(i - 1, j - 1) + same, cost(i - 1, j) + gap, cost(i, j - 1) + gap)
        return memo[i, j]

    return cost(len(a), len(b))


def test_white_space_does_not_count():
    assert score_texts({"a": " A  B\t"}, {"a": "A B "}).scores == Scores(0, 0, 0, 2)
    assert score_texts({"a": " A  B"}, {"a": "A B"}, unit="character").scores == Scores(0, 0, 0, 3)


def test_empty_texts_missing_and_unknown_ids():
    result = score_texts({"a": "A B", "b": "", "c": "X Y Z"}, {"a": "A", "b": "Q", "z": "N"})
    assert result.scores == Scores(0, 4, 1, 5)
    assert (result.missing, result.unknown) == (("c",), ("z",))
    assert score_texts({"a": ""}, {"a": ""}).scores.rate is None
    assert score_texts({"a": ""}, {"a": ""}).interval == (None, None)
    with pytest.raises(DataError, match="no reference"):
        score_texts({}, {"a": "A"})


def test_totals_by_speaker():
    speakers = {"a": "ann", "b": "bob", "c": "ann"}
    result = score_texts({"a": "A B", "b": "C", "c": "D"}, {"a": "A", "b": "C", "c": "E"}, speakers=speakers)
    assert result.speakers == {"ann": Scores(1, 1, 0, 3), "bob": Scores(0, 0, 0, 1)}
    assert result.speaker_interval == Interval(None, None)  # of two speakers nothing is known of others
    assert score_texts({"a": "A"}, {"a": "B"}).speakers == {}


# --- intervals ---


def test_interval_equals_brute_force_resampling():
    references, hypotheses = pairs(n=150, seed=3)
    scores = [u.scores for u in score_texts(references, hypotheses).utterances]
    rng = np.random.default_rng(9)
    rates = []
    for _ in range(3000):
        drawn = [scores[i] for i in rng.integers(len(scores), size=len(scores))]
        rates.append(sum(drawn, Scores.zero()).rate)
    assert interval(scores, draws=6000) == pytest.approx(np.quantile(rates, [0.025, 0.975]), abs=0.35)


def test_interval_covers_the_true_rate_about_95_times_in_100():
    rng = np.random.default_rng(4)
    hit = 0
    for seed in range(200):
        lengths = rng.integers(3, 15, size=120)
        scores = [
            Scores(int(e), 0, 0, int(n)) for e, n in zip(rng.binomial(lengths, 0.2), lengths, strict=True)
        ]
        low, high = interval(scores, draws=1000, seed=seed)
        hit += low <= 20 <= high
    assert 0.91 <= hit / 200 <= 0.98


def test_interval_is_seeded_and_speakers_widen_it():
    # every utterance of a speaker goes alike, so forty utterances say no more than four speakers
    scores = [Scores(i % 4, 0, 0, 10) for i in range(40)]
    speakers = [f"s{i % 4}" for i in range(40)]
    assert interval(scores, seed=1) == interval(scores, seed=1)
    narrow, wide = interval(scores), interval(scores, speakers)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert str(interval([Scores(1, 0, 0, 4)])) == "unknown"
    many = {f"{i}": f"s{i % 5}" for i in range(40)}
    said, found = ({i: "A" if int(i) % n else "A B" for i in many} for n in (1, 3))
    result = score_texts(said, found, speakers=many)
    assert result.speaker_interval == interval([u.scores for u in result.utterances], list(many.values()))
    assert result.speaker_interval.low < result.scores.rate < result.speaker_interval.high


def test_few_errors_look_no_surer_than_none():
    """A bootstrap of one error in 300 utterances has at most a few of it."""
    none, one = ([Scores(k, 0, 0, 1)] + [Scores(0, 0, 0, 1)] * 299 for k in (0, 1))
    assert (
        interval(one)[1]
        == interval(none)[1]
        == pytest.approx(without_errors(300))
        == pytest.approx(1.22, abs=0.01)
    )
    many = [Scores(1, 0, 0, 1)] * 30 + [Scores(0, 0, 0, 1)] * 270
    assert interval(many)[1] > 10
    # five long utterances: all of them have errors, and none is all wrong
    assert interval([Scores(50, 0, 0, 1000)] * 4 + [Scores(60, 0, 0, 1000)])[1] < 7


def test_one_utterance_tells_nothing_of_two_systems():
    found = compare_bootstrap([Scores(9, 0, 0, 10)], [Scores(1, 0, 0, 10)])
    assert (found.low, found.high, found.p) == (None, None, 1.0) and found.interval(1) == "unknown"
    alike = [Scores(1, 0, 0, 10), Scores(2, 0, 0, 10)]
    assert compare_bootstrap(alike, alike).p == 1.0
    # all words wrong against none: all resamples are alike, and the difference is as sure as can be
    worst, best = ([Scores(k, 0, 0, 1)] * 50 for k in (1, 0))
    assert compare_bootstrap(worst, best).p < 0.001 and compare_bootstrap(worst, best).low == 100
    # those without words tell nothing, either
    silent = [Scores(0, 0, 0, 0)] * 50
    assert compare_bootstrap([Scores(9, 0, 0, 10), *silent], [Scores(1, 0, 0, 10), *silent]).p == 1.0


def test_interval_without_errors_is_that_of_clopper_and_pearson():
    none = [Scores(0, 0, 0, 2)] * 300
    low, high = interval(none)
    assert low == 0
    assert high == pytest.approx(100 * scipy.stats.binomtest(0, 300).proportion_ci().high)
    assert interval(none, ["a", "b", "c"] * 100)[1] == pytest.approx(
        100 * scipy.stats.binomtest(0, 3).proportion_ci().high
    )


# --- comparisons ---


def test_paired_bootstrap_equals_brute_force_resampling():
    references, one, two = pairs(n=120, seed=5, systems=2)
    a = [u.scores for u in score_texts(references, one).utterances]
    b = [u.scores for u in score_texts(references, two).utterances]
    rng = np.random.default_rng(1)
    errors = np.array([x.errors - y.errors for x, y in zip(a, b, strict=True)])
    words = np.array([x.reference for x in a])
    deltas = []
    for _ in range(200_000):
        drawn = rng.integers(len(a), size=len(a))
        deltas.append(100 * errors[drawn].sum() / words[drawn].sum())
    deltas = np.array(deltas)
    found = compare_bootstrap(a, b)
    assert found.difference == pytest.approx(sum(a, Scores.zero()).rate - sum(b, Scores.zero()).rate)
    assert found.p == pytest.approx(2 * min((deltas <= 0).mean(), (deltas >= 0).mean()), abs=0.01)
    # Student's t of 120 utterances, and what a resample of them spreads too little
    wide = np.sqrt(120 / 119) * scipy.stats.t.ppf(0.975, 119) / scipy.stats.norm.ppf(0.975)
    ends = found.difference + wide * (np.quantile(deltas, [0.025, 0.975]) - found.difference)
    assert [found.low, found.high] == pytest.approx(ends, abs=0.1)
    assert found.b_better == pytest.approx((deltas > 0).mean(), abs=0.005)


def test_comparison_with_itself_is_undecided_and_with_the_truth_decided():
    references, one = pairs(n=80, seed=6)
    a = score_texts(references, one).utterances
    truth = score_texts(references, references).utterances
    own = compare_bootstrap([u.scores for u in a], [u.scores for u in a])
    assert (own.p, own.difference) == (1.0, 0.0)
    assert mapsswe([u.pairs for u in a], [u.pairs for u in a]).p == 1.0
    assert compare_bootstrap([u.scores for u in a], [u.scores for u in truth]).p == pytest.approx(2 / 100_001)
    assert mapsswe([u.pairs for u in a], [u.pairs for u in truth]).p < 1e-6
    with pytest.raises(DataError, match="different references"):
        compare_bootstrap([Scores(0, 0, 0, 1)], [Scores(0, 0, 0, 2)])
    with pytest.raises(DataError, match="different references"):
        mapsswe(align_words(["A"], ["A"]), align_words(["B"], ["B"]))


def test_mapsswe_segments_end_after_two_words_that_both_have_right():
    reference = ["A B C D E F G H"]
    # errors: A substitutes B and inserts before H; B deletes C; then four good words until H
    one = align_words(reference, ["A X C D E F G Z H"])
    two = align_words(reference, ["A B D E F G H"])
    found = mapsswe(one, two)
    assert found.segments == 2  # {B, C} and {Z}: differences 1 - 1 and 1 - 0
    assert (found.mean, found.deviation) == pytest.approx((0.5, 0.5**0.5))


def test_mapsswe_of_segments_that_all_differ_alike_is_the_sign_test():
    right = ["ONE"] * 30
    for wrong, p in ((0, 1.0), (1, 1.0), (2, 0.5), (10, 2 * 0.5**10)):
        one, two = (align_words(right, ["TWO"] * k + ["ONE"] * (30 - k)) for k in (wrong, 0))
        found = mapsswe(one, two)
        assert (found.segments, found.deviation) == (wrong, 0) and found.p == pytest.approx(p)


def test_mapsswe_is_antisymmetric():
    references, one, two = pairs(n=300, seed=7, systems=2)
    a = [u.pairs for u in score_texts(references, one).utterances]
    b = [u.pairs for u in score_texts(references, two).utterances]
    forth, back = mapsswe(a, b), mapsswe(b, a)
    assert (forth.z, forth.p, forth.segments) == pytest.approx((-back.z, back.p, back.segments))


# --- against NIST's SCTK (Debian package sctk), where it is installed ---

needs_sctk = pytest.mark.skipif(shutil.which("sctk") is None, reason="sctk is not installed")


def sctk(command, folder):
    run = ["bash", "-c", command]
    done = subprocess.run(run, cwd=folder, capture_output=True, encoding="latin-1", timeout=60, check=True)
    return done.stdout


def write_trn(folder, **systems):
    for name, some in systems.items():
        (folder / f"{name}.trn").write_text("".join(f"{text} ({i})\n" for i, text in some.items()))


@needs_sctk
def test_words_are_cut_into_segments_as_sclite_cuts_them(tmp_path):
    rng = np.random.default_rng(5)
    stm, ctm = [], []
    for file in range(20):
        at = 0.0
        for _ in range(15):
            start = at + rng.choice([0, rng.uniform(0, 2)])
            at = start + rng.uniform(0.5, 4)
            said = " ".join(rng.choice(list("ABC"), rng.integers(1, 6)))
            ignored = str(rng.choice(["IGNORE_TIME_SEGMENT_IN_SCORING", "ignore_time_segment_in_scoring"]))
            said = said if rng.random() < 0.9 else ignored
            stm.append(f"f{file:02} 1 s{rng.integers(3)} {start:.3f} {at:.3f} <o> {said}\n")
        for middle in np.sort(rng.uniform(0.1, at + 1, 60)):
            ctm.append(f"f{file:02} 1 {middle - 0.1:.3f} 0.2 {rng.choice(list('ABC'))}\n")
    (tmp_path / "ref.stm").write_text("".join(stm))
    (tmp_path / "hyp.ctm").write_text("".join(ctm))
    out = sctk("sctk sclite -r ref.stm stm -h hyp.ctm ctm -o pralign stdout", tmp_path)
    theirs = re.findall(r"Scores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", out)
    references = read_transcripts(tmp_path / "ref.stm")
    cut = read_transcripts(tmp_path / "hyp.ctm").within(references.segments)
    ours = score_texts(references.texts, cut.texts, method="sclite")
    assert not ours.missing and not ours.unknown
    counts = [
        (u.scores.hits, u.scores.substitutions, u.scores.deletions, u.scores.insertions)
        for u in ours.utterances
    ]
    assert sorted(tuple(map(int, some)) for some in theirs) == sorted(counts)


@needs_sctk
@pytest.mark.parametrize("rate", [0.1, 0.35, 0.9])
def test_counts_equal_sclite_on_1000_random_pairs(tmp_path, rate):
    references, hypotheses = pairs(rate=rate, seed=11)
    write_trn(tmp_path, ref=references, hyp=hypotheses)
    out = sctk("sctk sclite -r ref.trn trn -h hyp.trn trn -i rm -s -o pralign stdout", tmp_path)
    ids = re.findall(r"^id: \((.*)\)$", out, re.M)
    found = re.findall(r"^Scores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", out, re.M)
    theirs = {i: tuple(map(int, c)) for i, c in zip(ids, found, strict=True)}
    assert len(theirs) == 1000
    ours = score_texts(references, hypotheses, method="sclite")
    for u in ours.utterances:
        s = u.scores
        assert (s.hits, s.substitutions, s.deletions, s.insertions) == theirs[u.id]
    # with jiwer's weights the kinds of errors may differ, the number hardly ever does
    jiwers = score_texts(references, hypotheses)
    differing = sum(sum(theirs[u.id][1:]) != u.scores.errors for u in jiwers.utterances)
    assert differing <= (0 if rate < 0.5 else 5)


@needs_sctk
def test_mapsswe_equals_sc_stats(tmp_path):
    references, one, two = pairs(seed=12, systems=2)
    # sc_stats forgets what only the second system puts in after the last word
    two = {i: cut_after(references[i], text) for i, text in two.items()}
    write_trn(tmp_path, ref=references, a=one, b=two)
    align = "sctk sclite -r ref.trn trn -h a.trn trn a -h b.trn trn b -i rm -s -o sgml stdout"
    out = sctk(f"{align} | sctk sc_stats -p -t mapsswe -v -n -", tmp_path)
    line = re.search(r"# segs: (\d+)\).*mean: *(\S+)\).*std dev: *(\S+)\).*Z Stat: *(\S+)\)", out)
    results = [score_texts(references, some, method="sclite") for some in (one, two)]
    found = mapsswe(*([u.pairs for u in r.utterances] for r in results))
    assert found.segments == int(line[1])
    assert [found.mean, found.deviation, found.z] == pytest.approx(
        [float(x) for x in line.groups()[1:]], abs=6e-4
    )


def cut_after(reference, hypothesis):
    (aligned,) = align_words([reference], [hypothesis], "sclite")
    while aligned and aligned[-1][0] is None:
        aligned = aligned[:-1]
    return " ".join(h for _, h in aligned if h is not None)
