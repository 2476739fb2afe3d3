"""Says in one line what the Python of an image and the image around it are like.
Written for any Python 3, also for those that are too old to be a base."""

import glob
import json
import os
import platform
import sys

# What a build, pip and the SDK import; ensurepip and venv are packages of their own on Debian.
MODULES = ["venv", "ensurepip", "ssl", "zlib", "ctypes", "mmap", "fcntl", "select", "asyncio", "compileall", "hashlib"]
PROGRAMS = ["apt-get", "install"]
VENV = "/opt/venv"


def lacks(name):
    try:
        __import__(name)
    except Exception:  # an extension whose library is not there raises what it likes
        return True
    return False


def glibc():
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()
    except (AttributeError, OSError, ValueError):
        return ""
    return version if name == "glibc" else ""


def distribution(name):
    try:
        from importlib.metadata import version

        return version(name) or ""
    except Exception:  # before 3.8, or damaged
        return ""


def venv():
    try:
        with open(VENV + "/pyvenv.cfg") as f:
            pairs = [line.split("=", 1) for line in f if "=" in line]
    except (OSError, UnicodeDecodeError):
        return ""
    found = {key.strip(): value.strip() for key, value in pairs}
    return found.get("version") or found.get("version_info") or "unknown"


def configured(name):
    try:
        import sysconfig

        return bool(sysconfig.get_config_var(name))
    except Exception:
        return False


def runnable(name):
    places = os.environ.get("PATH", os.defpath).split(":")
    return any(os.access(os.path.join(p, name), os.X_OK) for p in places)


facts = {
    "version": ".".join(str(n) for n in sys.version_info[:3]),
    "path": sys.executable or "",
    "implementation": platform.python_implementation(),
    "bits": 64 if sys.maxsize > 2**32 else 32,
    "free_threaded": configured("Py_GIL_DISABLED"),
    "machine": platform.machine(),
    "glibc": glibc(),
    "musl": not glibc() and bool(glob.glob("/lib/ld-musl-*.so.1")),
    "lacks": [m for m in MODULES if lacks(m)],
    "programs": [p for p in PROGRAMS if runnable(p)],
    "iceoryx2": distribution("iceoryx2"),
    "venv": venv(),
    "hides": [f for f in ("/app/medianode", "/app/medianode.py") if os.path.exists(f)],
}
# A line of its own, whatever was printed before.
sys.stdout.write("\nmedianode-base " + json.dumps(facts) + "\n")
sys.stdout.flush()
