"""What the final stage copies."""

import importlib.util
import os
import re
import shutil
import stat

from bytecode import compile_all, sources
from common import LAYERS, VENV, distributions, files_below, identity, normalized, read, say, site, walk, write

HEAVY = 1 << 20  # bytes of a package that are worth a layer


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


def owned(distribution):
    """Files of a distribution, with their bytecode; without those that say who asked for it."""
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


def sdk(arguments):
    """The SDK's files, where they will be, compiled."""
    target = f"{site()}/medianode"
    shutil.copytree(arguments[0], target, dirs_exist_ok=True)
    compile_all(sources(target))
    for path in files_below(target):
        move(path, "sdk")
    finish(["sdk"])
