"""A small picture of each large one."""

import time

import cv2
from medianode import Node


class Preview(Node):
    """Scales pictures down and writes them as i420, which players want."""

    def process(self, frame):
        """The result is written where it is sent from: shared memory, and no copy."""
        width, height = self.params["width"], self.params["height"]
        time.sleep(self.params["delay_ms"] / 1000)
        small = cv2.resize(frame.numpy(), (width, height), interpolation=cv2.INTER_AREA)
        with self.loan_video(width, height, "i420", pts_ns=frame.pts_ns) as out:
            cv2.cvtColor(small, cv2.COLOR_RGB2YUV_I420, dst=out.numpy())
