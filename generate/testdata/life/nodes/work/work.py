from medianode import Node


class Detect(Node):
    pass


class Draw(Node):
    pass
