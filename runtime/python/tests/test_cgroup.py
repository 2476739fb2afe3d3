"""Samples of what a container uses."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from medianode import _cgroup
from medianode._cgroup import WORDS, Usage, own_cgroup, usage_path

MIB = 1 << 20
# Files of real cgroups of version 2, after 30 MiB of its own memory, 20 MiB of shared
# memory and 40 MiB of a file written, and seconds of work, at limits of 128 MiB and half a core.
REAL = Path(__file__).parent / "cgroups"


def version_1(root: Path) -> None:
    for name, text in {
        "memory/memory.usage_in_bytes": f"{100 * MIB}\n",
        "memory/memory.max_usage_in_bytes": f"{120 * MIB}\n",
        "memory/memory.limit_in_bytes": f"{128 * MIB}\n",
        "memory/memory.stat": f"shmem 1\nactive_file 1\ntotal_shmem {30 * MIB}\n"
        f"total_inactive_file {8 * MIB}\ntotal_active_file {2 * MIB}\n",
        "cpu/cpu.stat": "nr_periods 100\nnr_throttled 25\nthrottled_time 7000\n",
        "cpuacct/cpuacct.usage": "9000000\n",
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)


def version_2(root: Path) -> None:
    for name, text in {
        "cgroup.controllers": "cpu memory\n",
        "memory.current": f"{100 * MIB}\n",
        "memory.peak": f"{120 * MIB}\n",
        "memory.max": f"{128 * MIB}\n",
        "memory.stat": f"anon 5\nshmem {30 * MIB}\ninactive_file {8 * MIB}\nactive_file {2 * MIB}\n",
        "cpu.stat": "usage_usec 9000\nnr_periods 100\nnr_throttled 25\nthrottled_usec 7\n",
    }.items():
        (root / name).write_text(text)


def kept(root: Path) -> dict[str, int]:
    raw = Path(usage_path(str(root), "n")).read_bytes()
    return dict(zip(WORDS, struct.unpack(f"<{len(WORDS)}Q", raw)))


@pytest.mark.parametrize("make", [version_1, version_2])
def test_versions(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    cgroup, root = tmp_path / "cgroup", tmp_path / "root"
    cgroup.mkdir()
    root.mkdir()
    make(cgroup)
    usage = Usage(str(root), "n", str(cgroup), "/nowhere")
    usage.sample()
    got = kept(root)
    assert got["samples"] == got["again"] == 1
    assert got["rss_peak"] > MIB
    assert abs(got["time_ns"] - time.time_ns()) < 60e9
    want = {
        "memory": 90 * MIB, "memory_most": 90 * MIB, "memory_peak": 120 * MIB, "shared": 30 * MIB, "tmp": 0,
        "limit": 128 * MIB, "cpu_ns": 9_000_000, "cpu_most": 0, "periods": 100, "throttled": 25, "throttled_ns": 7000,
    }  # fmt: skip
    assert {word: got[word] for word in want} == want
    usage.close()
    usage.close()
    usage.sample()
    assert kept(root)["samples"] == 2
    assert usage.whole()["memory_peak"] == 120 * MIB


@pytest.mark.parametrize(
    ("kernel", "want"),
    [
        (
            "linux-6.1",
            {
                "memory": 62_038_016, "memory_peak": 113_614_848, "shared": 20_975_616, "limit": 128 * MIB,
                "cpu_ns": 7_622_615_000, "periods": 153, "throttled": 149, "throttled_ns": 7_520_078_000,
            },
        ),
        (
            "linux-5.10",  # without memory.peak
            {
                "memory": 63_389_696, "memory_peak": 0, "shared": 20_951_040, "limit": 128 * MIB,
                "cpu_ns": 4_307_672_000, "periods": 87, "throttled": 86, "throttled_ns": 4_296_461_000,
            },
        ),
    ],
)  # fmt: skip
def test_real(tmp_path: Path, kernel: str, want: dict[str, int]) -> None:
    usage = Usage(str(tmp_path), "n", str(REAL / kernel))
    usage.sample()
    got = kept(tmp_path)
    assert {word: got[word] for word in want} == want
    usage.close()
    assert usage.whole()["memory_peak"] == (want["memory_peak"] or want["memory"])


@pytest.mark.parametrize(
    ("membership", "own"),
    [
        ("0::/\n", ""),  # a namespace of its own
        ("0::/system.slice/docker-4f0c.scope\n", "/system.slice/docker-4f0c.scope"),  # the host's, systemd
        ("0::/docker/4f0c\n", "/docker/4f0c"),  # the host's, cgroupfs
        ("0::/../../docker/4f0c\n", ""),  # moved out of its namespace
        ("12:memory:/docker/4f0c\n0::/docker/4f0c\n", "/docker/4f0c"),
        ("0::/elsewhere\n", ""),
        ("4:memory:/docker/4f0c\n", ""),  # version 1 only
    ],
)
def test_own_cgroup(tmp_path: Path, membership: str, own: str) -> None:
    root = tmp_path / "cgroup"
    for path in (root, root / "system.slice/docker-4f0c.scope", root / "docker/4f0c"):
        path.mkdir(parents=True, exist_ok=True)
        (path / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / "membership").write_text(membership)
    assert own_cgroup(str(root), str(tmp_path / "membership")) == str(root) + own


def test_own_cgroup_of_version_1(tmp_path: Path) -> None:
    version_1(tmp_path)
    (tmp_path / "docker").mkdir()
    (tmp_path / "membership").write_text("4:memory:/docker\n0::/docker\n")
    assert own_cgroup(str(tmp_path), str(tmp_path / "membership")) == str(tmp_path)
    assert own_cgroup(str(tmp_path), str(tmp_path / "none")) == str(tmp_path)


def test_most_survives_less(tmp_path: Path) -> None:
    version_2(tmp_path)
    usage = Usage(str(tmp_path), "n", str(tmp_path))
    usage.sample()
    (tmp_path / "memory.current").write_text(f"{20 * MIB}\n")
    (tmp_path / "memory.max").write_text("max\n")
    usage.sample()
    got = kept(tmp_path)
    assert (got["memory"], got["memory_most"], got["limit"]) == (10 * MIB, 90 * MIB, 0)
    usage.close()


def test_busiest_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version_2(tmp_path)
    usage = Usage(str(tmp_path), "n", str(tmp_path))
    for second, cpu_usec in enumerate([0, 250_000, 1_750_000, 1_800_000]):
        monkeypatch.setattr(_cgroup.time, "monotonic_ns", lambda at=second: at * 1_000_000_000)
        # The clock that people set jumps back and forth meanwhile.
        monkeypatch.setattr(_cgroup.time, "time_ns", lambda at=second: (0, 10**18, 5, 10**17)[at])
        (tmp_path / "cpu.stat").write_text(f"usage_usec {cpu_usec}\n")
        usage.sample()
    assert kept(tmp_path)["cpu_most"] == 1500
    usage.close()


def test_held_back_while_sampling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit may stop the thread for long on either side of its look at the counter."""
    version_2(tmp_path)
    usage = Usage(str(tmp_path), "n", str(tmp_path))
    # Half a core all the time; the first look at the counter is at 0, the second at 2 s.
    for times, cpu_usec in (([0.0, 1.0], 0), ([2.0, 2.0], 1_000_000)):
        clock = [int(at * 1e9) for at in times]
        monkeypatch.setattr(_cgroup.time, "monotonic_ns", lambda clock=clock: clock.pop(0))
        (tmp_path / "cpu.stat").write_text(f"usage_usec {cpu_usec}\n")
        usage.sample()
    assert kept(tmp_path)["cpu_most"] == 500
    monkeypatch.undo()
    usage.close()


def test_nothing_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    usage = Usage(str(tmp_path), "n", str(tmp_path / "no cgroup"))
    usage.sample()
    assert kept(tmp_path)["memory"] == 0
    usage.close()
    nowhere = Usage(str(tmp_path / "missing"), "n", str(tmp_path))
    nowhere.sample()
    nowhere.close()
    assert "what the container uses is not known" in capfd.readouterr().err
