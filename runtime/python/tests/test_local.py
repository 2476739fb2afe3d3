from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import wave
from pathlib import Path
from typing import Any, Optional

import pytest

import medianode

PACKAGE = Path(medianode.__file__).parent.parent
NODES = """
import sys, time
from medianode import Frame, Node
class Upper(Node):
    def process(self, frame):
        print("printed")
        return Frame.from_text(frame.text.upper() + str(self.params.get("mark", "")))
class Same(Node):
    def process(self, frame): return frame
class Two(Node):
    def process(self, frame):
        yield frame
        yield Frame.from_json({"port": frame.port, "pts": frame.pts_ns}, port="about")
class Batch(Node):
    def process_batch(self, frames): return Frame.from_json(len(frames))
class Count(Node):
    def produce(self):
        i = 0
        while True:
            yield Frame.from_json(i)
            i += 1
    def close(self): return Frame.from_text("closed")
class Bad(Node):
    def process(self, frame): return self.deep()
    def deep(self): raise ValueError("broken")
class Params(Node):
    def close(self): return Frame.from_json(self.params)
    def process(self, frame): pass
class Slow(Node):
    def process(self, frame):
        print("at work", flush=True)
        time.sleep(0.3)
        return frame
    def close(self): return Frame.from_text("closed")
class Nothing(Node): pass
class Kinds(Node):
    def process(self, frame): return Frame.from_json([frame.kind, len(frame.data)])
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "nodes.py").write_text(NODES)
    (tmp_path / "words.txt").write_text("a\nb\r\n\nd")
    return tmp_path


def start(place: Path, *arguments: str, **more: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONIOENCODING": "utf-8"}
    environment.pop("MEDIANODE_NODE", None)
    return subprocess.Popen(
        [sys.executable, "-m", "medianode", *arguments], cwd=place, env=environment, text=True, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
    )  # fmt: skip


def run(place: Path, *arguments: str, stdin: str = "", code: int = 0) -> tuple[str, str]:
    process = start(place, "run", *arguments)
    out, err = process.communicate(stdin, timeout=30)
    assert process.returncode == code, err
    return out, err


def test_lines(place: Path) -> None:
    out, err = run(place, "nodes:Upper", "--input", "words.txt", "--param", "mark=!")
    assert out == "A!\nB!\n!\nD!\n"
    assert err == "printed\n" * 4
    assert run(place, "nodes:Upper", "-i", "-", stdin="x\ny\n")[0] == "X\nY\n"
    (place / "deep").mkdir()
    (place / "deep" / "other.py").write_text(NODES)
    assert run(place, "deep/other.py:Same", "-i", "-", stdin="x\n")[0] == "x\n"


def test_files_and_ports(place: Path) -> None:
    (place / "in.jsonl").write_text('{"b": 1, "a": [1.5, null]}\n\n"é"\n')
    out, _ = run(
        place, "nodes:Two", "-i", "left=words.txt", "-i", "right=in.jsonl", "-o", "out.jsonl", "-o", "about=about.txt"
    )
    assert out == ""
    assert (place / "out.jsonl").read_text("utf-8").splitlines() == [
        '"a"', '{"b":1,"a":[1.5,null]}', '"b"', '"é"', '""', '"d"',
    ]  # fmt: skip
    ports = [json.loads(line)["port"] for line in (place / "about.txt").read_text().splitlines()]
    assert ports == ["left", "right", "left", "right", "left", "left"]
    assert not list(place.glob("*.partial"))


def test_params(place: Path) -> None:
    given = ["--params", '{"a": 1, "b": {"c": null}}', "--param", "a=two", "--param", "d=3.5", "--param", "e=x=y"]
    out, _ = run(place, "nodes:Params", *given, "-i", "words.txt")
    assert json.loads(out) == {"a": "two", "b": {"c": None}, "d": 3.5, "e": "x=y"}


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav(place: Path, width: int) -> None:
    samples = bytes((i * 7) % 256 for i in range(width * 2 * 1001))
    with wave.open(str(place / "in.wav"), "wb") as sound:
        sound.setparams((2, width, 8000, 0, "NONE", ""))
        sound.writeframes(samples)
    _, err = run(place, "nodes:Two", "-i", "in.wav", "-o", "out.wav", "-o", "about=about.jsonl")
    with wave.open(str(place / "out.wav")) as sound:
        assert sound.getparams()[:3] == (2, width, 8000)
        assert sound.readframes(2000) == samples
    times = [json.loads(line)["pts"] for line in (place / "about.jsonl").read_text().splitlines()]
    assert times == [i * 20_000_000 for i in range(7)]
    assert (place / "out.wav").stat().st_size == (place / "in.wav").stat().st_size, err


def test_wav_of_floats(place: Path) -> None:
    (place / "f.py").write_text(
        "import numpy as np\nfrom medianode import Frame, Node\nclass F(Node):\n"
        "    def produce(self): yield Frame.from_audio(np.array([0.5, -1], np.float32), 48000)\n"
    )
    run(place, "f:F", "-o", "f.wav")
    data = (place / "f.wav").read_bytes()
    assert struct.unpack("<HHI", data[20:28]) == (3, 1, 48000)
    assert struct.unpack("<2f", data[44:]) == (0.5, -1.0)


@pytest.mark.parametrize(("space", "size"), [("420jpeg", 24), ("mono", 16), ("444", 48)])
def test_y4m(place: Path, space: str, size: int) -> None:
    head = f"YUV4MPEG2 W4 H4 F30:1 Ip A1:1 C{space}\n".encode()
    level = 100 if space != "444" else 128  # grey: what becomes of it is exact
    content = head + b"".join(b"FRAME\n" + bytes([level]) * size for _ in range(3))
    (place / "in.y4m").write_bytes(content)
    run(place, "nodes:Two", "-i", "in.y4m", "-o", "out.y4m", "-o", "about=about.jsonl")
    assert (place / "out.y4m").read_bytes() == content
    times = [json.loads(line)["pts"] for line in (place / "about.jsonl").read_text().splitlines()]
    assert times == [0, 33333333, 66666666]


def test_bytes(place: Path) -> None:
    (place / "in.bin").write_bytes(bytes(range(10)))
    assert run(place, "nodes:Kinds", "-i", "in.bin")[0] == '["bytes",10]\n'
    assert run(place, "nodes:Kinds", "-i", "in.bin", "--chunk", "4")[0] == '["bytes",4]\n["bytes",4]\n["bytes",2]\n'
    run(place, "nodes:Same", "-i", "in.bin", "--chunk", "3", "-o", "out.bin", "-o", "about=x.jsonl")
    assert (place / "out.bin").read_bytes() == bytes(range(10))
    assert (place / "x.jsonl").read_text() == ""
    header = json.loads(run(place, "nodes:Same", "-i", "in.bin")[0])
    assert header == {"kind": "bytes", "sequence": 0, "pts_ns": 0, "source": "node", "bytes": 10}


def test_sources(place: Path) -> None:
    assert run(place, "nodes:Count", "--frames", "3")[0] == "0\n1\n2\nclosed\n"


def test_batches(place: Path) -> None:
    assert run(place, "nodes:Batch", "-i", "words.txt", "--hold", "3")[0] == "3\n1\n"


def test_realtime(place: Path) -> None:
    with wave.open(str(place / "in.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * 4000))
    began = time.monotonic()
    run(place, "nodes:Same", "-i", "in.wav", "-o", "out.wav", "--realtime")
    assert time.monotonic() - began > 0.45


FAILURES = {
    "process": (["nodes:Bad", "-i", "words.txt", "-o", "out.txt"], "medianode: process, frame 0 of input: ValueError"),
    "module": (["absent:Bad"], "module 'absent' was not found in the current directory (there are: nodes)\n"),
    "below": (["my_filter:N"], "in the current directory; did you mean deep/my_filter.py:N?\n"),
    "file below": (["my_filter.py:N"], "my_filter.py: No such file; did you mean deep/my_filter.py:N?\n"),
    "slash": (["deep/my_filter:N"], "did you mean deep/my_filter.py:N?\n"),
    "several": (["twice:N"], "in the current directory (there are: a/twice.py, b/twice.py)\n"),
    "file": (["absent/other.py:N"], "absent/other.py: No such file (there are: nodes)\n"),
    "dots": (["deep/a.b.py:N"], "deep/a.b.py: no module can have the name 'a.b'\n"),
    "class": (["nodes:Absent"], "has no class 'Absent'"),
    "two": (["nodes:Two", "-i", "words.txt", "--exactly-one"], "exactly one frame for each; it gave 2"),
    "no file": (["nodes:Same", "-i", "absent.txt"], "medianode: absent.txt: No such file"),
    "no wav": (["nodes:Same", "-i", "nodes.wav"], "nodes.wav: no WAV file"),
    "no input": (["nodes:Same"], "Same has no produce, so something must come in: give --input FILE\n"),
    "no input of a batch": (["nodes:Batch"], "Batch has no produce, so something must come in: give --input FILE\n"),
    "nothing": (["nodes:Nothing"], "Nothing has no produce: write it"),
    "kind": (["nodes:Same", "-i", "words.txt", "-o", "out.wav"], "frame 0 of port output is text, want audio"),
    "where": (["nodes:Same", "-i", "words.txt", "-o", "absent/out.txt"], "absent/out.txt.partial: No such file"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures(place: Path, name: str) -> None:
    arguments, message = FAILURES[name]
    (place / "nodes.wav").write_text("no sound")
    # Of the first three, only one is where one would look.
    files = (
        ".hidden/my_filter.py",
        "venv/my_filter.py",
        "deep/my_filter.py",
        "a/twice.py",
        "b/twice.py",
        "deep/a.b.py",
    )
    for file in files:
        (place / file).parent.mkdir(exist_ok=True)
        (place / file).write_text("")
    _, err = run(place, *arguments, code=1)
    assert message in err
    assert str(PACKAGE / "medianode") not in err
    assert not (place / "out.txt").exists()
    if name == "process":
        assert err.count("File ") == 2
        assert (place / "out.txt.partial").exists()


def test_traces_of_imports(place: Path) -> None:
    """Only the user's lines are in them, also where an error has a cause."""
    (place / "worse.py").write_text("class N(Node) pass\n")
    code = "try:\n    import worse\nexcept SyntaxError as e:\n    raise OSError('no') from e\n"
    (place / "wrong.py").write_text(code)
    _, err = run(place, "wrong:N", code=1)
    assert "importlib" not in err
    assert [line.split(os.sep)[-1] for line in err.splitlines() if "File " in line] == [
        'wrong.py", line 2, in <module>', 'worse.py", line 1', 'wrong.py", line 4, in <module>',
    ]  # fmt: skip
    assert re.search(r"\n    class N\(Node\) pass\n +\^+\nSyntaxError: ", err)
    assert err.endswith("medianode: import: OSError: no\n")


