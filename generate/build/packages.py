"""The environment, and the Python packages in it."""

import os
import re
import subprocess
import sys

from bytecode import sources, standard_library
from common import LAYERS, VENV, distributions, files_below, identity, run, say, site, write
from installers import install_pinned, install_with_any
from layers import layers

# The last line of setuptools whose pkg_resources does not warn on stderr.
SETUPTOOLS = "setuptools==75.8.2"


def venv(packages):
    """The environment that the base has, if it can be gone on with, or a new
    one without pip; and packages that every node has in it."""
    had = {path: identity(path) for path in files_below(VENV)} if os.path.isdir(VENV) else {}
    if goes_on():
        say(f"goes on with {VENV} of the base image")
        own = []
    else:
        run([sys.executable, "-m", "venv", "--clear", "--without-pip", VENV])
        own = files_below(VENV)
    os.makedirs(LAYERS)
    write(LAYERS + "/had", had)
    write(LAYERS + "/common", own + standard_library())
    install_with_any(packages)


def goes_on():
    """Whether there is an environment of this very Python."""
    version = tuple(sys.version_info[:2])
    test = f"import sys; sys.exit(sys.prefix == sys.base_prefix or sys.version_info[:2] != {version})"
    try:
        return subprocess.call([VENV + "/bin/python", "-I", "-c", test]) == 0
    except OSError:
        return False


def install(slots, arguments):
    """Requirements and wheels, weighed against each other in one call."""
    install_with_any(arguments)
    if "setuptools" not in distributions() and any(imports_pkg_resources(f) for f in sources(site())):
        # Without being asked for, setuptools is in environments up to Python 3.11 only.
        say(f"a package imports pkg_resources without requiring it: {SETUPTOOLS} is installed besides")
        install_pinned(SETUPTOOLS)
    layers(slots)


def imports_pkg_resources(name):
    with open(name, "rb") as file:
        text = file.read()
    pattern = rb"^\s*(import|from)\s+pkg_resources\b|__import__\(.pkg_resources"
    return re.search(pattern, text, re.MULTILINE) is not None
