import json

import pytest

REF = "THE CAT SAT (ann-1)\nON THE MAT (ann-2)\nAND THAT (bob-1)\n"


@pytest.fixture
def files(tmp_path):
    def make(hyp, name="hyp.jsonl"):
        (tmp_path / "ref.trn").write_text(REF)
        (tmp_path / name).write_text(hyp)
        return tmp_path / "ref.trn", tmp_path / name

    return make


def lines(**texts):
    return "".join(json.dumps({"id": i.replace("_", "-"), "text": t}) + "\n" for i, t in texts.items())


def test_counts_rate_and_interval(run, files):
    done = run("score", *files(lines(ann_1="THE CAT SAT", ann_2="ON MATS", bob_1="AND THAT")))
    assert done.code == 0
    assert done.out.splitlines()[0] == "%WER 25.00 [ 2 / 8, 0 ins, 1 del, 1 sub ]"
    assert "speakers" not in done.out and "95% interval" in done.out
    assert done.err == ""


def test_missing_and_unknown_are_named(run, files):
    ref, hyp = files(lines(ann_1="THE CAT SAT", bob_1="AND THAT", zoe="HI"))
    done = run("score", ref, hyp)
    assert done.code == 1
    assert "3 del" in done.out
    assert f"{hyp}: utterance ann-2: no hypothesis, counted as deleted" in done.err
    assert f"{hyp}: utterance zoe: no reference, not counted" in done.err


def test_json(run, files):
    done = run(
        "score", *files(lines(ann_1="THE CAT SAT", ann_2="ON THE MAT")), "--json", "--unit", "character"
    )
    figures = json.loads(done.out)
    assert (figures["unit"], figures["reference"], figures["del"], figures["missing"]) == (
        "character", 29, 8, ["bob-1"],
    )  # fmt: skip
    assert figures["rate"] == pytest.approx(800 / 29)


def test_english_numbers_are_not_read_into_another_language(run, tmp_path):
    ref, hyp = tmp_path / "ref.trn", tmp_path / "hyp.trn"
    ref.write_text("es ist 3 uhr (a)\n")
    hyp.write_text("Es ist three Uhr. (a)\n")
    for language, wrong in (("en", 0), ("de", 1)):
        done = run("score", ref, hyp, "--normalize", "--language", language, "--json")
        assert json.loads(done.out)["sub"] == wrong


def test_an_accent_is_one_however_it_is_encoded(run, tmp_path):
    (tmp_path / "ref.trn").write_text("\u00e9t\u00e9 ba\u0303 (a)\n")
    (tmp_path / "hyp.trn").write_text("e\u0301te\u0301 b\u00e3 (a)\n")
    (tmp_path / "ref.stm").write_text("a 1 x 0 2 \u00e9t\u00e9\n")
    (tmp_path / "hyp.ctm").write_text("a 1 0.5 0.3 e\u0301te\u0301\n")
    assert json.loads(run("score", tmp_path / "ref.stm", tmp_path / "hyp.ctm", "--json").out)["rate"] == 0
    for unit in ("word", "character"):
        done = run("score", tmp_path / "ref.trn", tmp_path / "hyp.trn", "--unit", unit, "--json")
        assert json.loads(done.out)["rate"] == 0


def test_words_are_not_taken_for_phonemes(run, files, tmp_path):
    done = run(
        "score", *files(lines(ann_1="THE CAT SAT", ann_2="ON THE MAT", bob_1="AND THAT")), "-u", "phoneme"
    )
    assert done.err == ""  # of three letters at most
    for name in ("ref.trn", "hyp.trn"):
        (tmp_path / name).write_text("THOSE WORDS HAVE LETTERS (a)\n")
    done = run("score", tmp_path / "ref.trn", tmp_path / "hyp.trn", "-u", "phoneme")
    assert "these look like words, not phonemes" in done.err


