"""Bytecode that depends on nothing but the source and where it will be."""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import py_compile
import shutil
import sysconfig

from common import CACHE


def sources(top, without=()):
    """Python files that are not a package's own tests."""
    for directory, children, files in os.walk(top):
        children[:] = sorted(c for c in children if c not in ("tests", "test", "__pycache__", *without))
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.join(directory, name)


def compile_one(name):
    """The same bytes whatever was compiled before, from a cache of all builds if it has them."""
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
    """One build at a time: the next finds what they have in common."""
    with contextlib.ExitStack() as stack:
        if os.path.isdir(CACHE):
            os.makedirs(CACHE + "/medianode", exist_ok=True)
            lock = stack.enter_context(open(CACHE + "/medianode/pyc.lock", "w"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process
        pool = stack.enter_context(concurrent.futures.ProcessPoolExecutor())
        for _ in pool.map(compile_one, names, chunksize=16):
            pass


def standard_library():
    """Compiles it where the base image has no bytecode, as Python's own images
    have none: every start of a container would compile what it imports."""
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
