"""One step of an image build. The Dockerfile binds this file into the step that
runs it; no image holds it. Arguments are lists from end to end, no shell."""

import importlib.metadata
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile

CA = "/run/secrets/ca"  # certificates for the build alone; the builder need not have any
VENV = "/opt/venv"
LAYERS = "/layers"  # what the final stage copies, a directory a layer
CACHE = "/root/.cache"  # kept from build to build, used by several at once
UV = "0.13.9"
# The last line of setuptools whose pkg_resources does not warn on stderr.
SETUPTOOLS = "setuptools==75.8.2"
HEAVY = 1 << 20  # bytes of a package that are worth a layer
# Some tools (zip among them) know no time before 1980.
EPOCH = 315532800


def say(text):
    print(f"medianode: {text}", flush=True)


def environment():
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", SOURCE_DATE_EPOCH=str(EPOCH), PERL_HASH_SEED="0")
    # Debug symbols hold the random directory of the compilation, and are most of the bytes.
    env["LDFLAGS"] = f"{env.get('LDFLAGS', '')} -Wl,--strip-debug".strip()
    env["PIP_CACHE_DIR"] = CACHE + "/pip"
    env["NPY_DISTUTILS_APPEND_FLAGS"] = "1"  # old numpy.distutils would lose its own flags otherwise
    if os.path.exists(CA) and os.path.getsize(CA) > 0:
        for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"):
            env[name] = CA
    return env


def run(argv, env=None):
    code = subprocess.call(argv, env=env or environment(), stdin=subprocess.DEVNULL)
    if code != 0:
        sys.exit(code if code > 0 else 128 - code)


def python(version):
    have = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if have != version[0]:
        sys.exit(f"base_image has Python {have}, but docker.python_version is {version[0]}")


# Debian packages.


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


# Python packages.


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


def identity(path):
    """What makes a file this one: to write the same bytes again changes nothing."""
    import hashlib

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


def standard_library():
    """Compiles it where the base image has no bytecode, as Python's own images
    have none: every start of a container would compile what it imports."""
    import importlib.util

    top = sysconfig.get_path("stdlib")
    if os.path.realpath(top) != top or not top.startswith("/usr/"):
        return []
    seldom = [
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "dist-packages",
        "tkinter",
        "turtledemo",
    ]
    names = [n for n in sources(top, seldom) if not os.path.exists(importlib.util.cache_from_source(n))]
    compile_all(names)
    return [n for n in map(importlib.util.cache_from_source, names) if os.path.exists(n)]


def install(slots, arguments):
    """Requirements and wheels, weighed against each other in one call."""
    install_with_any(arguments)
    if "setuptools" not in distributions() and any(imports_pkg_resources(f) for f in sources(site())):
        # Without being asked for, setuptools is in environments up to Python 3.11 only.
        say(f"a package imports pkg_resources without requiring it: {SETUPTOOLS} is installed besides")
        install_with_any([SETUPTOOLS])
    layers(slots)


def install_with_any(arguments):
    uv = find_uv()
    if uv:
        failed = with_uv(uv, arguments)
        if not failed:
            return
        say(f"{failed}: pip tries")
    with_pip(arguments)


def with_uv(uv, arguments):
    """Why pip should try; nothing if all is well. A package that does not compile ends the build."""
    env = dict(environment(), UV_CACHE_DIR=CACHE + "/uv", UV_LINK_MODE="copy", UV_PYTHON_DOWNLOADS="never")
    env["UV_NO_PROGRESS"] = "1"
    argv = [uv, "pip", "install", "--python", VENV + "/bin/python", *arguments]
    process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    compiled = True
    for line in process.stderr:
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
        compiled = compiled and b"Failed to build" not in line
    code = process.wait()
    if not compiled:
        sys.exit(code or 1)
    return f"uv could not install the packages (exit code {code})" if code else ""


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
    options = ["--disable-pip-version-check", "--no-compile", "--no-input", "--progress-bar=off"]
    if pip_version() >= (22, 3):  # the first that installs into another environment
        run([sys.executable, "-m", "pip", "--python", VENV + "/bin/python", "install", *options, *arguments])
        return
    own = [VENV + "/bin/python", "-m", "pip"]
    before = set(distributions())
    run([own[0], "-m", "ensurepip"])
    brought = set(distributions()) - before - {"pip"}
    if brought:
        run([*own, "uninstall", "--yes", *sorted(brought)])
    run([*own, "install", *options, *arguments])
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


def sources(top, without=()):
    """Python files that are not a package's own tests."""
    for directory, children, files in os.walk(top):
        children[:] = sorted(c for c in children if c not in ("tests", "test", "__pycache__", *without))
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.join(directory, name)


def imports_pkg_resources(name):
    with open(name, "rb") as file:
        text = file.read()
    pattern = rb"^\s*(import|from)\s+pkg_resources\b|__import__\(.pkg_resources"
    return re.search(pattern, text, re.MULTILINE) is not None


# Bytecode.


