"""Write nodes of a docker medianode pipeline in Python.

    from medianode import Frame, Node

    class Upper(Node):
        def process(self, frame):
            return Frame.from_text(frame.text.upper())

See :class:`Node` for the methods of a node, :class:`Frame` for frames and
:class:`LoanedFrame` for frames that are written in place.
"""

from ._errors import ClosedError, FrameError, ReleasedError
from ._frame import Frame
from ._loan import LoanedFrame
from ._node import Node
from ._version import VERSION as __version__

__all__ = ["ClosedError", "Frame", "FrameError", "LoanedFrame", "Node", "ReleasedError", "__version__"]
