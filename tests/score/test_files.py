import json

import pytest

from asr.errors import DataError
from asr.score import read_decoded, read_transcripts


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


TRN = ";; a comment\nTHE CAT (ann-1)\n(ann-2)\n\nA (HM) B (bob_1)\r\n"
JSONL = '{"id": "ann-1", "text": "THE CAT", "speaker": "ann"}\n{"id": 2, "text": "", "speaker": 7}\n'
CTM = ";; late words first\nf1 1 1.50 0.2 CAT 0.9\nf1 1 0.10 0.2 THE\nf2 A 0 1 A\nf2 B 0.5 1 B\n"


@pytest.mark.parametrize("name", ["x.trn", "x.txt"])
def test_trn(tmp_path, name):
    read = read_transcripts(written(tmp_path, name, TRN))
    assert read.texts == {"ann-1": "THE CAT", "ann-2": "", "bob_1": "A (HM) B"}
    assert read.speakers == {"ann-1": "ann", "ann-2": "ann", "bob_1": "bob"}


@pytest.mark.parametrize("name", ["x.jsonl", "x"])
def test_jsonl(tmp_path, name):
    read = read_transcripts(written(tmp_path, name, JSONL))
    assert read.texts == {"ann-1": "THE CAT", "2": ""}
    assert read.speakers == {"ann-1": "ann", "2": "7"}


@pytest.mark.parametrize("name", ["x.ctm", "x.words"])
def test_ctm_in_order_of_time_and_by_channel(tmp_path, name):
    read = read_transcripts(written(tmp_path, name, CTM))
    assert read.texts == {"f1": "THE CAT", "f2-A": "A", "f2-B": "B"}
    assert read.speakers == {}


@pytest.mark.parametrize("name", ["text", "hyp.text"])
def test_kaldi_text(tmp_path, name):
    read = read_transcripts(written(tmp_path, name, "ann-1 THE CAT\nann-2\nbob-1  A  (HM)\n"))
    assert read.texts == {"ann-1": "THE CAT", "ann-2": "", "bob-1": "A (HM)"}
    assert read.speakers == {"ann-1": "ann", "ann-2": "ann", "bob-1": "bob"}


STM = """;; labels, a silence, and a stretch that is not scored
f1 1 ann 0.0 2.0 <o,f0,female> A B C
f1 1 bob 4.0 6.0 <o> D E F
f1 1 ann 6.0 7.0 G
f1 1 bob 7.0 7.5
f1 1 bob 8.0 9.0 <o> IGNORE_TIME_SEGMENT_IN_SCORING
f1 1 bob 9.0 10.0 <o> H I
f2 1 eve 0.0 1.0 J
"""


@pytest.mark.parametrize("name", ["x.stm", "x.seg"])
def test_stm(tmp_path, name):
    read = read_transcripts(written(tmp_path, name, STM))
    assert read.texts == {
        "f1-1-0.00-2.00": "A B C",
        "f1-1-4.00-6.00": "D E F",
        "f1-1-6.00-7.00": "G",
        "f1-1-7.00-7.50": "",
        "f1-1-9.00-10.00": "H I",
        "f2-1-0.00-1.00": "J",
    }
    assert list(read.speakers.values()) == ["ann", "bob", "ann", "bob", "bob", "eve"]


def test_a_speaker_with_a_number_makes_no_ctm(tmp_path):
    read = read_transcripts(written(tmp_path, "x.seg", "f 1 1034 0.0 2.0 HELLO\nf 1 1034 2.0 3.0 A B\n"))
    assert read.texts == {"f-1-0.00-2.00": "HELLO", "f-1-2.00-3.00": "A B"}


