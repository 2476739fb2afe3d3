"""What the runtime does around a node: channels, ledgers, commands. For tests."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Optional

from medianode import _iox
from medianode._config import Domain, Reader, Spec
from medianode._header import CONTROL, END_OF_STREAM, new_header
from medianode._ledger import MAGIC, ledger_name, ledger_size
from medianode._publisher import Publisher
from medianode._subscriber import Received, Subscriber

PACKAGE = Path(__file__).resolve().parent.parent


class FakeRuntime:
    """A domain of its own, with every trace removed at close."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex[:8]
        self.root = tempfile.mkdtemp(prefix="mnt-", dir="/tmp")
        self.domain = Domain(self.root, f"mnt{self.mark}_")
        self.transport = _iox.Transport(self.domain)
        self.services: dict[str, list[Any]] = {}
        self.ledgers: list[str] = []
        self.processes: list[subprocess.Popen[str]] = []

    def spec(
        self, name: str, *, max_frame: int = 1 << 16, buffer: int = 8, hold: int = 1,
        readers: int = 1, policy: str = "block",
    ) -> Spec:  # fmt: skip
        many = tuple(Reader(f"r{i}", "input", buffer, hold) for i in range(readers))
        return Spec(f"{self.mark}_{name}", max_frame, policy, many, 1)

    def create(self, spec: Spec) -> Spec:
        """Make a channel: its ledger and its three services."""
        path = "/dev/shm/" + ledger_name(spec.name)
        size = (ledger_size(len(spec.readers)) + 4095) // 4096 * 4096
        content = bytearray(size)
        content[:8] = MAGIC.to_bytes(8, "little")
        content[8:16] = max(1, len(spec.readers)).to_bytes(8, "little")
        Path(path).write_bytes(content)
        self.ledgers.append(path)
        self.services[spec.name] = [
            self.transport.pubsub(spec, create=True),
            self.transport.events(spec.name, spec, create=True),
            self.transport.events(_iox.credit_name(spec.name), spec, create=True),
        ]
        return spec

    def remove(self, spec: Spec) -> None:
        """Remove a channel."""
        del self.services[spec.name]
        path = "/dev/shm/" + ledger_name(spec.name)
        os.unlink(path)
        self.ledgers.remove(path)

    def publisher(self, spec: Spec) -> Publisher:
        return Publisher(self.transport, spec)

    def subscriber(self, spec: Spec, slot: int = 0) -> Subscriber:
        return Subscriber(self.transport, spec, slot)

    def python(
        self, *args: str, env: Optional[dict[str, str]] = None, cwd: Optional[str] = None
    ) -> subprocess.Popen[str]:
        """Start a Python process with the package on its path."""
        merged = {
            **os.environ,
            "PYTHONPATH": f"{PACKAGE}:{PACKAGE / 'tests'}",
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        process = subprocess.Popen(
            [sys.executable, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=merged,
            cwd=cwd,
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.services.clear()
        self.transport.close()
        for path in [*self.ledgers, *glob.glob(f"/dev/shm/{self.domain.prefix}*")]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        shutil.rmtree(self.root, ignore_errors=True)


class NodeProcess:
    """One node in a process of its own, with its control and status channels."""

    def __init__(
        self, runtime: FakeRuntime, node_type: str, source: Path, *, inputs: list[dict[str, Any]] = [],  # noqa: B006
        outputs: list[dict[str, Any]] = [], params: Any = None, streaming: bool = True, node_id: str = "n",  # noqa: B006
        env: Optional[dict[str, str]] = None, timeout_ms: int = 0,
    ) -> None:  # fmt: skip
        self.runtime = runtime
        control = Spec(f"~{node_id}_{runtime.mark}_control", 64 << 10, "block", (Reader(node_id, "control", 16, 1),), 1)
        status = Spec(f"~{node_id}_{runtime.mark}_status", 64 << 10, "block", (Reader("runtime", "status", 16, 1),), 1)
        runtime.create(control)
        runtime.create(status)
        self.commands = runtime.publisher(control)
        self.status = runtime.subscriber(status)
        node = {
            "version": 1, "project": "test", "domain": vars(runtime.domain), "id": node_id, "type": node_type,
            "is_streaming": streaming, "inputs": inputs or None, "outputs": outputs or None,
            "control": control.to_json(), "status": status.to_json(), "timeout_ms": timeout_ms,
        }  # fmt: skip
        environment = {"MEDIANODE_NODE": json.dumps(node), "MEDIANODE_PARAMS": json.dumps(params or {})}
        source_path = f"{source}:{PACKAGE}"
        self.process = runtime.python(
            "-m", "medianode", env={**environment, "PYTHONPATH": source_path, **(env or {})}, cwd=str(source)
        )
        self.seen: list[dict[str, Any]] = []

    def tell(self, command: str, session: str = "main", **more: Any) -> None:
        payload = json.dumps({"command": command, "session": session, **more}).encode()
        self.commands.send(new_header(CONTROL), memoryview(payload), until(5))

    def next(self, timeout: float = 10) -> dict[str, Any]:
        got = self.status.receive(until(timeout, self))
        value = json.loads(ctypes.string_at(got.address, got.length))
        del got
        self.seen.append(value)
        # It is on the way to "loaded", which the tests wait for.
        return value if value["event"] != "imported" else self.next(timeout)

    def expect(self, event: str, timeout: float = 10) -> dict[str, Any]:
        value = self.next(timeout)
        assert value["event"] == event, value
        return value

    def start(self) -> None:
        self.expect("hello")
        self.expect("loaded")
        self.tell("open")
        self.expect("ready")
        self.tell("start")

    def wait(self, timeout: float = 10) -> tuple[int, str, str]:
        """Return the exit code and what was printed, without the marks of sessions, which are in marked."""
        self.marked = self.process.communicate(timeout=timeout)
        out, err = (unmarked(text) for text in self.marked)
        return self.process.returncode, out, err


def unmarked(text: str) -> str:
    """Return a log without the sessions of its lines."""
    return re.sub(r"^session=\S* ", "", text, flags=re.M)


def until(seconds: float, node: Optional[NodeProcess] = None) -> Any:
    """Return a patience that ends with an error."""
    end = time.monotonic() + seconds

    def patience() -> None:
        if time.monotonic() > end:
            log = ""
            if node is not None:
                node.process.kill()
                log = "\n".join(node.process.communicate())
            raise TimeoutError(f"nothing for {seconds} s {log}")

    return patience


def entering(
    spec: Spec, port: str = "input", kind: str = "", feedback: bool = False, source: str = "src", wait: str = ""
) -> dict[str, Any]:
    return {
        "port": port, "kind": kind, "source": source, "source_port": "output", "feedback": feedback, "slot": 0,
        "wait": wait, "channel": spec.to_json(),
    }  # fmt: skip


def leaving(*specs: Spec, port: str = "output", kind: str = "", max_frame: int = 1 << 16) -> dict[str, Any]:
    return {
        "port": port,
        "kind": kind,
        "max_frame": max_frame,
        "channels": [s.to_json() for s in specs] or None,
    }


def payload(got: Received) -> bytes:
    return ctypes.string_at(got.address, got.length)


def ended(got: Received) -> bool:
    return bool(got.header.flags & END_OF_STREAM)