def test_usage(place: Path) -> None:
    for arguments in (["walk"], ["run"], ["run", "nodes:Same", "--chunk", "0"], ["run", "nodes:Same", "--param", "x"]):
        process = start(place, *arguments)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 2
        assert "usage: python -m medianode" in err
    process = start(place)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "MEDIANODE_NODE is not set" in err
    assert "python -m medianode run mynode:Upper --input words.txt" in err
    process = start(place, "run", "--help")
    assert "examples:" in process.communicate(timeout=30)[0]


def wait_for(process: subprocess.Popen[str], stream: Optional[Any], text: str) -> None:
    assert stream is not None
    while line := stream.readline():
        if text in line:
            return
    raise AssertionError(f"no {text!r}, exit code {process.wait()}")


def test_interrupt_at_work(place: Path) -> None:
    process = start(place, "run", "nodes:Slow", "-i", "-", "-o", "out.txt")
    assert process.stdin is not None
    process.stdin.write("a\nb\nc\n")
    process.stdin.flush()
    wait_for(process, process.stderr, "at work")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert (place / "out.txt").read_text() == "a\nclosed\n"
    process.communicate()


def test_interrupted_twice(place: Path) -> None:
    (place / "hang.py").write_text(
        "import time, threading\nfrom medianode import Node\nclass Hang(Node):\n"
        "    def process(self, frame):\n"
        "        threading.Thread(target=time.sleep, args=(3600,)).start()\n"
        "        print('at work', flush=True)\n        time.sleep(3600)\n"
    )
    process = start(place, "run", "hang:Hang", "-i", "words.txt", "-o", "out.txt")
    wait_for(process, process.stderr, "at work")
    process.send_signal(signal.SIGINT)
    wait_for(process, process.stderr, "once more")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert (place / "out.txt.partial").exists()
    assert "left behind" in process.communicate()[1]