def test_words_of_a_ctm_by_the_segments_of_an_stm(tmp_path):
    # in order: mid of X1 between two segments, F's middle is the end of its segment, X3 in no segment's
    # time, X4 in one that is not scored, X5 after all of them, Y in a file without reference
    words = "A 0, B 0.5, C 1, X1 2.5, D 4, F 5.8, G 6.3, X3 7.7, X4 8.3, H 9.3, X5 11".split(", ")
    rows = [f"f1 1 {start} 0.4 {word}\n" for word, start in map(str.split, words)]
    hypotheses = read_transcripts(written(tmp_path, "h.ctm", "".join([*reversed(rows), "f3 1 0 1 Y\n"])))
    found = hypotheses.within(read_transcripts(written(tmp_path, "r.stm", STM)).segments)
    assert found.texts == {
        "f1-1-0.00-2.00": "A B C",
        "f1-1-4.00-6.00": "X1 D",
        "f1-1-6.00-7.00": "F G",
        "f1-1-7.00-7.50": "",
        "f1-1-9.00-10.00": "H X5",
        "f3": "",
    }


def test_ids_without_speaker_give_none(tmp_path):
    assert read_transcripts(written(tmp_path, "x.trn", "A (ann-1)\nB (2)\n")).speakers == {}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x.trn", "A (1)\nB (1)\n", r"x.trn:2: utterance 1: appears twice"),
        (
            "x.jsonl",
            '{"id": "1", "text": ""}\n{"id": "1", "text": ""}',
            "x.jsonl:2: utterance 1: appears twice",
        ),
        ("x.trn", "A (1)\nB\n", r"x.trn:2: no \(id\)"),
        ("x.trn", "{ A / B } (1)\n", "x.trn:1: alternatives"),
        ("x.jsonl", '{"id": "1", "text": "A"}\nnonsense\n', "x.jsonl:2: not JSON"),
        ("x.jsonl", '{"text": "A"}\n', 'x.jsonl:1: no "id"'),
        ("x.jsonl", '["id"]\n', 'x.jsonl:1: no "id"'),
        ("x.jsonl", '{"id": "u", "text": null}\n', 'x.jsonl:1: utterance u: no "text"'),
        ("x.ctm", "f 1 zero 1 A\n", "x.ctm:1: not `id channel start length word`"),
        ("x.ctm", "f 1 * * <ALT_BEGIN>\n", "x.ctm:1"),
        ("x.ctm", "f 1 0 1 A\nf 2 0 1 B\nf-1 1 0 1 C\n", "x.ctm:3: utterance f-1: appears twice"),
        ("x", "hello world\n", "x:1: no transcripts of a known format"),
        ("x.stm", "f 1 ann 0 1\nf 1 ann one 2 A\n", "x.stm:2: not `id channel speaker start end words`"),
        ("x.stm", "f 1 ann 2 1 A\n", "x.stm:1: begins at 2 s, ends at 1 s"),
        ("x.stm", "f 1 ann 0 2 A\nf 1 bob 1 3 B\n", "x.stm: utterance f: channel 1 has two segments at 1 s"),
        ("x.stm", "f 1 ann 0 2 A { B / C }\n", "x.stm:1: alternatives"),
        ("text", "u1 A\nu1 B\n", "text:2: utterance u1: appears twice"),
        ("x.trn", "\n;; nothing\n", "holds no utterance"),
        ("x.trn", b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, says):
    with pytest.raises(DataError, match=says):
        read_transcripts(written(tmp_path, name, text))


def test_line_separators_within_a_text_end_no_line(tmp_path):
    entries = [{"id": "a", "text": "THE\u2028CAT\u0085SAT"}, {"id": "b", "text": "A\u2029DOG"}]
    text = "".join(json.dumps(e, ensure_ascii=False) + "\r\n" for e in entries)
    assert read_transcripts(written(tmp_path, "x.jsonl", text)).texts == {e["id"]: e["text"] for e in entries}


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_transcripts(tmp_path / "none.trn")


def test_decoded_split_brings_its_references(tmp_path):
    entry = {"id": "u", "text": "A", "reference": "A B", "speaker": "s"}
    folder = tmp_path / "decode" / "test"
    folder.mkdir(parents=True)
    written(folder, "hyp.jsonl", json.dumps(entry))
    assert read_decoded(tmp_path, "test").references == {"u": "A B"}
    with pytest.raises(DataError, match="'dev' was not decoded by this run"):
        read_decoded(tmp_path, "dev")
    written(folder, "hyp.jsonl", '{"id": "u", "text": "A"}')
    with pytest.raises(DataError, match="utterance u: no reference"):
        read_decoded(tmp_path, "test")
