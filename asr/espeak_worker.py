"""The process that holds espeak-ng (a GPL library): JSON lines in, a JSON line and PCM bytes out.

Run by path with the standard library alone; it imports nothing of the toolkit. Every request is served by a
child forked from the freshly initialised library, because espeak-ng carries state (flutter, noise, pitch
phase) from one utterance into the next: this way the same request always gives the same samples.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

AUDIO_OUTPUT_SYNCHRONOUS = 2  # the other modes start threads, which a forked child has not
PHONEME_EVENTS, PHONEME_IPA, DONT_EXIT = 0x0001, 0x0002, 0x8000
BUFFER_MS = 500
CHARS_UTF8 = 1
RATE, PITCH, RANGE = 1, 3, 4
EVENT_WORD, EVENT_PHONEME = 1, 7


class Identity(ctypes.Union):
    """What an event is about: a word's number or a phoneme's name."""

    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h, API revision 12."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", Identity),
    )


Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(Event))


def speak(library: Any, text: str, rate: int, pitch: int, pitch_range: int) -> tuple[dict[str, Any], bytes]:
    """Words as (first character, length, sample), phonemes as (IPA, character, sample), and PCM16 samples."""
    pieces: list[bytes] = []
    words: list[tuple[int, int, int]] = []
    phones: list[tuple[str, int, int]] = []

    def collect(samples: int | None, count: int, events: Any) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        i = 0
        while events[i].type:
            event = events[i]
            if event.type == EVENT_WORD:
                words.append((event.text_position - 1, event.length, event.sample))
            elif event.type == EVENT_PHONEME:
                name = bytes(event.id.string).decode("utf-8", "ignore")
                phones.append((name, event.text_position - 1, event.sample))
            i += 1
        return 0

    callback = Callback(collect)  # a name of its own, so that it outlives the synthesis
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetParameter(RATE, rate, 0)
    library.espeak_SetParameter(PITCH, pitch, 0)
    library.espeak_SetParameter(RANGE, pitch_range, 0)
    library.espeak_ng_SetRandSeed(1)  # the breath of some voices; the library seeds it with the time of day
    data = text.encode()
    status = library.espeak_Synth(data, len(data) + 1, 0, 1, 0, CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    if status:
        raise RuntimeError(f"espeak_Synth returned {status}")
    return {"words": words, "phones": phones}, b"".join(pieces)


def phonemes(library: Any, texts: list[str]) -> list[str]:
    """IPA of each text, phonemes separated by spaces."""
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    mode = PHONEME_IPA | ord("_") << 8
    found = []
    for text in texts:
        rest = ctypes.cast(ctypes.c_char_p(text.encode()), ctypes.c_void_p)
        clauses = []
        while rest.value:
            clause = library.espeak_TextToPhonemes(ctypes.byref(rest), CHARS_UTF8, mode)
            clauses.append(clause.decode("utf-8", "ignore"))
        found.append(" ".join(" ".join(clauses).replace("_", " ").split()))
    return found


def answer(library: Any, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Serve one request."""
    if library.espeak_SetVoiceByName(request["voice"].encode()):
        raise ValueError(f"unknown voice {request['voice']!r}")
    if "texts" in request:
        return {"phonemes": phonemes(library, request["texts"])}, b""
    return speak(library, request["text"], request["rate"], request["pitch"], request["range"])


def reply(header: dict[str, Any], payload: bytes = b"") -> None:
    """Write a header line, which tells the size of the payload, and the payload."""
    data = json.dumps({**header, "bytes": len(payload)}).encode() + b"\n" + payload
    while data:
        data = data[os.write(1, data) :]


def main() -> None:
    """Serve the lines of stdin until it closes."""
    library_path, data_path = sys.argv[1:3]
    library = ctypes.CDLL(library_path)
    options = PHONEME_EVENTS | PHONEME_IPA | DONT_EXIT
    sample_rate = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, data_path.encode(), options)
    reply({"sample_rate": sample_rate} if sample_rate > 0 else {"error": "espeak_Initialize failed"})
    for line in sys.stdin.buffer:
        child = os.fork()
        if child == 0:
            try:
                reply(*answer(library, json.loads(line)))
            except Exception as e:
                reply({"error": str(e) or type(e).__name__})
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            reply({"error": f"espeak-ng crashed (signal {status & 127})"})


if __name__ == "__main__":
    main()
