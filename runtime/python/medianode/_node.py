"""The base class of nodes."""

from __future__ import annotations

from typing import Any

from ._frame import Frame


class Node:
    """One processing step of a pipeline; subclass it and name it as ``module:Class``.

    An object is made once a container, without arguments; ``load`` runs on it.
    Each session then works on its own shallow copy: what ``load`` set is shared
    by sessions, what ``open`` sets is the session's own.

    Every method may be a plain function or a coroutine; ``process``,
    ``produce`` and ``close`` may also be generators or asynchronous generators.
    Calls come one at a time. What is printed goes to the logs; an exception ends
    the session and is reported with its traceback.
    """

    #: The pipeline's ``params`` of this node; there before ``__init__`` runs.
    params: dict[str, Any]
    #: The node's id in the pipeline.
    id: str

    def load(self) -> Any:
        """Prepare what all sessions share, once a container: load models here."""

    def open(self, session: str) -> Any:
        """Prepare one session, before its first frame."""

    def process(self, frame: Frame) -> Any:
        """Handle one frame of any input (``frame.port`` names it).

        Return a Frame, return or yield several, or give nothing. The frame that
        came in may be returned; it is then copied into the output.
        """
        raise NotImplementedError

    def produce(self) -> Any:
        """Yield frames; only for a node without inputs.

        At its end the stream ends. To stop early the generator is closed at its
        next yield (GeneratorExit); yielding None sends nothing and gives the
        chance to stop.
        """
        raise NotImplementedError

    def close(self) -> Any:
        """End one session, when all its inputs have ended; may give last frames."""
