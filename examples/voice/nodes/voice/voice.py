"""Text to speech with espeak-ng, a program of the image and no Python package."""

import io
import subprocess
import time
import wave

import numpy as np
from medianode import Frame, Node

FRAME_S = 0.05


class Voice(Node):
    """Speaks each line of text, with a pause after it."""

    def open(self, session):
        """Runs once a session: the clock of the stream counts samples."""
        self.sent = 0

    def process(self, frame):
        """Yields the speech in short frames, so that whoever listens need not wait for its end."""
        pcm, rate = self.speak(frame.text)
        pause = np.zeros(int(self.params["pause_s"] * rate), np.int16)
        pcm = np.concatenate([pcm, pause])
        step = int(FRAME_S * rate)
        for start in range(0, len(pcm), step):
            part = pcm[start : start + step]
            yield Frame.from_audio(part, sample_rate=rate, pts_ns=self.sent * 1_000_000_000 // rate)
            self.sent += len(part)

    def speak(self, text):
        """Return the samples and their rate in Hz."""
        command = ["espeak-ng", "-v", self.params["voice"], "-s", str(self.params["words_per_minute"]), "--stdout"]
        began = time.monotonic()
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
        self.metrics.histogram("speak_s").observe(time.monotonic() - began)
        with wave.open(io.BytesIO(done.stdout)) as speech:
            return np.frombuffer(speech.readframes(speech.getnframes()), dtype="<i2"), speech.getframerate()
