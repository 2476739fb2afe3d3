"""Finding the user's class, calling its methods, and telling what went wrong."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._errors import FrameError
from ._frame import Frame
from ._host import attach
from ._log import insist, tell_left_behind, write_past
from ._node import Node

# asyncio and traceback are imported where they are used: a node that needs
# neither starts a third sooner.
if TYPE_CHECKING:
    import asyncio
    import traceback
    from concurrent.futures import ThreadPoolExecutor

    from ._host import Host

# How long tasks, generators and calls in an executor may take to end, in seconds.
GRACE = 1.0

_HERE = os.path.dirname(os.path.abspath(__file__))
_ASYNCIO = os.path.join(os.path.dirname(os.path.abspath(os.__file__)), "asyncio")
_IMPORTLIB = ("<frozen importlib", os.path.dirname(os.path.abspath(importlib.__file__)) + os.sep)


def shorten(text: str, limit: int) -> str:
    """Return the text with its middle left out if it is long."""
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]}\n… {len(text) - limit // 2 * 2} characters …\n{text[-(limit // 2) :]}"


class NodeFailure(Exception):
    """The node failed; what the runtime is told."""

    def __init__(
        self,
        phase: str,
        message: str,
        trace: str = "",
        port: Optional[str] = None,
        sequence: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.phase, self.message, self.trace = phase, shorten(message, 4096), shorten(trace, 12000)
        self.port, self.sequence = port, sequence


def failure(phase: str, err: BaseException, frame: Optional[Frame] = None) -> NodeFailure:
    """Turn an exception of the user's code into a failure."""
    if isinstance(err, NodeFailure):
        return err
    port, sequence = (err.port, err.sequence) if isinstance(err, FrameError) else (None, None)
    if frame is not None and sequence is None:
        port, sequence = frame.port, frame.sequence  # the one in process, also if it is not the one at fault
    # The SDK's own errors say all in their text, and no line of the user's is to blame.
    trace = "" if isinstance(err, FrameError) else format_trace(err)
    if isinstance(err, FrameError):
        message = str(err)
    elif isinstance(err, SystemExit):
        message = f"the node called sys.exit({_safe(repr, err.code)})"
    else:
        message = f"{type(err).__name__}: {_safe(str, err)}".rstrip(": ")
    return NodeFailure(phase, message + _hint(err, trace), trace, port, sequence)


def _safe(how: Callable[[Any], str], value: Any) -> str:
    try:
        return how(value)
    except Exception as err:
        return f"<{type(value).__name__}, of which {how.__name__} raises {type(err).__name__}>"


def _hint(err: BaseException, trace: str) -> str:
    if isinstance(err, ModuleNotFoundError) and err.name:
        return f" (is the package of {err.name.split('.')[0]!r} in docker.python_packages?)"
    for sign in ("gaierror", "name resolution", "Name or service not known"):
        if sign in trace:
            return " (a node has no network unless the pipeline says docker.network: bridge)"
    return ""


def format_trace(err: BaseException) -> str:
    """Return the traceback with the user's frames only."""
    import traceback

    whole = traceback.TracebackException.from_exception(err)
    seen: set[int] = set()
    todo: list[Optional[traceback.TracebackException]] = [whole]
    while todo:
        part = todo.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        # Those of import say nothing wherever they are: the import itself is a line of the user's.
        frames = [f for f in part.stack if not f.filename.startswith((_HERE, *_IMPORTLIB))]
        while frames and _noise(frames[0].filename):
            frames.pop(0)
        part.stack = traceback.StackSummary.from_list(frames)
        todo += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
    return "".join(whole.format())


def stack_trace(frame: Any, tasks: Sequence[Any] = ()) -> str:
    """Return where a thread is, and where coroutines wait, with the user's frames only if there are any."""
    import traceback

    lines = ["Stack (most recent call last):\n"]
    stacks = [traceback.extract_stack(frame)] if frame is not None else []
    stacks += [traceback.extract_stack(task, limit=1) for task in tasks]
    own = [f for stack in stacks for f in stack if not f.filename.startswith(_HERE) and not _noise(f.filename)]
    return "".join(lines + traceback.format_list(own or [f for stack in stacks for f in stack]))


def _noise(filename: str) -> bool:
    return filename.startswith((_ASYNCIO, "<frozen", *_IMPORTLIB))


