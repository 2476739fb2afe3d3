"""One step of an image build. The Dockerfile binds this file into the step that
runs it; no image holds it. Arguments are lists from end to end, no shell."""

import json
import os
import sys

sys.dont_write_bytecode = True  # that of what is imported below would be in the image

CA = "/run/secrets/ca"  # certificates for the build alone; the builder need not have any


def environment():
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    if os.path.exists(CA) and os.path.getsize(CA) > 0:
        for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"):
            env[name] = CA
    return env


def run(argv):
    code = os.spawnvpe(os.P_WAIT, argv[0], argv, environment())
    if code != 0:
        sys.exit(code if code > 0 else 128 - code)


def apt(packages):
    options = ["-o", "APT::Keep-Downloaded-Packages=true", "-o", "Acquire::Retries=3"]
    if "PIP_CERT" in environment():
        options += ["-o", "Acquire::https::CaInfo=" + CA]
    run(["apt-get", *options, "update"])
    run(["apt-get", *options, "install", "--yes", "--no-install-recommends", "--", *packages])


class Compiled:
    """Tells the files that have bytecode, in the way in which compileall is told what to leave out."""

    def search(self, name):
        import importlib.util

        return os.path.exists(importlib.util.cache_from_source(name))


def compile_all(directories, leave_out=None):
    import compileall
    import py_compile

    # Files that do not compile are none of our business: packages ship templates.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for directory in directories:
        compileall.compile_dir(directory, quiet=2, rx=leave_out, workers=0, invalidation_mode=mode)


def python(version):
    have = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if have != version[0]:
        sys.exit(f"base_image has Python {have}, but docker.python_version is {version[0]}")


# The environment of a base image.


def venv(arguments):
    """The environment that the base has, if it can be gone on with, or a new one.
    What it was like is written down for delta."""
    directory, memory = arguments
    os.makedirs(memory)
    with open(memory + "/had", "w", encoding="utf-8") as file:
        json.dump({path: identity(path) for path in paths(directory)}, file)
    if goes_on(directory):
        print(f"goes on with {directory} of the base image", flush=True)
    else:
        run([sys.executable, "-m", "venv", "--clear", directory])


def goes_on(directory):
    """Whether there is an environment of this very Python, with pip."""
    import subprocess

    program = directory + "/bin/python"
    test = "import sys; sys.exit(sys.prefix == sys.base_prefix or sys.version_info[:2] != (%d, %d))" % sys.version_info[:2]
    try:
        if subprocess.call([program, "-I", "-c", test]) != 0:
            return False
        if subprocess.call([program, "-I", "-c", "import pip"], stderr=subprocess.DEVNULL) != 0:
            run([program, "-I", "-m", "ensurepip"])
    except OSError:
        return False
    return True


def delta(arguments):
    """Leaves of an environment what the base does not have, and lists what only the base has."""
    directory, memory = arguments
    compile_all([directory + "/lib"], Compiled())
    with open(memory + "/had", encoding="utf-8") as file:
        had = json.load(file)
    have = list(paths(directory))
    emptied = set()
    for path in have:
        if had.get(path) == identity(path):
            os.remove(path)
            emptied.add(os.path.dirname(path))
    prune(emptied, directory)
    with open(memory + "/gone", "w", encoding="utf-8") as file:
        json.dump(sorted(set(had) - set(have)), file)


def remove(arguments):
    """Removes what delta has listed."""
    directory, memory = arguments
    with open(memory + "/gone", encoding="utf-8") as file:
        gone = json.load(file)
    for path in gone:
        os.remove(path)
    prune({os.path.dirname(path) for path in gone}, directory)


def prune(directories, top):
    """Removes directories that are empty now, and those that this leaves empty."""
    for directory in directories:
        while directory != top and os.path.isdir(directory) and not os.listdir(directory):
            os.rmdir(directory)
            directory = os.path.dirname(directory)


def paths(top):
    """Everything below top that is no directory."""
    for directory, children, files in os.walk(top):
        for name in files + [c for c in children if os.path.islink(os.path.join(directory, c))]:
            yield os.path.join(directory, name)


def identity(path):
    """What makes a file this one: to write the same bytes again changes nothing."""
    import hashlib

    mode = os.lstat(path).st_mode
    if os.path.islink(path):
        return [mode, os.readlink(path)]
    with open(path, "rb") as file:
        return [mode, hashlib.sha256(file.read()).hexdigest()]


VERBS = {"run": run, "apt": apt, "compile": compile_all, "python": python, "venv": venv, "delta": delta, "remove": remove}

if __name__ == "__main__":
    VERBS[sys.argv[1]](sys.argv[2:])
