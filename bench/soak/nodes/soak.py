import time

import numpy as np
from medianode import Frame, Node


class Camera(Node):
    """Gives a picture when its clock says so."""

    def load(self):
        height, width = self.params["height"], self.params["width"]
        noise = np.random.default_rng(1).integers(0, 256, (height + 8, width, 3), np.uint8)
        # Windows into one larger picture: all differ, none is made while running.
        self.pictures = [noise[i : i + height] for i in range(8)]

    def produce(self):
        period = 1 / self.params["fps"]
        begin = time.monotonic()
        for i in range(self.params["frames"]):
            early = begin + i * period - time.monotonic()
            if early > 0:
                time.sleep(early)
            yield Frame.from_video(self.pictures[i % 8], pts_ns=int(i * period * 1e9))


class Negative(Node):
    """Reads and writes every pixel."""

    def open(self, session):
        self.picture = None

    def process(self, frame):
        self.picture = np.invert(frame.numpy(), out=self.picture)
        return Frame.from_video(self.picture)
