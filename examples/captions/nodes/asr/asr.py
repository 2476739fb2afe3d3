"""Speech recognition with pocketsphinx, and how good it was."""

import numpy as np
from medianode import Frame, Node
from pocketsphinx import Decoder
from wer import word_errors

HOP = 0.01  # seconds of speech from one frame of the decoder to the next


class Recognizer(Node):
    """Turns each utterance into a caption: on port text the words, on port captions all about it.

    An utterance is audio up to a json frame with the keys file, start (seconds)
    and reference.
    """

    def load(self):
        """Runs once a container. The model stays in memory for all sessions."""
        # Sound levels are measured over the whole utterance ("batch"), not
        # guessed from those before it: a caption depends on its own audio only.
        self.decoder = Decoder(samprate=16000, cmn="batch", loglevel="FATAL")

    def open(self, session):
        """Runs once a session: what is set here belongs to this session alone."""
        self.speech = []
        self.errors = self.words = 0

    def process(self, frame):
        """Collects audio; a json frame ends the utterance."""
        if frame.kind == "audio":
            # A copy: the frame's memory goes back to its sender.
            self.speech.append(frame.numpy().copy())
            return
        clip = frame.json
        text, begin, end = self.recognize(self.speech)
        self.speech.clear()
        errors = word_errors(clip["reference"].split(), text.split())
        self.errors += errors
        self.words += len(clip["reference"].split())
        caption = {
            "text": text,
            "start": round(clip["start"] + begin, 2),
            "end": round(clip["start"] + end, 2),
            "reference": clip["reference"],
            "errors": errors,
            "file": clip["file"],
        }
        yield Frame.from_text(text, port="text", pts_ns=frame.pts_ns)
        yield Frame.from_json(caption, port="captions", pts_ns=frame.pts_ns)

    def recognize(self, speech):
        """Return the words in speech, and where the first begins and the last ends, in seconds."""
        if not speech:
            return "", 0, 0
        self.decoder.reinit_feat()  # forgets the noise of the utterance before
        self.decoder.start_utt()
        self.decoder.process_raw(np.concatenate(speech).tobytes(), False, True)
        self.decoder.end_utt()
        # Besides words there are pauses, noises and sentence ends: <sil>, [NOISE], <s>.
        spoken = [s for s in self.decoder.seg() if s.word[0] not in "<["]
        if not spoken:
            return "", 0, 0
        return self.decoder.hyp().hypstr, spoken[0].start_frame * HOP, (spoken[-1].end_frame + 1) * HOP

    def close(self):
        """Runs at the end of a session. What a node prints is in its log."""
        if self.words:
            print(f"word error rate {100 * self.errors / self.words:.1f} % over {self.words} words")
