"""What the node's container uses: samples of its cgroup, kept where they survive the process."""

from __future__ import annotations

import os
import re
import resource
import struct
import threading
import time
from typing import Any, Final, Optional

from ._log import write

MAGIC: Final = 0x3147535F_4E444D  # "MDN_SG1"
#: The words of a sample, in the order of the file; all are unsigned 64-bit.
WORDS: Final = (
    "magic", "samples", "time_ns", "memory", "memory_most", "memory_peak", "shared", "tmp", "limit",
    "cpu_ns", "cpu_most", "periods", "throttled", "throttled_ns", "rss_peak", "again",
)  # fmt: skip
_LAYOUT: Final = struct.Struct(f"<{len(WORDS)}Q")
# How long the time is in which cpu_most is taken.
_WINDOW: Final = 1.0
# A limit that is none, as version 1 has it: the largest number of whole pages.
_NO_LIMIT: Final = 1 << 62
# A file that each cgroup of version 2 has.
_TWO: Final = "cgroup.controllers"


def usage_path(root: str, node: str) -> str:
    """Return the file of a node's samples: beside iceoryx2's own, where the runtime finds it."""
    return os.path.join(root, "medianode_usage_" + node)


def own_cgroup(root: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> str:
    """Return the directory of the process's own cgroup, of version 2, or else root.

    An engine may share the host's cgroup namespace with its containers: they see the
    whole machine's cgroups at root then, and root is that of the machine.
    """
    try:
        with open(membership, encoding="utf-8", errors="surrogateescape") as file:
            paths = [line.rstrip("\n")[3:] for line in file if line.startswith("0::")]
    except OSError:
        return root
    own = root + "".join(paths).rstrip("/")
    return own if os.path.exists(os.path.join(own, _TWO)) else root


class _Cgroup:
    """The files of a cgroup, version 1 or 2; what is not there counts as 0."""

    def __init__(self, root: str) -> None:
        self._two = os.path.exists(os.path.join(root, _TWO))
        names = (
            ("memory.current", "memory.peak", "memory.max", "memory.stat", "cpu.stat", "cpu.stat")
            if self._two
            else (
                "memory/memory.usage_in_bytes",
                "memory/memory.max_usage_in_bytes",
                "memory/memory.limit_in_bytes",
                "memory/memory.stat",
                "cpu/cpu.stat",
                "cpuacct/cpuacct.usage",
            )
        )
        self._files = [self._open(os.path.join(root, name)) for name in names]

    @staticmethod
    def _open(path: str) -> int:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return -1

    def _read(self, file: int) -> bytes:
        try:
            return os.pread(self._files[file], 8192, 0) if self._files[file] >= 0 else b""
        except OSError:
            return b""

    def _number(self, file: int) -> int:
        text = self._read(file).strip()
        return int(text) if text.isdigit() else 0

    def sample(self) -> dict[str, int]:
        """Return the words that the cgroup knows."""
        stat = self._read(3)
        prefix = b"" if self._two else b"total_"
        cache = _field(stat, prefix + b"active_file") + _field(stat, prefix + b"inactive_file")
        limit = self._number(2)
        cpu = self._read(4)
        got = {
            # The cache of files is given up before anything is killed for memory.
            "memory": max(0, self._number(0) - cache),
            "memory_peak": self._number(1),
            "shared": _field(stat, prefix + b"shmem"),
            "limit": 0 if limit > _NO_LIMIT else limit,
            "periods": _field(cpu, b"nr_periods"),
            "throttled": _field(cpu, b"nr_throttled"),
        }
        if self._two:
            got["cpu_ns"] = _field(cpu, b"usage_usec") * 1000
            got["throttled_ns"] = _field(cpu, b"throttled_usec") * 1000
        else:
            got["cpu_ns"] = self._number(5)
            got["throttled_ns"] = _field(cpu, b"throttled_time")
        return got

    def close(self) -> None:
        files, self._files = self._files, [-1] * len(self._files)
        for fd in files:
            if fd >= 0:
                os.close(fd)


def _field(text: bytes, name: bytes) -> int:
    found = re.search(rb"^" + name + rb" (\d+)$", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


class Usage:
    """Takes samples; the last one survives a process that is killed.

    A sample is one write of 128 bytes. Its second word and its last are the same,
    so that a reader in another process knows a whole one.
    """

    def __init__(self, root: str, node: str, cgroup: str, tmp: str = "/tmp") -> None:
        self._lock = threading.Lock()
        self._tmp = tmp
        self._most, self._peak, self._cpu_most, self._samples = 0, 0, 0, 0
        self._since: Optional[tuple[int, int]] = None  # time and CPU of a second ago
        self._cgroup = _Cgroup(cgroup)
        self._fd = -1
        try:
            self._fd = os.open(usage_path(root, node), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as err:
            write(f"medianode: what the container uses is not known: {err}\n")

    def sample(self) -> None:
        """Take a sample and keep it; never raises, any thread."""
        with self._lock:
            if self._fd < 0:
                return
            before = time.monotonic_ns()
            got = self._cgroup.sample()
            got["magic"], got["time_ns"] = MAGIC, time.time_ns()
            self._most = got["memory_most"] = max(self._most, got["memory"])
            self._peak = got["memory_peak"]
            got["cpu_most"] = self._busiest(before, time.monotonic_ns(), got["cpu_ns"])
            got["tmp"] = self._files()
            # Exact where samples are not, and too much by what is mapped of others' frames and of files.
            got["rss_peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            self._samples += 1
            got["samples"] = got["again"] = self._samples
            try:
                os.pwrite(self._fd, _LAYOUT.pack(*(got.get(word, 0) for word in WORDS)), 0)
            except OSError:  # the tmpfs is full: the sample before stays
                pass

    def _busiest(self, before: int, after: int, cpu: int) -> int:
        """Return the largest CPU use in a second so far, in thousandths of a core.

        The CPU limit may hold this thread back between the clock and the counter,
        so the time is that of before the first look at it to after the last.
        """
        if self._since is None:
            self._since = (before, cpu)
        passed = after - self._since[0]
        if passed >= _WINDOW * 1e9:
            self._cpu_most = max(self._cpu_most, (cpu - self._since[1]) * 1000 // passed)
            self._since = (before, cpu)
        return max(0, self._cpu_most)

    def _files(self) -> int:
        # Files on the container's own tmpfs are shared memory to the kernel too.
        try:
            s = os.statvfs(self._tmp)
        except OSError:
            return 0
        return (s.f_blocks - s.f_bfree) * s.f_frsize if s.f_blocks else 0

    def close(self) -> None:
        """Take the last sample; safe twice."""
        self.sample()
        with self._lock:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)
                self._cgroup.close()

    def whole(self) -> dict[str, Any]:
        """Return what the process has used, as the runtime is told at its end: seconds and bytes."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        child = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = own.ru_utime + own.ru_stime + child.ru_utime + child.ru_stime
        # Kernels before 5.19 have no peak of version 2: what was seen is the next best.
        peak = self._peak or self._most
        return {"cpu_s": round(cpu, 6), "memory_peak": peak, "rss_peak": own.ru_maxrss * 1024}
