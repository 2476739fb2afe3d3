"""One step of an image build. The Dockerfile binds this directory into the step
that runs it; no image holds it."""

import os
import sys

from debian import apt
from layers import layers, remove, sdk
from packages import install, venv


def python(version):
    have = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if have != version[0]:
        sys.exit(f"base_image has Python {have}, but docker.python_version is {version[0]}")


def main(verb, *arguments):
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of a set is in bytecode
        env = dict(os.environ, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")
        os.execve(sys.executable, [sys.executable, *sys.argv], env)
    if verb == "apt":
        apt(arguments)
    elif verb == "python":
        python(arguments)
    elif verb == "venv":
        venv(arguments)
    elif verb == "install":
        install(int(arguments[0]), arguments[1:])
    elif verb == "layers":
        layers(int(arguments[0]))
    elif verb == "remove":
        remove(arguments[0])
    elif verb == "sdk":
        sdk(arguments)
    else:
        sys.exit(f"no step is called {verb}")


if __name__ == "__main__":
    main(*sys.argv[1:])
