import medianode


class Recognizer(medianode.Node):
    def process(self, frame):
        yield frame
