from __future__ import annotations

import time
from pathlib import Path

import pytest
from fake_runtime import FakeRuntime, payload
from nodes import NODES, Pipe, collect, send_text, write
from sessions import Many, Stream


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("Coroutine", [b"a", b"2", b"b", b"2"]),
        ("AsyncGenerator", [b"a", b"2", b"b", b"2", b"end"]),
    ],
)
def test_async(runtime: FakeRuntime, tmp_path: Path, name: str, want: list[bytes]) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:" + name)
    assert pipe.run("a", "b")[0] == want
    pipe.done()


def test_tasks_go_on_while_the_node_waits(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, NODES), "user:Background")
    pipe.node.start()
    time.sleep(0.3)
    pipe.writer.end()
    assert collect(pipe.reader, pipe.node)[0] == [b"true"]
    pipe.done()


BATCH_OF_TASKS = """
import asyncio
class N(Node):
    async def open(self, session):
        self.queue = asyncio.Queue()
        self.task = asyncio.ensure_future(self.work())
        self.other = asyncio.ensure_future(self.sleep())
    async def sleep(self):
        try: await asyncio.sleep(3600)
        finally: print("cancelled", self.session)
    async def work(self):
        while True:
            text = await self.queue.get()
            await asyncio.sleep(0.01)
            self.emit(Frame.from_text(text.upper()))
            self.queue.task_done()
    def process(self, frame): self.queue.put_nowait(frame.text)
    async def close(self): await self.queue.join()
"""


def test_a_task_emits(runtime: FakeRuntime, tmp_path: Path) -> None:
    pipe = Pipe(runtime, write(tmp_path, BATCH_OF_TASKS))
    pipe.node.start()
    send_text(pipe.writer, "a")
    got = pipe.next()  # while the node waits for its next frame
    assert payload(got) == b"A"
    del got
    send_text(pipe.writer, "b")
    pipe.writer.end()
    assert collect(pipe.reader, pipe.node)[0] == [b"B"]
    pipe.done()
    assert pipe.out == "cancelled main\n"


def test_tasks_go_on_in_a_busy_or_spinning_node(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import asyncio
class N(Node):
    async def open(self, session):
        self.ticks = 0
        self.task = asyncio.ensure_future(self.tick())
    async def tick(self):
        while True:
            await asyncio.sleep(0)
            self.ticks += 1
    def process(self, frame): pass
    def close(self): return Frame.from_json(self.ticks > 3)
"""
    pipe = Pipe(runtime, write(tmp_path, code), wait="spin")
    pipe.node.start()
    time.sleep(0.3)
    pipe.writer.end()
    assert collect(pipe.reader, pipe.node)[0] == [b"true"]
    pipe.done()


def test_tasks_end_with_their_session(runtime: FakeRuntime, tmp_path: Path) -> None:
    node = Many(runtime, tmp_path, "user:N", code=BATCH_OF_TASKS)
    one, two = Stream(node, "one").start(), Stream(node, "two").start()
    one.end()
    assert node.expect("closed")["session"] == "one"
    assert two.give("b") == "B"
    two.end()
    node.done("two")
    assert node.out == "cancelled one\ncancelled two\n"


def test_an_error_of_a_task_is_logged(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import asyncio, gc
class N(Node):
    async def open(self, session): asyncio.ensure_future(self.work())
    async def work(self): raise RuntimeError("in a task")
    async def process(self, frame): await asyncio.sleep(0.01); gc.collect()
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.run("x")
    pipe.done()
    assert 'level=error msg="Task exception was never retrieved' in pipe.err
    assert "  RuntimeError: in a task" in pipe.err


@pytest.mark.parametrize("concurrent", [False, True])
def test_what_an_executor_does_not_end(runtime: FakeRuntime, tmp_path: Path, concurrent: bool) -> None:
    """Frames come all the same, although its threads are taken, and the process ends."""
    code = f"""
import asyncio, time
class N(Node):
    concurrent = {concurrent}
    async def process(self, frame):
        for _ in range(64):
            asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)
        return frame
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.node.start()
    for text in "ab":
        send_text(pipe.writer, text)
        got = pipe.next()
        assert payload(got).decode() == text
        del got
    pipe.writer.end()
    assert collect(pipe.reader, pipe.node)[0] == []
    pipe.done()
    left = "thread 'asyncio_0' of the node still runs and is left behind"
    assert left in pipe.err


@pytest.mark.parametrize("concurrent", [False, True])
def test_the_end_waits_for_an_executor(runtime: FakeRuntime, tmp_path: Path, concurrent: bool) -> None:
    saved = tmp_path / "saved"
    code = f"""
import asyncio, time
class N(Node):
    concurrent = {concurrent}
    def save(self):
        time.sleep(0.4)
        open({str(saved)!r}, "w").close()
    async def process(self, frame):
        asyncio.get_running_loop().run_in_executor(None, self.save)
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.run("x")
    pipe.done()
    assert saved.exists()
    assert "left behind" not in pipe.err


def test_a_generator_that_does_not_end(runtime: FakeRuntime, tmp_path: Path) -> None:
    code = """
import asyncio
class N(Node):
    async def numbers(self):
        try: yield 1
        finally:
            print("ends")
            await asyncio.sleep(3600)
    async def process(self, frame):
        self.kept = self.numbers()
        await self.kept.__anext__()
"""
    pipe = Pipe(runtime, write(tmp_path, code))
    pipe.run("x")
    pipe.done()
    assert pipe.out == "ends\n"
    assert "shutdown_asyncgens" not in pipe.err
