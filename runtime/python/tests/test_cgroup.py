"""Samples of what a container uses."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from medianode import _cgroup
from medianode._cgroup import WORDS, Usage, usage_path

MIB = 1 << 20


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


def test_nothing_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    usage = Usage(str(tmp_path), "n", str(tmp_path / "no cgroup"))
    usage.sample()
    assert kept(tmp_path)["memory"] == 0
    usage.close()
    nowhere = Usage(str(tmp_path / "missing"), "n")
    nowhere.sample()
    nowhere.close()
    assert "what the container uses is not known" in capfd.readouterr().err
