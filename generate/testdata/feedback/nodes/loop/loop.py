import medianode


class Loop(medianode.Node):
    def process(self, frame):
        yield frame