def compile_one(name):
    """The same bytes whatever was compiled before, from a cache of all builds if it has them."""
    import hashlib
    import importlib.util
    import py_compile

    target = importlib.util.cache_from_source(name)
    with open(name, "rb") as file:
        source = file.read()
    if os.path.exists(target):  # what has a hash is of this source, or of a version before
        with open(target, "rb") as file:
            head = file.read(16)
        if (len(head) == 16 and not head[4] & 1) or head[8:] == importlib.util.source_hash(source):
            return
    key = hashlib.sha256(name.encode() + b"\0" + importlib.util.MAGIC_NUMBER + source).hexdigest()
    known = f"{CACHE}/medianode/pyc/{key[:2]}/{key}"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.exists(known):
        shutil.copyfile(known, target)
        return
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(name, target, doraise=True, quiet=2, invalidation_mode=mode)
    except (py_compile.PyCompileError, SyntaxError, ValueError, RecursionError):
        return  # none of our business: packages ship templates
    if os.path.isdir(CACHE):
        os.makedirs(os.path.dirname(known), exist_ok=True)
        partial = f"{known}.{os.getpid()}.{os.urandom(4).hex()}"
        shutil.copyfile(target, partial)
        os.replace(partial, known)


def compile_all(names):
    import concurrent.futures

    with concurrent.futures.ProcessPoolExecutor() as pool:
        for _ in pool.map(compile_one, names, chunksize=16):
            pass


# Layers.


def layers(slots):
    """Moves the environment into so many directories: what every node has, the
    heaviest packages by themselves, the rest. A package that another node has
    too is then the same layer there, whatever else the two have."""
    compile_all(sources(site()))
    leave_new()
    found = distributions()
    files = {name: owned(d) for name, d in found.items()}
    size = {name: sum(os.lstat(f).st_size for f in files[name]) for name in files}
    common = read(LAYERS + "/common") + files.pop("iceoryx2", [])
    heavy = sorted((n for n in files if size[n] >= HEAVY), key=lambda n: (-size[n], n))[:slots]
    level = levels(found)
    os.remove(LAYERS + "/common")
    for path in common:
        move(path, "common")
    for slot, name in enumerate(sorted(heavy, key=lambda n: (level[n], n))):
        say(f"a layer of its own: {name} {found[name].version}, {size[name] / 1e6:.1f} MB")
        for path in files[name]:
            move(path, str(slot))
    for path in files_below(VENV):
        move(path, "rest")
    os.makedirs(f"{LAYERS}/common/root/tmp/iceoryx2")
    finish(["common", *map(str, range(slots)), "rest"])
    for name in ("tmp", "tmp/iceoryx2"):
        os.chmod(f"{LAYERS}/common/root/{name}", 0o1777)


def leave_new():
    """Leaves of the environment what the base does not have, and lists what only the base has."""
    had, have = read(LAYERS + "/had"), files_below(VENV)
    for path in have:
        if had.get(path) == identity(path):
            os.remove(path)
    write(LAYERS + "/gone", sorted(set(had) - set(have)))


def remove(name):
    """Removes what is listed, and the directories that this empties."""
    for path in read(name):
        os.remove(path)
        directory = os.path.dirname(path)
        while directory != VENV and not os.listdir(directory):
            os.rmdir(directory)
            directory = os.path.dirname(directory)


def owned(distribution):
    """Files of a distribution, with their bytecode; without those that say who asked for it."""
    import importlib.util

    paths = set()
    for f in distribution.files or ():
        path = os.path.normpath(str(distribution.locate_file(f)))
        if path.startswith(VENV + "/") and os.path.basename(path) not in ("RECORD", "REQUESTED"):
            paths.add(path)
            if path.endswith(".py"):
                paths.add(importlib.util.cache_from_source(path))
    return sorted(p for p in paths if os.path.lexists(p))


def levels(found):
    """How many packages stand below one another under each: numpy comes before what needs it."""
    needs = {}
    for name, d in found.items():
        texts = [r for r in d.requires or () if "extra ==" not in r]
        needs[name] = {normalized(re.match(r"[A-Za-z0-9._-]+", r.strip()).group()) for r in texts} & set(found) - {name}
    level = dict.fromkeys(found, 0)
    for _ in range(16):  # circles end too
        level = {name: 1 + max((level[n] for n in needs[name]), default=-1) for name in found}
    return level


def move(path, layer):
    if not os.path.lexists(path):
        return
    target = f"{LAYERS}/{layer}/root{path}"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.move(path, target)


def finish(names):
    """Times that say nothing, and a mode for every directory that does not depend on who made it."""
    for name in names:
        os.makedirs(f"{LAYERS}/{name}/root", exist_ok=True)
        for path, info in walk(f"{LAYERS}/{name}"):
            if stat.S_ISDIR(info.st_mode):
                os.chmod(path, 0o755)
            os.utime(path, (0, 0), follow_symlinks=False)


def sdk(arguments):
    """The SDK's files, where they will be, compiled."""
    target = f"{site()}/medianode"
    shutil.copytree(arguments[0], target, dirs_exist_ok=True)
    compile_all(sources(target))
    for path in files_below(target):
        move(path, "sdk")
    finish(["sdk"])


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
