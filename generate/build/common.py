"""What the steps of a build have in common. Lists of arguments are lists from
end to end, no shell."""

import hashlib
import importlib.metadata
import json
import os
import re
import stat
import subprocess
import sys

CA = "/run/secrets/ca"  # certificates for the build alone; the builder need not have any
VENV = "/opt/venv"
LAYERS = "/layers"  # what the final stage copies, a directory a layer
CACHE = "/root/.cache"  # kept from build to build, used by several at once
# Some tools (zip among them) know no time before 1980.
EPOCH = 315532800


def say(text):
    print(f"medianode: {text}", flush=True)


def environment():
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", SOURCE_DATE_EPOCH=str(EPOCH), PERL_HASH_SEED="0")
    # Debug symbols hold the random directory of the compilation, and are most of the bytes.
    env["LDFLAGS"] = f"{env.get('LDFLAGS', '')} -Wl,--strip-debug".strip()
    env["NPY_DISTUTILS_APPEND_FLAGS"] = "1"  # old numpy.distutils would lose its own flags otherwise
    if os.path.exists(CA) and os.path.getsize(CA) > 0:
        for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"):
            env[name] = CA
    return env


def run(argv, env=None):
    code = subprocess.call(argv, env=env or environment(), stdin=subprocess.DEVNULL)
    if code != 0:
        sys.exit(code if code > 0 else 128 - code)


def walk(top):
    """Every path of the file system of top, children before their directory."""
    device = os.lstat(top).st_dev
    for entry in sorted(os.scandir(top), key=lambda entry: entry.name):
        info = entry.stat(follow_symlinks=False)
        if info.st_dev != device:
            continue
        if stat.S_ISDIR(info.st_mode):
            yield from walk(entry.path)
        else:
            yield entry.path, info
    yield top, os.lstat(top)


def files_below(top):
    return [path for path, info in walk(top) if not stat.S_ISDIR(info.st_mode)]


def identity(path):
    """What makes a file this one: to write the same bytes again changes nothing."""
    mode = os.lstat(path).st_mode
    if os.path.islink(path):
        return [mode, os.readlink(path)]
    with open(path, "rb") as file:
        return [mode, hashlib.sha256(file.read()).hexdigest()]


def write(name, value):
    with open(name, "w", encoding="utf-8") as file:
        json.dump(value, file)


def read(name):
    with open(name, encoding="utf-8") as file:
        return json.load(file)


def site():
    return f"{VENV}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions():
    found = {}
    for d in importlib.metadata.distributions(path=[site()]):
        if d.metadata["Name"]:
            found[normalized(d.metadata["Name"])] = d
    return found
