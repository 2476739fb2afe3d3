"""The smallest node: text in, text out."""

from medianode import Frame, Node


class Greeter(Node):
    def process(self, frame):
        """Called with every frame that arrives; what it returns is sent on."""
        return Frame.from_text(f"{self.params['greeting']}, {frame.text}!")
