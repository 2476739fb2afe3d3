"""The nodes of the engine's tests."""

import json
import os
import sys
import threading
import time

from medianode import Frame, Node

# Vanished was a class once: only the import of the module can tell.


class Endless(Node):
    """Numbers, until it is stopped."""

    def produce(self):
        number = 0
        while True:
            yield Frame.from_text(str(number))
            number += 1
            time.sleep(0.005)


class Few(Node):
    """Numbers, as many as asked for."""

    def produce(self):
        for number in range(self.params.get("frames", 5)):
            yield Frame.from_text(str(number))


class Echo(Node):
    def process(self, frame):
        print("echo", frame.text)
        return frame


class Raise(Node):
    """Fails at a frame."""

    def process(self, frame):
        if frame.text == self.params.get("at", "3"):
            raise ValueError(f"no {frame.text} here")
        return frame


class Exit(Node):
    """Ends its process without a word to the runtime."""

    def process(self, frame):
        if frame.text == "3":
            print("leaving", flush=True)
            sys.exit(3)
        return frame


class Exit137(Node):
    """Ends as if somebody had killed it."""

    def process(self, frame):
        if frame.text == "3":
            print("leaving", flush=True)
            os._exit(137)
        return frame


class Crash(Node):
    def process(self, frame):
        if frame.text == "3":
            print("aborting", flush=True)
            os.abort()
        return frame


class Hungry(Node):
    """Takes memory until there is none."""

    def process(self, frame):
        print("eating", flush=True)
        memory = []
        while True:
            memory.append(bytearray(b"x" * (16 << 20)))


class Sated(Node):
    """Takes more memory than its limit would allow, and no more."""

    def process(self, frame):
        if not hasattr(self, "memory"):
            self.memory = bytearray(b"x" * (300 << 20))  # twice that for a moment
            time.sleep(0.6)
        return frame


class LoadRaises(Node):
    def load(self):
        raise RuntimeError("the model is damaged")

    def process(self, frame):
        return frame


class SlowLoad(Node):
    def load(self):
        print("loading", flush=True)
        time.sleep(60)

    def process(self, frame):
        return frame


class Stuck(Node):
    """Never comes back from its first frame."""

    def process(self, frame):
        print("stuck", flush=True)
        time.sleep(600)


class Environment(Node):
    """Tells the values of variables, and who owns the mounts."""

    def produce(self):
        yield Frame.from_json({name: os.environ.get(name) for name in self.params["names"]})


class Mounts(Node):
    """Tells owner and mode of the mounted directories."""

    def produce(self):
        found = {}
        for path in ("/dev/shm", "/tmp/iceoryx2"):
            s = os.stat(path)
            found[path] = [s.st_uid, s.st_gid, oct(s.st_mode & 0o7777)]
        found["me"] = [os.getuid(), os.getgid()]
        yield Frame.from_json(json.loads(json.dumps(found)))


class Flood(Node):
    """Writes to its log what a terminal should not get, and a lot of it."""

    def produce(self):
        out = sys.stdout.buffer
        out.write(b"\x1b[31mred\x1b]0;title\x07 \xff\xfe \xe2\x80\xae\r\n")
        out.write(b"y" * 1_000_000 + b"\n")
        for number in range(20_000):
            out.write(b"line %d of many, as a node does that somebody debugs\n" % number)
        out.write(b"last without an end")
        out.flush()
        yield Frame.from_text("0")


class Torrent(Node):
    """Floods its log from a thread, as fast as it is taken, while it hands frames on."""

    def open(self, session):
        self.on = True
        self.written = self.metrics.counter("written")
        threading.Thread(target=self._flood, daemon=True).start()

    def _flood(self):
        lines = (b"a line of many, as a node writes that somebody debugs, \x1b[31m and \xff more\n") * 1000
        while self.on:
            os.write(1, lines)
            self.written.inc(len(lines))

    def process(self, frame):
        return frame

    def close(self):
        self.on = False


class Paced(Node):
    """Two hundred numbers a second, for three seconds."""

    def produce(self):
        until = time.monotonic()
        for number in range(600):
            until += 0.005
            time.sleep(max(0.0, until - time.monotonic()))
            yield Frame.from_text(str(number))
