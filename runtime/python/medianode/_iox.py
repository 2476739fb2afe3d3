"""The only module that knows how iceoryx2's services and ports are opened."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import importlib
import os
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

from . import _fork
from ._config import Domain, Spec
from ._errors import ChannelError, NoSpaceError
from ._header import Header

if TYPE_CHECKING:
    from ._publisher import Publisher
    from ._subscriber import Subscriber


class _Later(types.ModuleType):
    """Stands for a module until something of it is used."""

    Builder: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _iceoryx2() -> Any:
    """Import iceoryx2 without flatbuffers.

    Nothing here uses flatbuffers, which imports numpy wherever it is installed:
    more than half of the time that a node needs to start.
    """
    if "flatbuffers" in sys.modules:
        return importlib.import_module("iceoryx2")
    later = sys.modules["flatbuffers"] = _Later("flatbuffers")
    later.Builder = object  # iceoryx2 names it in an annotation
    try:
        return importlib.import_module("iceoryx2")
    finally:
        del sys.modules["flatbuffers"], later.Builder


iox2 = _iceoryx2()
# Where pip has put iceoryx2 and its metadata.
PACKAGES: str = os.path.dirname(iox2.__path__[0])
SHM = "/dev/shm"
_PAGE = 4096
# More than what a node makes for itself: of what it could make, all is gone again
# before one can look.
_NODE = 16 * _PAGE
# Of the runtime, and of what is built for it.
WANTED = "0.10.0"


def version() -> str:
    """Return the version of the package that is here; empty if nothing says it."""
    # By its directory: importlib.metadata takes longer to import than the rest of this package.
    for path in glob.glob(os.path.join(PACKAGES, "iceoryx2-*.dist-info")):
        return os.path.basename(path)[len("iceoryx2-") : -len(".dist-info")]
    return ""


def credit_name(channel: str) -> str:
    """Return the event service that wakes a writer which waits for room."""
    return channel + "~credit"


class Transport:
    """One iceoryx2 node in one domain; opens the services of channels that exist."""

    def __init__(self, domain: Domain) -> None:
        # Its own errors say that a type does not fit, or that something failed inside it.
        if (here := version()) not in ("", WANTED):
            raise ChannelError(
                f"this image has iceoryx2 {here}, and the runtime has {WANTED}: install iceoryx2=={WANTED} in it"
            )
        self.domain = domain
        iox2.set_log_level(iox2.LogLevel.Error)
        config = iox2.config.default()
        config.global_cfg.prefix = iox2.FileName.new(domain.prefix)
        config.global_cfg.root_path = iox2.Path.new(domain.root)
        self.config = config
        _fork.owns(self)
        try:
            self.node = (
                iox2.NodeBuilder.new()
                .config(config)
                # Otherwise iceoryx2 takes the process's signal handlers over.
                .signal_handling_mode(iox2.SignalHandlingMode.Disabled)
                .create(iox2.ServiceType.Ipc)
            )
        except Exception as err:
            if (have := _free(domain.root)) < _NODE:
                raise NoSpaceError(f"shared memory is full: {domain.root} has {have} bytes left") from err
            raise ChannelError(f"iceoryx2 node in {domain.root}: {err!r}: do all processes run as one user?") from err

    def _builder(self, name: str) -> Any:
        return self.node.service_builder(iox2.ServiceName.new(name))

    def pubsub(self, spec: Spec, create: bool = False) -> Any:
        """Open the publish-subscribe service of a channel; every quality is demanded."""
        builder = (
            self._builder(spec.name)
            .publish_subscribe(iox2.Slice[ctypes.c_uint8])
            .user_header(Header)
            .max_publishers(1)
            .max_subscribers(spec.max_subscribers)
            .max_nodes(spec.max_nodes)
            .subscriber_max_buffer_size(spec.queue)
            .subscriber_max_borrowed_samples(spec.hold)
            .history_size(spec.history)
            .enable_safe_overflow(True)
        )
        return _open(builder, spec.name, create)

    def publisher(self, spec: Spec) -> Publisher:
        """Return the writer's end of a channel."""
        from ._publisher import Publisher

        return Publisher(self, spec)

    def subscriber(self, spec: Spec, slot: int) -> Subscriber:
        """Return a reader's end of a channel."""
        from ._subscriber import Subscriber

        return Subscriber(self, spec, slot)

    def events(self, name: str, spec: Spec, create: bool = False) -> Any:
        """Open one of a channel's event services."""
        credit = name != spec.name
        builder = (
            self._builder(name)
            .event()
            .event_id_max_value(1)
            .disable_deadline()
            .disable_notifier_created_event()
            .disable_notifier_dropped_event()
            .disable_notifier_dead_event()
            .max_notifiers(spec.max_subscribers + 1 if credit else 2)
            .max_listeners(1 if credit else spec.max_subscribers)
            .max_nodes(spec.max_nodes)
        )
        return _open(builder, name, create)

    def clean(self) -> int:
        """Remove what dead peers left behind; say how many peers and ownerless files there were."""
        # iceoryx2 also counts as failed what somebody else is just cleaning.
        return int(self.node.try_cleanup_dead_nodes().cleanups) + _sweep(self.domain)

    def close(self) -> None:
        """Let the iceoryx2 node go; it ends with the last of its ports."""
        self.node = None


