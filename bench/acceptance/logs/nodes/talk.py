import os
import sys

from medianode import Frame, Node

print("line of import")


def say(number):
    """By Python's streams, and by the descriptors, as a library in C does."""
    print("out", number)
    print("err", number, file=sys.stderr)
    sys.stdout.flush()
    os.write(1, b"raw out %d\n" % number)
    os.write(2, b"raw err %d\n" % number)


class Talker(Node):
    def produce(self):
        for number in range(self.params["lines"]):
            say(number)
            yield Frame.from_text(str(number))

    def close(self):
        print("line of close")


class Echo(Node):
    def process(self, frame):
        say(int(frame.text))
        return frame

    def close(self):
        print("line of close", end="")