@pytest.mark.parametrize("arguments", [["transcribe", "", "--model", "x"], ["score", "a", ""], [""]])
def test_an_empty_argument_is_no_folder(run, arguments):
    done = run(*arguments)
    assert done.code == 2 and "an empty argument; a variable of the shell may be unset" in done.err


def test_normalize_and_alignments(run, files, tmp_path):
    ref, hyp = files(lines(ann_1="the cat, sat!", ann_2="On the mat.", bob_1="and that"))
    assert run("score", ref, hyp).out.startswith("%WER 100.00")
    done = run("score", ref, hyp, "--normalize", "--alignments", tmp_path / "errors.txt")
    assert done.out.startswith("%WER 0.00")
    assert (
        "id: (ann-1)\nSpeaker: ann\nScores: (#C #S #D #I) 3 0 0 0\nREF:  THE CAT SAT"
        in (tmp_path / "errors.txt").read_text()
    )


def test_sclite_alignment(run, tmp_path):
    (tmp_path / "r.trn").write_text("A B C D (1)\n")
    (tmp_path / "h.trn").write_text("B E C F (1)\n")
    assert "0 ins, 0 del, 3 sub" in run("score", tmp_path / "r.trn", tmp_path / "h.trn").out
    assert "1 ins, 1 del, 1 sub" in run("score", tmp_path / "r.trn", tmp_path / "h.trn", "--sclite").out


def test_bad_file_and_wrong_use(run, files, tmp_path):
    ref, hyp = files("A (1)\nB (1)\n", "hyp.trn")
    done = run("score", ref, hyp)
    assert done.code == 1 and "hyp.trn:2: utterance 1: appears twice" in done.err
    assert run("score", ref, tmp_path / "none.trn").code == 1
    assert run("score", ref).code == 2
    assert run("score", ref, hyp, "--unit", "sentence").code == 2
    assert run("score", ref, ref, "--sclite", "-u", "character").code == 2


def test_a_hyp_jsonl_of_a_run_as_reference_is_what_was_said(run, files):
    entries = [("a-1", "THE CAT", "THE CAT SAT"), ("a-2", "ON", "ON")]
    text = "".join(json.dumps({"id": i, "text": t, "reference": r}) + "\n" for i, t, r in entries)
    _, path = files(text)
    assert run("score", path, path).out.startswith("%WER 25.00 [ 1 / 4, 0 ins, 1 del, 0 sub ]")


def test_errors_of_letter_case_are_told(run, files):
    done = run("score", *files(lines(ann_1="the cat sat", ann_2="on the mat", bob_1="AND THIS")))
    assert done.out.startswith("%WER 87.50") and done.err == (
        "asr: most errors are of letter case alone; try --normalize\n"
    )
    assert not run("score", *files(lines(ann_1="A DOG SAT", ann_2="on the mat", bob_1="OR THIS"))).err


def test_one_utterance_has_no_interval(run, tmp_path):
    (tmp_path / "ref.trn").write_text("THE CAT SAT (ann-1)\n")
    (tmp_path / "hyp.trn").write_text("THE CAT (ann-1)\n")
    assert "unknown" in run("score", tmp_path / "ref.trn", tmp_path / "hyp.trn").out


def test_segments_of_an_stm(run, tmp_path):
    ref, hyp = tmp_path / "r.stm", tmp_path / "h.ctm"
    ref.write_text("f 1 ann 0 2 A B\nf 1 bob 2 4 C\ng 1 eve 0 1 D\n")
    hyp.write_text("f 1 0.1 0.2 A\nf 1 2.5 0.2 C\n")
    done = run("score", ref, hyp)
    assert "2 / 4, 0 ins, 2 del, 0 sub" in done.out and done.code == 1
    assert "utterance g-1-0.00-1.00: no hypothesis, counted as deleted" in " ".join(done.err.split())
    assert "f-1" not in done.err
    (tmp_path / "h.trn").write_text("A B (f)\n")
    assert (
        "h.trn: no times; segments of an .stm need the hypotheses as .ctm"
        in run("score", ref, tmp_path / "h.trn").err
    )
