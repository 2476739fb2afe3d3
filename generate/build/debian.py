"""Debian packages."""

import os

from common import CA, environment, run, walk


def apt(packages):
    options = [
        "-o",
        "APT::Keep-Downloaded-Packages=true",
        "-o",
        "Acquire::Retries=3",
        "-o",
        "Dpkg::Options::=--force-unsafe-io",
    ]
    if "PIP_CERT" in environment():
        options += ["-o", "Acquire::https::CaInfo=" + CA]
    before = {path: state(info) for path, info in walk("/")}
    run(["apt-get", *options, "update"])
    run(["apt-get", *options, "install", "--yes", "--no-install-recommends", "--", *packages])
    # Caches of what else is there, with inode numbers and times in them.
    caches = "cache/ldconfig/aux-cache lib/dpkg/status-old lib/dpkg/diversions-old cache/debconf/config.dat-old"
    for name in [*caches.split(), "cache/debconf/templates.dat-old"]:
        if os.path.exists("/var/" + name):
            os.remove("/var/" + name)
    for path, info in walk("/"):
        if before.get(path) != state(info):
            os.utime(path, (0, 0), follow_symlinks=False)


def state(info):
    return info.st_ino, info.st_mtime_ns, info.st_ctime_ns
