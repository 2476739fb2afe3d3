from medianode import Node


class Work(Node):
    def process(self, frame):
        return frame
