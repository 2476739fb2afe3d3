import medianode


class Detect(medianode.Node):
    def process(self, frame):
        yield frame