def _sweep(domain: Domain) -> int:
    """Remove the files of ports that no node knows, dead or alive, and count them.

    They are left when a process dies while it cleans up after another. A port
    makes its tag first and removes it last, so a file without a tag, looked for
    after the file was seen, belongs to nobody. Nothing is opened here: closing
    a file would end the locks by which iceoryx2's nodes know each other alive.
    """
    orphans = _port_files(SHM, domain.prefix, (".data", ".connection", ".event_mgmt"))
    orphans += _port_files(domain.root, domain.prefix, (".event",))
    if not orphans:
        return 0
    nodes = os.path.join(domain.root, "nodes")
    tags: set[str] = set()
    for node in os.listdir(nodes):
        path = os.path.join(nodes, node)
        if os.path.isdir(path):
            with contextlib.suppress(FileNotFoundError):  # the node has just gone
                tags.update(name for name in os.listdir(path) if name.endswith(".port_tag"))
    ports = {name.removesuffix(".port_tag").removeprefix(domain.prefix) for name in tags}
    count = 0
    for path, ids in orphans:
        if ports.isdisjoint(ids):
            with contextlib.suppress(OSError):  # somebody else was at it
                os.unlink(path)
                count += 1
    return count


def _port_files(directory: str, prefix: str, suffixes: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    """Return the files of ports with the ids of their ports.

    A name is the prefix, a hash in segments, the id, in connections a second
    id, and a suffix.
    """
    found = []
    for name in os.listdir(directory):
        stem, suffix = os.path.splitext(name)
        if name.startswith(prefix) and suffix in suffixes:
            ids = [part for part in stem[len(prefix) :].split("_") if part.isdigit() and len(part) != 40]
            if ids:
                found.append((os.path.join(directory, name), ids))
    return found


def _open(builder: Any, name: str, create: bool) -> Any:
    try:
        return builder.create() if create else builder.open()
    except Exception as err:
        raise ChannelError(f"channel {name}: cannot be {'created' if create else 'opened'}: {err}") from err


def room(spec: Spec, writer: bool) -> None:
    """Raise NoSpaceError if there is no room for what an end of a channel makes.

    iceoryx2 maps sparse files and writes into them: where nothing is left, that
    is SIGBUS and no error.
    """
    need = _pages(252 + 16 * spec.queue + 8 * spec.hold + _chunks(spec))  # a queue
    if writer:
        need = spec.max_subscribers * need + _data(spec)
    need += _PAGE  # its events
    if (have := _free(SHM)) < need:
        raise NoSpaceError(f"channel {spec.name}: shared memory is full: it needs {need} bytes, {SHM} has {have} left")


def _free(path: str) -> int:
    s = os.statvfs(path)
    return s.f_bavail * s.f_frsize


def _pages(n: int) -> int:
    return -(-n // _PAGE) * _PAGE


def _chunks(spec: Spec) -> int:
    return spec.max_subscribers * (spec.queue + spec.hold) + spec.history + spec.loans


def _data(spec: Spec) -> int:
    # As the runtime's channel.Spec.Sizes has it.
    chunk = -(-(48 + 128 + max(1, spec.max_frame)) // 8) * 8
    return _pages(_chunks(spec) * (chunk + 4) + 4 + 146)


def new_publisher(service: Any, spec: Spec, domain: Domain) -> Any:
    """Make the writer's port and its memory."""
    room(spec, writer=True)
    try:
        publisher = (
            service.publisher_builder()
            .initial_max_slice_len(max(1, spec.max_frame))
            .max_loaned_samples(spec.loans)
            .allocation_strategy(iox2.AllocationStrategy.Static)
            # A blocking send would keep Python's interpreter lock, and hang on
            # a dead reader; credits do the waiting.
            .backpressure_strategy(iox2.BackpressureStrategy.DiscardData)
            .create()
        )
    except Exception as err:
        raise ChannelError(f"channel {spec.name}: publish: {err}") from err
    _populate(spec, domain, publisher.id.value)
    return publisher


def _populate(spec: Spec, domain: Domain, publisher: int) -> None:
    """Give the writer's segment its memory now.

    The segment is a sparse file: without this, a full /dev/shm would be found
    by SIGBUS in the middle of a frame.
    """
    files = glob.glob(f"{glob.escape(os.path.join(SHM, domain.prefix))}*_{publisher}.data")
    if not files:
        raise ChannelError(f"channel {spec.name}: segment of the publisher is not in {SHM}")
    for path in files:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            os.posix_fallocate(fd, 0, size)
        except OSError as err:
            raise NoSpaceError(
                f"channel {spec.name}: shared memory is full: its frames need {size} bytes,"
                f" {SHM} has {_free(SHM)} left: {err.strerror}"
            ) from err
        finally:
            os.close(fd)


def duration(ms: int) -> Any:
    """Return a time for iceoryx2's waits."""
    return iox2.Duration.from_millis(ms)


def listen(listener: Any, limit: Any) -> None:
    """Wait, without the interpreter lock, until an event comes, a signal comes or time is up."""
    try:
        listener.timed_wait(limit)
    except iox2.ListenerWaitError:
        pass  # a signal; the caller looks again anyway


def notify(notifier: Any) -> None:
    """Wake the other side."""
    try:
        notifier.notify()
    except iox2.NotifierNotifyError:
        pass  # its queue is full of wake-ups, or it is gone; every sleep is bounded


class Bell:
    """Ends the wait of another thread. Of its own calls only ``ring`` is for any thread."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._lock = threading.Lock()  # the number of a closed descriptor is soon another one's
        self._closed = False

    def ring(self) -> None:
        """End the wait, or the next one; nothing happens if the bell is closed."""
        with self._lock:
            if not self._closed:
                with contextlib.suppress(BlockingIOError):  # it rings already
                    os.write(self._write, b"\0")

    def try_wait(self) -> None:
        """Take the rings so far."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def attach(self, waitset: Any) -> Any:
        """Have a wait ended by the bell."""
        return waitset.attach_notification_fd(iox2.FileDescriptor.non_owning_new(self._read))

    def close(self) -> None:
        """End the bell; safe twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._read)
                os.close(self._write)


class Waiter:
    """Waits for any of several listeners and bells."""

    def __init__(self, listeners: list[Any]) -> None:
        self._listeners = listeners
        self._waitset = (
            iox2.WaitSetBuilder.new()
            .signal_handling_mode(iox2.SignalHandlingMode.Disabled)
            .create(iox2.ServiceType.Ipc)
        )
        _fork.owns(self)
        waitset = self._waitset
        self._guards = [x.attach(waitset) if isinstance(x, Bell) else waitset.attach_notification(x) for x in listeners]
        self._woken = False

    def take_events(self) -> None:
        """Take the events of the wake-up before; a listener stays ready until then.

        Called before the node says that it sleeps, not after a wake-up, when
        there is a frame to be handled first.
        """
        if self._woken:
            self._woken = False
            for listener in self._listeners:
                listener.try_wait()

    def wait(self, limit: Any) -> None:
        """Wait, without the interpreter lock, until an event comes, a signal comes or time is up."""
        if self._waitset.wait_and_process_with_timeout(limit)[0]:
            self._woken = True

    def close(self) -> None:
        """Detach; the order matters to iceoryx2."""
        self._guards.clear()
        self._waitset = None
        self._listeners = []
