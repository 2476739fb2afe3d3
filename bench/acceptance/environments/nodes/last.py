import time

from medianode import Frame, Node


class Plain(Node):
    """Python 3.9 without numpy."""

    def process(self, frame):
        data = frame.data
        if len(data) != 921600 or data[0] != 255 or data[-1] != 248:
            raise RuntimeError(f"frame {frame.sequence} is another one")
        return Frame.from_json({"age_ns": time.monotonic_ns() - frame.pts_ns, "made by": frame.source})
