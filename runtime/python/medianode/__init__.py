"""Write nodes of a docker medianode pipeline in Python.

    from medianode import Frame, Node

    class Upper(Node):
        def process(self, frame):
            return Frame.from_text(frame.text.upper())

See :class:`Node` for the methods of a node and :class:`Frame` for frames.
"""

from ._frame import Frame
from ._node import Node
from ._version import VERSION as __version__

__all__ = ["Frame", "Node", "__version__"]