def load_class(node_type: str, absent: Optional[Callable[[str], str]] = None) -> type[Node]:
    """Import ``module:Class``; absent gives the message if there is no such module, by its name."""
    module_name, _, class_name = node_type.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as err:
        if err.name is not None and (module_name == err.name or module_name.startswith(err.name + ".")):
            where = f"of node_type {node_type!r} is not in docker.source (there are: {', '.join(modules()) or 'none'})"
            raise NodeFailure(
                "import", f"module {module_name!r} {where}" if absent is None else absent(module_name)
            ) from err
        raise failure("import", err) from err
    except BaseException as err:
        raise failure("import", err) from err
    found: Any = module
    for part in class_name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise NodeFailure(
            "import",
            f"module {module_name!r} has no class {class_name!r} (its nodes: {_nodes(module)})",
        )
    if not (isinstance(found, type) and issubclass(found, Node)):
        raise NodeFailure("import", f"{node_type!r} is no node: write class {class_name}(medianode.Node)")
    return found


def modules() -> list[str]:
    """Return names of modules in the current directory, ten at most."""
    try:
        return sorted(n[:-3] for n in os.listdir(os.getcwd()) if n.endswith(".py"))[:10]
    except OSError:
        return []


def _nodes(module: Any) -> str:
    names = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, Node) and v is not Node]
    return ", ".join(sorted(names)) or "none"


def construct(
    cls: type[Node], node_id: str, params: dict[str, Any], has_inputs: bool, host: Optional[Host] = None
) -> Node:
    """Make the prototype, with id, params and host there before the constructor runs."""
    wanted = "process" if has_inputs else "produce"
    batches = has_inputs and cls.process_batch is not Node.process_batch
    if not batches and getattr(cls, wanted) is getattr(Node, wanted):
        why = "has inputs" if has_inputs else "has no inputs"
        hint = "write it" if has_inputs else "write it, or connect something to the node"
        raise NodeFailure("import", f"node {node_id} {why}, but {cls.__name__} has no {wanted}: {hint}")
    try:
        node = cls.__new__(cls)
        node.id, node.params = node_id, params
        if host is not None:
            attach(node, host)
        node.__init__()  # type: ignore[misc]
    except BaseException as err:
        problem = failure("import", err)
        if isinstance(err, TypeError) and "__init__" in str(err):
            problem.message += " (a node is made without arguments: params are in self.params)"
        raise problem from err
    return node


