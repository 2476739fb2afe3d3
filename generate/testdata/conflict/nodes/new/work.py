import medianode


class Work(medianode.Node):
    def process(self, frame):
        yield frame