def test_interrupt_while_it_reads(place: Path) -> None:
    process = start(place, "run", "nodes:Slow", "-i", "-", "-o", "out.txt")
    assert process.stdin is not None
    process.stdin.write("a\n")
    process.stdin.flush()
    wait_for(process, process.stderr, "at work")
    time.sleep(0.8)  # by now it waits for a line that does not come
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert (place / "out.txt").read_text() == "a\nclosed\n"
    process.communicate()


def test_interrupted_source(place: Path) -> None:
    process = start(place, "run", "nodes:Count", "-o", "out.jsonl")
    until = time.monotonic() + 10
    while not (place / "out.jsonl.partial").exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert (place / "out.jsonl").read_text().splitlines()[-1] == '"closed"'
    process.communicate()


def test_the_wheel(place: Path) -> None:
    """It is whole, and runs a node without iceoryx2 and numpy."""
    pytest.importorskip("setuptools", minversion="70.1")  # what builds it, with wheels of its own; a venv may have none
    source = place / "source"
    shutil.copytree(PACKAGE / "medianode", source / "medianode", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PACKAGE / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", str(source)], cwd=place, check=True
    )
    (wheel,) = (place / "dist").iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", "site", str(wheel)], cwd=place, check=True)
    installed, written = (
        {p.name for p in (where / "medianode").iterdir() if p.suffix in (".py", ".typed")}
        for where in (place / "site", PACKAGE)
    )
    assert installed == written
    (metadata,) = (place / "site").glob("*.dist-info/METADATA")
    text = metadata.read_text("utf-8")
    assert re.search(r"Requires-Dist: iceoryx2==[\d.]+; extra == .container.", text)
    assert "## Run it locally" in text
    code = (
        "import sys, runpy\n"
        "sys.path.insert(0, 'site')\n"
        "sys.modules['iceoryx2'] = sys.modules['numpy'] = None\n"
        "sys.argv[1:] = ['run', 'nodes:Upper', '-i', 'words.txt']\n"
        "runpy.run_module('medianode', run_name='__main__', alter_sys=True)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    out = subprocess.run([sys.executable, "-c", code], cwd=place, env=environment, capture_output=True, text=True)
    assert out.stdout == "A\nB\n\nD\n", out.stderr
