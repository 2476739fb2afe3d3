"""A node with any number of sessions, for tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fake_runtime import FakeRuntime, NodeProcess, entering, leaving, payload, until
from nodes import collect, send_text, write

from medianode._config import SESSION_MARK, Spec
from medianode._ledger import R_DROPPED, R_EXPECTED, W_EXPECTED, Ledger, slot_index

NODES = """
import time
class Echo(Node):
    def load(self): self.loaded = "once"
    def open(self, session): self.seen = []
    def process(self, frame):
        if frame.text == "raise": raise ValueError("as asked")
        if frame.text == "slow": time.sleep(0.2)
        self.seen.append(frame.text)
        return Frame.from_text(f"{self.session} {self.params.get('greeting')} {''.join(self.seen)}")
    def close(self): yield Frame.from_text("last of " + self.session)
class Twice(Node):
    def process(self, frame):
        yield frame
        yield frame
class Count(Node):
    def produce(self):
        i = 0
        while True:
            yield Frame.from_text(f"{self.session} {i}")
            i += 1
"""


class Stream:
    """One session's channels, with the test at both ends."""

    dropped_at = slot_index(0) + R_DROPPED

    def __init__(self, node: Many, name: str, comes_back: bool = False) -> None:
        self.node, self.name = node, name
        into, out = (node.runtime.create(spec.of_session(name)) for spec in (node.entry, node.exit))
        for spec in (into, out) if comes_back else ():
            ledger = Ledger(spec.name, 1)
            ledger.words[W_EXPECTED] = ledger.words[slot_index(0) + R_EXPECTED] = 1
            ledger.close()
        self.writer, self.reader = node.runtime.publisher(into), node.runtime.subscriber(out)

    def open(self, **params: Any) -> Stream:
        self.node.tell("open", self.name, **params)
        return self

    def start(self, **params: Any) -> Stream:
        self.open(**params)
        assert self.node.expect("ready")["session"] == self.name
        self.node.tell("start", self.name)
        return self

    def give(self, text: str) -> str:
        send_text(self.writer, text)
        return self.next()

    def next(self) -> str:
        return payload(self.reader.receive(until(10, self.node))).decode()

    def close(self) -> None:
        """End the test's side, so that the name is free again."""
        self.writer.close()
        self.reader.close()
        for spec in (self.node.entry, self.node.exit):
            self.node.runtime.remove(spec.of_session(self.name))

    def end(self) -> tuple[list[bytes], Any]:
        self.writer.end()
        return collect(self.reader, self.node)


class Many(NodeProcess):
    """A node with channels for any number of sessions."""

    def __init__(
        self,
        runtime: FakeRuntime,
        path: Path,
        node_type: str = "user:Echo",
        code: str = NODES,
        retry: bool = False,
        **more: Any,
    ) -> None:
        entry = self.of_any(runtime.spec("in"))
        self.entry = dataclasses.replace(entry, readers=(dataclasses.replace(entry.readers[0], retry=retry),))
        self.exit = self.of_any(runtime.spec("out", buffer=2))
        super().__init__(
            runtime, node_type, write(path, code), inputs=[entering(self.entry)], outputs=[leaving(self.exit)], **more
        )  # fmt: skip
        self.expect("hello")
        self.expect("loaded")

    @staticmethod
    def of_any(spec: Spec) -> Spec:
        return Spec(f"{SESSION_MARK}_{spec.name}", spec.max_frame, spec.policy, spec.readers, spec.loans)

    def done(self, *names: str) -> None:
        assert sorted(self.expect("closed")["session"] for _ in names) == sorted(names)
        self.tell("exit")
        self.expect("bye")
        code, self.out, self.err = self.wait()
        assert code == 0, self.err


def sources(
    runtime: FakeRuntime, path: Path, node_type: str, code: str, **params: dict[str, Any]
) -> tuple[NodeProcess, dict[str, Any]]:
    """Return a node without inputs, and a reader for each of its sessions, which have begun with these params."""
    out = Many.of_any(runtime.spec("out", buffer=2))
    node = NodeProcess(runtime, node_type, write(path, code), outputs=[leaving(out)])
    node.expect("hello")
    node.expect("loaded")
    readers = {}
    for name, given in params.items():
        readers[name] = runtime.subscriber(runtime.create(out.of_session(name)))
        node.tell("open", name, params=given)
        node.expect("ready")
        node.tell("start", name)
    return node, readers
