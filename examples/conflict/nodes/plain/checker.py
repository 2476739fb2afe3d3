"""Checks tensors on an old Python, without numpy: a frame is bytes with a header."""

import platform

from medianode import Frame, Node


class Checker(Node):
    def process(self, frame):
        """Sends on what the others said, and whether it agrees."""
        if frame.kind == "json":
            self.story = frame.json
            return
        rows, columns = self.story["shape"]
        values = frame.data.cast("d")
        # The last of a row's running sums is the row's sum: summed over the
        # rows it must be what numpy 1 said of the whole tensor.
        last = sum(values[row * columns + columns - 1] for row in range(rows))
        self.story["checked by"] = f"Python {platform.python_version()}, no numpy"
        self.story["checked"] = last
        self.story["equal"] = last == self.story["total"] == self.story["last column"]
        yield Frame.from_json(self.story)
