"""The example without a pipeline: the same two classes in one plain loop.

It writes captions.txt and captions.jsonl into the directory it is given. They
must be equal to what the pipeline writes: a test compares them.

    PYTHONPATH=nodes/speech:nodes/asr python offline.py DIRECTORY
"""

import sys
from pathlib import Path

from asr import Recognizer
from speech import Clips


def main(directory):
    clips, recognizer = Clips(), Recognizer()
    clips.params = {"frame_ms": 50}
    recognizer.load()
    recognizer.open("offline")
    with open(directory / "captions.txt", "w") as text, open(directory / "captions.jsonl", "w") as captions:
        files = {"text": text, "captions": captions}
        for frame in clips.produce():
            for result in recognizer.process(frame):
                print(result.text, file=files[result.port])
    recognizer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
