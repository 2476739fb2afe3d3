import time

from medianode import Frame, Node


class Clock(Node):
    """Numbers by a clock, of its session; without a count until it is stopped."""

    def produce(self):
        begin, count, number = time.monotonic(), self.params["count"], 0
        while not count or number < count:
            early = begin + number * self.params["period"] - time.monotonic()
            if early > 0:
                time.sleep(early)
            yield Frame.from_json({"session": self.session, "number": number})
            number += 1


class Stamp(Node):
    """Writes into a frame which one it was of the connection that it came by."""

    def process(self, frame):
        value = frame.json
        if value["session"] != self.session:
            raise RuntimeError(f"a frame of {value['session']} in {self.session}")
        value[self.id] = frame.sequence
        return Frame.from_json(value)
