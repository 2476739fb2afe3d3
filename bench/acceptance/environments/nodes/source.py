import time

import numpy as np
from medianode import Frame, Node


class Old(Node):
    """Numpy 1: np.asfarray is gone from numpy 2."""

    def produce(self):
        picture = np.asfarray(range(8)).astype(np.uint8).repeat(115200)
        begin = time.monotonic()
        for number in range(self.params["frames"]):
            time.sleep(max(0.0, begin + number / 50 - time.monotonic()))
            yield Frame.from_tensor(picture, pts_ns=time.monotonic_ns())