class Caller:
    """Calls the user's methods, whatever sort of function they are.

    Asynchronous ones run on one event loop, which is made when it is needed.
    """

    def __init__(self) -> None:
        self.loop: Optional[asyncio.AbstractEventLoop] = None
        #: Whose call is at work: the tasks that it starts are its own.
        self.owner: object = None
        self._owners: weakref.WeakKeyDictionary[Any, object] = weakref.WeakKeyDictionary()
        # The node may fill the loop's own executor with calls that do not return.
        self._waits: Optional[ThreadPoolExecutor] = None

    def run(self, awaitable: Any, stopped: Optional[Callable[[], bool]] = None) -> Any:
        """Wait for an awaitable; if stopped answers true meanwhile, cancel it."""
        if self.loop is None:
            import asyncio

            self.loop = asyncio.new_event_loop()
            self.loop.set_task_factory(self._task)
            asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(_stoppable(awaitable, stopped) if stopped else _plain(awaitable))

    def _task(self, loop: Any, coroutine: Any, **more: Any) -> Any:
        """Make a task that belongs to whoever started it."""
        import asyncio

        task = asyncio.Task(coroutine, loop=loop, **more)
        parent = asyncio.current_task(loop)
        self._owners[task] = self.owner if parent is None else self._owners.get(parent)
        return task

    def value(self, result: Any) -> Any:
        """Wait for the result of a coroutine; other results are themselves."""
        return self.run(result) if inspect.isawaitable(result) else result

    def frames(
        self, result: Any, method: str, stopped: Optional[Callable[[], bool]] = None
    ) -> Iterator[Optional[Frame]]:
        """Give the frames of what a method returned: a frame, several, a generator, or nothing."""
        result = self.value(result)
        if result is None:
            return
        if isinstance(result, Frame):
            yield result
            return
        if hasattr(result, "__anext__"):
            items: Any = self._iterate(result, stopped)
        elif hasattr(result, "__iter__") and not isinstance(result, (str, bytes, dict)):
            items = iter(result)
        else:
            raise TypeError(f"{method} gave {type(result).__name__}: give a Frame, yield Frames, or nothing")
        try:
            for item in items:
                if item is not None and not isinstance(item, Frame):
                    raise TypeError(f"{method} gave {type(item).__name__}, want a Frame")
                yield item
                del item  # the node may keep as many as hold says: none is kept here
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def _iterate(self, agen: Any, stopped: Optional[Callable[[], bool]]) -> Iterator[Any]:
        try:
            while True:
                try:
                    item = self.run(agen.__anext__(), stopped)
                except (StopAsyncIteration, _Stopped):
                    return
                yield item
                del item
        finally:
            close = getattr(agen, "aclose", None)
            if close is not None:
                self.run(close())

    def idle(self, wait: Callable[[], None]) -> None:
        """Run a wait; while it lasts, tasks that the node has started go on."""
        if self.loop is None:
            wait()
            return
        if self._waits is None:
            from concurrent.futures import ThreadPoolExecutor

            self._waits = ThreadPoolExecutor(1, "medianode-wait")
        self.loop.run_until_complete(self.loop.run_in_executor(self._waits, wait))

    def turn(self) -> None:
        """Let tasks go on for a moment, when the node does not sleep."""
        if self.loop is not None:
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def cancel(self, owner: Optional[object] = None) -> None:
        """Cancel the tasks that an owner has started, or all, and give them GRACE."""
        if self.loop is None:
            return
        import asyncio

        tasks = [t for t in asyncio.all_tasks(self.loop) if owner is None or self._owners.get(t) is owner]
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE))

    def stacks(self) -> list[Any]:
        """Return where the tasks wait, for whoever must know where a coroutine hangs; any thread."""
        loop = self.loop
        if loop is None:
            return []
        import asyncio

        return [frame for task in asyncio.all_tasks(loop) for frame in _awaits(task.get_coro())]

    def close(self) -> None:
        """Cancel what still runs, generators too, wait for calls in the loop's executor, GRACE in all, and end it."""
        loop = self.loop
        if loop is None:
            return
        import asyncio

        until = time.monotonic() + GRACE
        self.cancel()
        self.loop = None
        generators = loop.create_task(loop.shutdown_asyncgens())
        for seconds in (until - time.monotonic(), 0.1):
            if not generators.done():
                loop.run_until_complete(asyncio.wait([generators], timeout=max(0.0, seconds)))
                generators.cancel()
        _end_executor(getattr(loop, "_default_executor", None), until)
        if self._waits is not None:
            self._waits.shutdown()
            self._waits = None
        loop.close()


def _end_executor(executor: Optional[ThreadPoolExecutor], until: float) -> None:
    if executor is None:
        return
    # asyncio's own way waits for ever for a call that does not return.
    end = threading.Thread(target=executor.shutdown, daemon=True)
    end.start()
    end.join(max(0.0, until - time.monotonic()))
    for thread in list(getattr(executor, "_threads", ())):
        if thread.daemon and thread.is_alive():  # else they are told of at the end of the process
            tell_left_behind(thread.name)


class _Stopped(Exception):
    """An awaited value is not wanted any more."""


def _awaits(coroutine: Any) -> Iterator[Any]:
    """Give the stack frames of a coroutine that waits, and of what it waits for, as far as they are known."""
    while coroutine is not None:
        for kind, waits in (("cr", "cr_await"), ("ag", "ag_await"), ("gi", "gi_yieldfrom")):
            frame = getattr(coroutine, kind + "_frame", None)
            if frame is not None:
                yield frame
                coroutine = getattr(coroutine, waits)
                break
        else:
            return


async def _plain(awaitable: Any) -> Any:
    return await awaitable


async def _stoppable(awaitable: Any, stopped: Callable[[], bool]) -> Any:
    import asyncio

    task = asyncio.ensure_future(awaitable)
    while True:
        done, _ = await asyncio.wait({task}, timeout=0.05)
        if done:
            return task.result()
        if stopped():
            task.cancel()
            try:
                await task
            except (asyncio.CancelledError, StopAsyncIteration):
                pass
            raise _Stopped


def print_failure(problem: NodeFailure) -> None:
    """Write a failure to the log."""
    text = problem.trace or f"{problem.message}\n"
    # The log must have it, also if the node reads its stderr itself.
    (insist if sys.stderr is sys.__stderr__ else write_past)(text)
