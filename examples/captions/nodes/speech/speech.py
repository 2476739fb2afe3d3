"""Streams recorded speech: LibriVox clips that come with a Debian package."""

import re
import wave
from pathlib import Path

import numpy as np
from medianode import Frame, Node

CLIPS = "/usr/share/pocketsphinx/test/data/librivox"
RATE = 16000


class Clips(Node):
    """Sends the clips one after the other, as one stream of audio.

    A json frame ends each clip: {"file": …, "start": seconds, "reference": what
    was said}. It goes through the same connection as the audio, which keeps
    their order.
    """

    def produce(self):
        """Runs once a session; every frame that it yields is sent."""
        clips = Path(self.params.get("path", CLIPS))
        sent = 0  # samples of all clips: the clock of the stream
        for name, reference in references(clips / "transcription"):
            start = sent
            for pcm in chunks(clips / f"{name}.wav", self.params["frame_ms"]):
                yield Frame.from_audio(pcm, sample_rate=RATE, pts_ns=nanoseconds(sent))
                sent += len(pcm)
            clip = {"file": name, "start": start / RATE, "reference": reference}
            yield Frame.from_json(clip, pts_ns=nanoseconds(sent))


def references(path):
    """Yield the name of each clip and the words that are said in it."""
    for line in path.read_text().splitlines():
        yield re.fullmatch(r"<s> (?P<words>.*) </s> \((?P<name>.*)\)", line).group("name", "words")


def chunks(path, milliseconds):
    """Yield the samples of a file as arrays of int16, so many milliseconds at a time."""
    with wave.open(str(path)) as clip:
        if (clip.getframerate(), clip.getnchannels(), clip.getsampwidth()) != (RATE, 1, 2):
            raise ValueError(f"{path}: want {RATE} Hz, one channel, 16 bits: {clip.getparams()}")
        while True:
            pcm = clip.readframes(RATE * milliseconds // 1000)
            if not pcm:
                return
            yield np.frombuffer(pcm, dtype="<i2")


def nanoseconds(samples):
    """Return the time of a sample, exact."""
    return samples * 1_000_000_000 // RATE
