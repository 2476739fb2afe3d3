"""One step of an image build. The Dockerfile binds this file into the step that
runs it; no image holds it. Arguments are lists from end to end, no shell."""

import os
import sys

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


def compile_all(directories):
    import compileall
    import py_compile

    # Files that do not compile are none of our business: packages ship templates.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for directory in directories:
        compileall.compile_dir(directory, quiet=2, workers=0, invalidation_mode=mode)


def python(version):
    have = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if have != version[0]:
        sys.exit(f"base_image has Python {have}, but docker.python_version is {version[0]}")


if __name__ == "__main__":
    {"run": run, "apt": apt, "compile": compile_all, "python": python}[sys.argv[1]](sys.argv[2:])
