"""What installs Python packages: uv, or pip where uv cannot do it."""

import functools
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile

from common import CACHE, VENV, distributions, environment, run, say, walk

UV = "0.13.9"
# The parts of its cache that hold what was downloaded, and nothing that was compiled here.
UV_DOWNLOADS = ("archive-v0", "simple-v28", "wheels-v8")
PIP_DOWNLOADS = ("http", "http-v2")


def install_with_any(arguments):
    uv = find_uv()
    if uv:
        failed = with_uv(uv, arguments)
        if not failed:
            return
        say(f"{failed}: pip tries")
    with_pip(arguments)


def install_pinned(requirement):
    """One package in one version that needs no other: no index is asked if an earlier build has left it."""
    uv = find_uv()
    if uv:
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        if subprocess.call([*uv_install(uv), "--offline", requirement], env=uv_environment(), **quiet) == 0:
            return
    install_with_any([requirement])


def uv_install(uv):
    return [uv, "pip", "install", "--python", VENV + "/bin/python"]


def uv_environment():
    env = dict(environment(), UV_CACHE_DIR=own_cache("uv", UV_DOWNLOADS), UV_LINK_MODE="copy", UV_NO_PROGRESS="1")
    env["UV_PYTHON_DOWNLOADS"] = "never"
    # Indexes stall at times: another request mostly does not.
    env.setdefault("UV_HTTP_TIMEOUT", "15")
    env.setdefault("UV_HTTP_RETRIES", "5")
    files = ("/etc/uv/uv.toml", "/etc/xdg/uv/uv.toml", os.path.expanduser("~/.config/uv/uv.toml"))
    if not {"UV_CONFIG_FILE", "UV_NO_CONFIG"} & set(env) and not any(map(os.path.exists, files)):
        env["UV_CONFIG_FILE"] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "uv.toml")
    return env


def with_uv(uv, arguments):
    """Why pip should try; nothing if all is well. A package that does not compile ends the build."""
    process = subprocess.Popen(
        [*uv_install(uv), *arguments], env=uv_environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    compiled = True
    for line in process.stderr:
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
        compiled = compiled and b"Failed to build" not in line
    code = process.wait()
    if not compiled:
        sys.exit(code or 1)
    return f"uv could not install the packages (exit code {code})" if code else ""


def own_cache(installer, downloads):
    """A cache for an installer in which builds find what was compiled on the same
    base with the same Debian packages, and what was downloaded by any: a package
    compiled against other headers is another one, and neither uv nor pip sees that."""
    own = f"{CACHE}/medianode/compiled/{surroundings()}/{installer}"
    os.makedirs(own, exist_ok=True)
    for name in downloads:
        os.makedirs(f"{CACHE}/{installer}/{name}", exist_ok=True)
        try:
            os.symlink(f"{CACHE}/{installer}/{name}", f"{own}/{name}")
        except FileExistsError:
            pass
    return own


@functools.cache
def surroundings():
    """A hash of what a package that is compiled here may depend on beside its source."""
    known = [sys.version, os.confstr("CS_GNU_LIBC_VERSION") or ""]
    names = re.compile(r"CC|CXX|LD|AR|\w*FLAGS|\w*PATH")
    known += [f"{name}={value}" for name, value in sorted(os.environ.items()) if names.fullmatch(name)]
    for name in ("/etc/os-release", "/var/lib/dpkg/status"):
        if os.path.exists(name):
            with open(name, encoding="utf-8", errors="replace") as file:
                known += [line for line in file if not line.startswith("Status:")]
    for path, info in walk("/usr/local"):  # what a base has that no Debian package brought
        if not stat.S_ISDIR(info.st_mode) and "/python3" not in path:
            known.append(f"{path} {info.st_size}")
    return hashlib.sha256("\0".join(known).encode()).hexdigest()[:16]


def find_uv():
    """uv's program, from PyPI once for all builds of an engine."""
    reason = configured_pip()
    if reason:
        say(f"pip installs the packages: {reason}, which uv does not read")
        return None
    home = f"{CACHE}/medianode/uv-{UV}-{sysconfig.get_config_var('SOABI')}"
    program = home + "/bin/uv"
    if not runs(program):
        os.makedirs(os.path.dirname(home), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(home)) as temp:
            options = [
                "--quiet",
                "--disable-pip-version-check",
                "--no-compile",
                "--no-input",
                "--no-deps",
                "--only-binary=:all:",
            ]
            argv = [sys.executable, "-m", "pip", "install", *options, "--target", temp + "/uv", "uv==" + UV]
            done = subprocess.run(argv, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0 or not runs(temp + "/uv/bin/uv"):
                why = (done.stdout.decode(errors="replace").strip() or "it does not run").splitlines()[-1]
                say(f"pip installs the packages: uv {UV} cannot be had here: {why}")
                return None
            try:
                os.rename(temp + "/uv", home)
            except OSError:  # another build was faster, or what is there does not run
                if not runs(program):
                    shutil.rmtree(home)
                    os.rename(temp + "/uv", home)
    return program


def runs(program):
    try:
        return subprocess.call([program, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def configured_pip():
    """How the base image configures pip, if it does: an index of one's own must not be passed over."""
    harmless = ["CERT", "DISABLE_PIP_VERSION_CHECK", "NO_CACHE_DIR", "ROOT_USER_ACTION", "DEFAULT_TIMEOUT", "NO_INPUT"]
    for name in sorted(os.environ):
        if name.startswith("PIP_") and name[4:] not in harmless:
            return name
    for directory in ("/etc", "/etc/xdg/pip", "~/.pip", "~/.config/pip", sys.prefix, VENV):
        name = os.path.expanduser(directory + "/pip.conf")
        if os.path.exists(name):
            return name
    return ""


def with_pip(arguments):
    env = dict(environment(), PIP_CACHE_DIR=own_cache("pip", PIP_DOWNLOADS))
    options = ["--disable-pip-version-check", "--no-compile", "--no-input", "--progress-bar=off"]
    if pip_version() >= (22, 3):  # the first that installs into another environment
        run([sys.executable, "-m", "pip", "--python", VENV + "/bin/python", "install", *options, *arguments], env)
        return
    own = [VENV + "/bin/python", "-m", "pip"]
    before = set(distributions())
    run([own[0], "-m", "ensurepip"])
    brought = set(distributions()) - before - {"pip"}
    if brought:
        run([*own, "uninstall", "--yes", *sorted(brought)])
    run([*own, "install", *options, *arguments], env)
    if "pip" not in before and not any(re.match(r"pip\b(?!-)", line) for line in requested(arguments)):
        run([*own, "uninstall", "--yes", "pip"])


def pip_version():
    try:
        import pip
    except ImportError:
        return (0, 0)
    found = re.match(r"(\d+)\.(\d+)", getattr(pip, "__version__", ""))
    return tuple(map(int, found.groups())) if found else (0, 0)


def requested(arguments):
    for i, argument in enumerate(arguments):
        if i and arguments[i - 1] == "-r":
            with open(argument, encoding="utf-8") as file:
                yield from file
        else:
            yield argument
