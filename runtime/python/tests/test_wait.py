from __future__ import annotations

import time
from pathlib import Path

import pytest
from fake_runtime import FakeRuntime, NodeProcess, entering, leaving
from nodes import NODES, Pipe, collect, write

from medianode._config import ConfigError, NodeConfig


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize(
    ("waits", "want"),
    [
        ([], "adaptive"), ([""], "adaptive"), (["block"], "block"), (["block", "adaptive"], "adaptive"),
        (["spin", "block"], "spin"),
    ],
)  # fmt: skip
def test_the_most_eager_input_decides(runtime: FakeRuntime, waits: list[str], want: str) -> None:
    value = {
        "version": 1, "id": "n", "type": "m:C", "domain": vars(runtime.domain),
        "inputs": [entering(runtime.spec(f"i{i}"), wait=w) for i, w in enumerate(waits)],
    }  # fmt: skip
    assert NodeConfig.parse(value).wait == want
    value["inputs"] = [entering(runtime.spec("i"), wait="soon")]
    with pytest.raises(ConfigError, match="wait 'soon': want one of block, adaptive, spin"):
        NodeConfig.parse(value)


@pytest.mark.parametrize("wait", ["block", "adaptive", "spin"])
def test_frames_come_through(runtime: FakeRuntime, tmp_path: Path, wait: str) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Same", wait=wait)
    assert len(pipe.run(*"abcdefgh")[0]) == 8
    pipe.done()


def test_spin_works_only_in_a_session(runtime: FakeRuntime, tmp_path: Path) -> None:
    into, out = runtime.create(runtime.spec("in")), runtime.create(runtime.spec("out"))
    writer, reader = runtime.publisher(into), runtime.subscriber(out)
    node = NodeProcess(
        runtime, "user:Same", write(tmp_path, NODES), inputs=[entering(into, wait="spin")], outputs=[leaving(out)]
    )
    node.expect("hello")
    node.expect("loaded")
    node.tell("open")
    node.expect("ready")
    before = cpu(node.process.pid)
    time.sleep(1)
    idle = cpu(node.process.pid) - before
    node.tell("start")
    deadline = time.monotonic() + 20
    while cpu(node.process.pid) - before < 0.5:  # it takes what it gets of a processor
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert idle < 0.2
    writer.end()
    collect(reader, node)
    node.expect("closed")
    before = cpu(node.process.pid)
    time.sleep(0.5)
    assert cpu(node.process.pid) - before < 0.2
