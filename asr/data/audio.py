"""Reading recordings as float32 mono waveforms, with errors that name the file and what is wrong with it."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
import torchaudio
from lhotse.cut import Cut

from asr.errors import AsrError, AudioError

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".sph", ".aiff", ".aif", ".au", ".w64", ".caf")
# libsndfile does not read these: whoever has them is told so
UNREADABLE = (".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr", ".3gp", ".mka")
BLOCK = 1 << 18  # samples read at once: 16 s at 16 kHz, 1 MB
UNEVEN = 2000  # samples that a resampling filter repeats after, above which soxr resamples without a table
SILENT = 1e-4  # peak: -80 dB below full scale
TOLERANCE_S = 0.1  # encoders pad, and mp3 headers are estimates: less than this missing is no damage


@dataclass(frozen=True)
class AudioFacts:
    """What one pass over a recording shows.

    Attributes
    ----------
    sample_rate
        Samples per second of each channel.
    channels
        Number of channels.
    samples
        Samples per channel that could be decoded.
    peak
        Largest absolute sample of the channels' average, full scale being 1.
    digest
        SHA-256 (hex) of the samples: equal for equal sound in any lossless format.
    peaks
        Largest absolute sample of each channel.
    """

    sample_rate: int
    channels: int
    samples: int
    peak: float
    digest: str
    peaks: tuple[float, ...] = ()

    def is_silent(self, channel: int | None = None) -> bool:
        """Whether there is nothing to hear in one channel, or in the average of all."""
        peak = self.peak if channel is None or channel >= len(self.peaks) else self.peaks[channel]
        return peak < SILENT

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / self.sample_rate


def resampled(waveform: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """(samples,) float32 at another rate; as it is where the rates are equal."""
    if source_rate == target_rate:
        return waveform
    given = np.ascontiguousarray(waveform, dtype=np.float32)
    if _uneven(source_rate, target_rate):
        return soxr.resample(given, source_rate, target_rate)
    return _resampler(source_rate, target_rate)(torch.from_numpy(given)).numpy()


def load_cut(cut: Cut, sample_rate: int) -> np.ndarray:
    """Waveform of a cut, (samples,) float32 in -1..1, at `sample_rate` Hz, channels averaged.

    Raises
    ------
    AudioError
        If the recording cannot be read, is empty or holds NaN; names file and utterance.
    """
    if not cut.has_recording:
        raise AudioError("has no recording", utterance=cut.id, fix="run `asr prepare` again")
    path = cut.recording.sources[0].source
    try:
        if _uneven(cut.sampling_rate, sample_rate):
            samples = soxr.resample(cut.load_audio().T, cut.sampling_rate, sample_rate).T
        else:
            samples = (cut.resample(sample_rate) if cut.sampling_rate != sample_rate else cut).load_audio()
    except Exception as e:  # lhotse wraps back-end errors of many kinds
        what, fix = "cannot be read", "run `asr check` on the corpus"
        try:
            inspect_audio(path)
        except AsrError as found:
            what, fix = found.what, found.fix or fix
        raise AudioError(what, path=path, utterance=cut.id, fix=fix) from e
    waveform = samples.mean(axis=0, dtype=np.float32) if samples.shape[0] > 1 else samples[0]
    if waveform.size == 0:
        raise AudioError("holds no samples", path=path, utterance=cut.id, fix="remove it from the corpus")
    if not np.isfinite(waveform).all():
        raise AudioError(
            "holds NaN or infinite samples", path=path, utterance=cut.id, fix="remove or repair it"
        )
    return np.ascontiguousarray(waveform, dtype=np.float32)


def read_audio(path: str | Path, sample_rate: int) -> np.ndarray:
    """Waveform of a file in any format and rate, (samples,) float32, at `sample_rate` Hz, channels averaged.

    The file is decoded, mixed and resampled block by block into one array, so that hours of audio need no
    more memory than the result.

    Raises
    ------
    AudioError
        If the file is missing, empty, no audio, cut short, or holds no or unusable samples.
    """
    path = Path(path)
    with _open(path) as sound:
        # a damaged header may promise anything: never reserve more than the bytes there are could hold
        promised = min(sound.frames, path.stat().st_size * 1024)
        waveform = np.empty(math.ceil(promised * sample_rate / sound.samplerate) + 1, dtype=np.float32)
        end = 0
        for piece in _stream(sound, path, sample_rate):
            if end + piece.size > waveform.size:
                waveform = np.concatenate([waveform[:end], np.empty(end + piece.size, dtype=np.float32)])
            waveform[end : end + piece.size] = piece
            end += piece.size
    return waveform[:end]


def change_speed(waveform: torch.Tensor, factor: float) -> torch.Tensor:
    """A waveform (samples,) played `factor` times as fast, pitch included.

    Reference
    ---------
    Ko et al. 2015, "Audio augmentation for speech recognition", section 2.
    """
    if factor == 1.0:
        return waveform
    return torchaudio.functional.resample(waveform, round(1000 * factor), 1000, lowpass_filter_width=4)


def stream_audio(path: str | Path, sample_rate: int) -> Iterator[np.ndarray]:
    """The pieces, each (samples,) float32, that `read_audio` would join; for recordings too long to hold.

    Raises
    ------
    AudioError
        As `read_audio` does, but what is wrong late in the file only shows there.
    """
    path = Path(path)
    with _open(path) as sound:
        yield from _stream(sound, path, sample_rate)


def inspect_audio(path: str | Path) -> AudioFacts:
    """Decode a whole file and tell what it holds.

    Raises
    ------
    AudioError
        As `read_audio` does.
    """
    path = Path(path)
    digest, peak, samples = hashlib.sha256(), 0.0, 0
    peaks: np.ndarray | float = 0.0
    with _open(path) as sound:
        for block in _blocks(sound, path):
            digest.update(block.data)
            heard = block.mean(axis=1)  # channels may cancel each other
            peak = max(peak, float(heard.max()), -float(heard.min()))
            peaks = np.maximum(peaks, np.abs(block).max(axis=0))
            samples += len(block)
        channels = tuple(map(float, np.atleast_1d(peaks)))
        return AudioFacts(sound.samplerate, sound.channels, samples, peak, digest.hexdigest(), channels)


def _open(path: Path) -> soundfile.SoundFile:
    """Open a file for reading after what can be told from its first bytes."""
    if path.is_fifo():
        raise AudioError("is a pipe, and audio is read more than once", path=path, fix="write it to a file")
    if not path.is_file():
        what = "is a folder, not an audio file" if path.is_dir() else "no such audio file"
        raise AudioError(what, path=path, fix="check the path")
    try:
        with open(path, "rb") as f:
            head = f.read(512)
    except OSError as e:
        raise AudioError(f"cannot be read ({e.strerror})", path=path, fix="check its permissions") from e
    if not head:
        raise AudioError("empty file (0 bytes)", path=path, fix="copy or download it again")
    try:
        sound = soundfile.SoundFile(path)
    except TypeError as e:  # soundfile takes .raw files only with their rate and format
        fix = "convert it (`sox -t raw -r RATE -e signed -b 16 -c 1 FILE.raw FILE.wav`)"
        raise AudioError("samples without a header, which would tell their rate", path=path, fix=fix) from e
    except soundfile.LibsndfileError as e:
        if _is_text(head):
            raise AudioError(
                "is text, not audio, whatever its name says", path=path, fix="give the recording"
            ) from e
        reason = e.error_string.strip().rstrip(".")
        # libsndfile's word for what its MP3 decoder gave up
        known = "" if reason.startswith("File does not exist") else f" ({reason})"
        fix = "convert it to wav, flac, ogg or mp3 (`ffmpeg -i FILE FILE.wav`)"
        raise AudioError(f"damaged, or not an audio file that can be read{known}", path=path, fix=fix) from e
    if sound.frames == 0:
        sound.close()
        raise AudioError("holds no samples", path=path, fix="record it again or leave it out")
    return sound


def _stream(sound: soundfile.SoundFile, path: Path, sample_rate: int) -> Iterator[np.ndarray]:
    """An open file as mono at `sample_rate` Hz."""
    mono = (block.mean(axis=1) if block.shape[1] > 1 else block[:, 0] for block in _blocks(sound, path))
    same = sound.samplerate == sample_rate
    return mono if same else _in_blocks(mono, sound.samplerate, sample_rate)


def _blocks(sound: soundfile.SoundFile, path: Path) -> Iterator[np.ndarray]:
    """Blocks (samples, channels) float32 of an open file; raises where it is cut short or holds NaN."""
    found = 0
    try:
        # SoundFile.blocks() would fill up what a decoder no longer gives with the sound of the block before
        while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
            found += len(block)
            if not np.isfinite(block).all():
                raise AudioError("holds NaN or infinite samples", path=path, fix="repair it or leave it out")
            yield block
    except soundfile.LibsndfileError as e:
        found = max(found, _decodable(path))
        if found >= sound.frames:
            raise AudioError(
                f"cannot be decoded ({e.error_string.strip()})", path=path, fix="convert it again"
            ) from e
    rate, promised = sound.samplerate, _promised(sound, path, found)
    if promised - found > TOLERANCE_S * rate:
        what = f"cut short: its header promises {promised / rate:.2f} s, {found / rate:.2f} s are there"
        raise AudioError(what, path=path, fix="copy or download it again")
    if sound.format == "MP3" and found == sound.frames and not _tells_length(path) and _is_undecoded(path):
        what = f"an MP3 of varying bit rate that does not tell its length: ends after {found / rate:.2f} s"
        raise AudioError(what, path=path, fix="convert it to FLAC (`ffmpeg -i FILE FILE.flac`)")
    if "Junk after the last page" in sound.extra_info:  # libsndfile's log of an Ogg stream, all kinds
        what = f"cut short in the middle of a page, after {found / rate:.2f} s"
        raise AudioError(what, path=path, fix="copy or download it again")


def _decodable(path: Path) -> int:
    """Samples that can be decoded before the first error."""
    found = 0
    try:
        with soundfile.SoundFile(path) as sound:
            while len(block := sound.read(1024, dtype="int16")):
                found += len(block)
    except soundfile.LibsndfileError:
        pass
    return found


def _promised(sound: soundfile.SoundFile, path: Path, found: int) -> float:
    """Samples per channel that the header of a file promises, of which `found` could be decoded.

    libsndfile believes the size of a file more than its header, but logs what the header says.
    """
    if sound.format == "NIST":
        with open(path, "rb") as f:
            count = re.search(rb"^sample_count -i (\d+)", f.read(1024), re.MULTILINE)
        return int(count[1]) if count else found
    if sound.format == "MP3":
        return sound.frames if _tells_length(path) else found
    line = r"^ *(?:data|SSND|Data [Ss]ize) *: (\d+)(?: \(should be (\d+)\))?"
    size = re.search(line, sound.extra_info, re.MULTILINE)
    stated, there = (int(size[1]), int(size[2] or path.stat().st_size)) if size else (0, 0)
    # programs that write to a pipe do not know the length: they leave the largest number, or nearly
    unknown = 0x7F000000 <= stated < 1 << 32
    return sound.frames if unknown or stated <= there else found * stated / max(there, 1)


def _tells_length(path: Path) -> bool:
    """Whether an MP3 has a frame that tells its length, which is an estimate elsewhere."""
    with open(path, "rb") as f:
        tag = f.read(10)
        # an ID3 tag, with pictures perhaps, has its size in four times seven bits
        f.seek(10 + sum(b << 7 * (3 - i) for i, b in enumerate(tag[6:])) if tag[:3] == b"ID3" else 0)
        first = f.read(1 << 12)
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


def _is_undecoded(path: Path) -> bool:
    """Whether there is more of an MP3 after the end that libsndfile estimates, where it stops decoding."""
    with open(path, "rb") as f, soundfile.SoundFile(f) as sound:
        sound.seek(sound.frames - 1)
        sound.read(1)
        # more than a frame, and than the shorter tag; the longer one may hold pictures
        return len(f.read().split(b"APETAGEX")[0]) > 1 << 12


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as e:
        if e.start < len(head) - 4:
            return False
        text = head[: e.start].decode("utf-8")
    return all(c.isprintable() or c.isspace() for c in text)


def _uneven(source_rate: int, target_rate: int) -> bool:
    """Whether two rates share so small a divisor that a filter for each phase takes gigabytes."""
    return source_rate // math.gcd(source_rate, target_rate) > UNEVEN


@functools.cache
def _resampler(source_rate: int, target_rate: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(source_rate, target_rate)


def _in_blocks(blocks: Iterator[np.ndarray], source_rate: int, target_rate: int) -> Iterator[np.ndarray]:
    """Windowed-sinc resampling of a stream, equal to resampling it in one piece.

    Input is handled in whole steps of source_rate / gcd samples, which become target_rate / gcd samples; each
    piece is computed with as much context as the filter is wide and only its inner part is kept.
    """
    if _uneven(source_rate, target_rate):
        stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32")
        yield from map(stream.resample_chunk, blocks)
        yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        return
    transform = _resampler(source_rate, target_rate)
    step, made = (rate // math.gcd(source_rate, target_rate) for rate in (source_rate, target_rate))
    context = step * (transform.width // step + 1)
    held = np.zeros(0, dtype=np.float32)
    before = 0  # samples at the start of `held` that are only context
    for block in itertools.chain(blocks, [None]):
        if block is not None:
            held = np.concatenate([held, block])
            steps = (held.size - before - context) // step
            if steps <= 0:
                continue
        out = transform(torch.from_numpy(held)).numpy()
        start = before // step * made
        if block is None:
            yield out[start:]
        else:
            yield out[start : start + steps * made]
            keep = max(0, before + steps * step - context)
            before += steps * step - keep
            held = held[keep:]
