import medianode


class Echo(medianode.Node):
    def process(self, frame):
        yield frame
