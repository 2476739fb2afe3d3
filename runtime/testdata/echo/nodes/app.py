"""The node of the runtime's tests on a real engine."""

from medianode import Frame, Node


class Echo(Node):
    """Sends on what comes, or fails if ``params.raise`` says so."""

    def process(self, frame: Frame) -> Frame:
        if self.params.get("raise"):
            raise ValueError("asked to")
        return frame
