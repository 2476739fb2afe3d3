"""Makes tensors with numpy 1: this module cannot run on numpy 2."""

import platform

import numpy as np
from medianode import Frame, Node


class Maker(Node):
    def produce(self):
        """Runs once a session; every frame that it yields is sent."""
        shape = self.params["rows"], self.params["columns"]
        for number in range(1, self.params["tensors"] + 1):
            # np.asfarray is gone from numpy 2.
            tensor = np.asfarray(np.arange(shape[0] * shape[1])).reshape(shape) * number
            # A json frame before each tensor says what to expect. One connection
            # keeps the order, so that the two need no other bond.
            yield Frame.from_json(
                {
                    "tensor": number,
                    "shape": shape,
                    "made by": f"Python {platform.python_version()}, numpy {np.__version__}",
                    "total": tensor.sum(),
                }
            )
            yield Frame.from_tensor(tensor)
