"""Speech to commands with pocketsphinx and a grammar."""

from pathlib import Path

from medianode import Frame, Node
from pocketsphinx import Decoder, Endpointer

RATE = 16000


class Ears(Node):
    """Finds where somebody speaks in a stream of audio, and gives the command that was said."""

    def load(self):
        """Runs once a container: the model stays in memory."""
        grammar = Path(__file__).parent / self.params["grammar"]
        self.decoder = Decoder(samprate=RATE, jsgf=str(grammar), loglevel="FATAL")

    def open(self, session):
        """Runs once a session: what is half heard belongs to it alone."""
        self.endpointer = Endpointer(sample_rate=RATE)
        self.heard = bytearray()

    def process(self, frame):
        """Hands the audio on in the pieces that the endpointer wants."""
        if frame.sample_rate != RATE or frame.channels != 1 or frame.format != "s16":
            raise ValueError(f"want {RATE} Hz, one channel, s16: put a Resample before this node, got {frame}")
        self.heard += frame.data
        size = self.endpointer.frame_bytes
        while len(self.heard) > size:
            piece, self.heard = bytes(self.heard[:size]), self.heard[size:]
            yield from self.listen(piece)

    def listen(self, piece):
        """Yield a command if this piece ends one."""
        before = self.endpointer.in_speech
        speech = self.endpointer.process(piece)
        if speech is None:
            return
        if not before:
            self.decoder.start_utt()
        self.decoder.process_raw(speech)
        if not self.endpointer.in_speech:
            yield from self.understand()

    def understand(self):
        """Yield what was said between two silences, if it is a command."""
        self.decoder.end_utt()
        start, end = self.endpointer.speech_start, self.endpointer.speech_end
        said = self.decoder.hyp()
        if said is None:
            self.log.warning("speech, but no command", start_s=round(start, 2), end_s=round(end, 2))
            return
        self.metrics.counter("commands").inc()
        command = {"command": said.hypstr, "start": round(start, 2), "end": round(end, 2)}
        yield Frame.from_json(command, pts_ns=int(start * 1e9))

    def close(self):
        """Runs at the end of the stream: the last words may have no silence after them."""
        rest = self.endpointer.end_stream(bytes(self.heard)) if self.endpointer.in_speech else None
        if rest is not None:
            self.decoder.process_raw(rest)
            yield from self.understand()
