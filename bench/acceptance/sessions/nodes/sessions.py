from medianode import Frame, Node


class First(Node):
    """Knows the sound of its session."""

    def process(self, frame):
        want = 32767 * 10 ** (self.params["amplitude_db"] / 20)
        peak = max(frame.data.cast("h"))
        if abs(peak - want) > 2:
            raise RuntimeError(f"frame {frame.sequence} has a peak of {peak}, those of {self.session} have {want:.0f}")
        return Frame.from_json({"session": self.session, "first": frame.sequence})


class Stamp(Node):
    """Writes into a frame which one it was of the connection that it came by."""

    def process(self, frame):
        value = frame.json
        if value["session"] != self.session:
            raise RuntimeError(f"a frame of {value['session']} in {self.session}")
        value[self.id] = frame.sequence
        return Frame.from_json(value)
