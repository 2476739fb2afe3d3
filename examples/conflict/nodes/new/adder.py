"""Transforms tensors with numpy 2: this module cannot run on numpy 1."""

import platform

import numpy as np
from medianode import Frame, Node


class Adder(Node):
    def process(self, frame):
        """Turns each row into its running sums, and adds itself to the story."""
        if frame.kind == "json":
            self.story = frame.json
            return
        # np.cumulative_sum came with numpy 2.1. frame.numpy() is a view of the
        # sender's shared memory: nothing has been copied up to here.
        tensor = np.cumulative_sum(frame.numpy(), axis=1)
        self.story["summed by"] = f"Python {platform.python_version()}, numpy {np.__version__}"
        self.story["last column"] = tensor[:, -1].sum()
        yield Frame.from_json(self.story)
        yield Frame.from_tensor(tensor)
