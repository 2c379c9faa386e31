"""Assemble the Python that runs in the browser: `python lite/runtime.py --wheel dist/tinytorch-*.whl`.

Fills lite/static/pyodide/ (git-ignored) with Pyodide, NumPy, matplotlib, the wheels of JupyterLite's kernel
and our own wheel, so that a page never asks another origin for anything. JupyterLite finds the folder by
itself; the live cells of the book find it through lite/live/worker.js. What lies in it:

- Pyodide's core from the npm package `pyodide`, its standard library compiled to bytecode;
- every wheel of the kernel, slimmed and compiled, and a pyodide-lock.json that names exactly these;
- kernel-packages.json, the list for JupyterLite's `loadPyodideOptions.packages`;
- live/, what the live cells start from (see live/boot.js).

Nothing enters that does not have the SHA-256 written in Pyodide's own lock file, in
runtime/kernel-wheels.txt, or in package-lock.json. Downloads are kept in a cache (`TINYTORCH_CACHE`, default
.cache/ in the repository), and so is every compiled wheel: a second build needs no network, and without a
change it does nothing.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

LITE = Path(__file__).resolve().parent
NODE_MODULES = LITE / "node_modules"
STATIC = LITE / "static" / "pyodide"
STAMP = "runtime-stamp.json"

CORE_FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "package.json")
KEPT_SNAPSHOTS = 3  # in the cache, so that going back to an older commit needs no new one
SNAPSHOT_PARTS = ("core", "memory", "modules", "site")
IMPORTED_ON_DEMAND = ("datasets", "journey", "tito")  # subpackages that `import tinytorch` does not import
LIVE_MODULES = (LITE / "runtime/live_cells.py", LITE / "runtime/live_figures.py")
PUBLIC_CDN = "https://cdn.jsdelivr.net/pyodide/v{version}/full/{name}"
# A published package that carries the same files byte for byte, for when the CDN is out of reach.
REDISTRIBUTION = "open-webui-fang==0.12.3"
REDISTRIBUTED_UNDER = "open_webui/frontend/pyodide/"

# What a notebook gets before its first cell runs. matplotlib comes when it is imported.
KERNEL_SHIMS = ("ipykernel", "piplite", "pyodide-kernel")
KERNEL_ROOTS = ("micropip", "comm", "jedi", "ipython", "numpy", "tinytorch", *KERNEL_SHIMS)
LAZY_ROOTS = ("matplotlib",)

# Left out of the wheels: nothing of this is read at run time. jedi keeps its stubs of the standard library.
DROPPED = re.compile(
    r"(^|/)tests/|^numpy/(f2py|_pyinstaller|distutils)/|/mpl-data/sample_data/|\.(pyi|pxd|pyx|h|a|c|js\.map)$"
    r"|^jedi/third_party/(django-stubs|typeshed/third_party|typeshed/stdlib/2)/"
)
KEPT = re.compile(r"^jedi/third_party/typeshed/stdlib/(3|2and3|3\.\d)/")


class RuntimeBuildError(Exception):
    """The browser runtime cannot be assembled; the message says what to do."""


@dataclass(frozen=True)
class Wheel:
    """A wheel on disk and what the lock file says of it."""

    name: str
    version: str
    path: Path
    depends: tuple[str, ...]
    imports: tuple[str, ...]

    @property
    def sha256(self) -> str:
        return sha256(self.path)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def say(message: str) -> None:
    print(f"runtime: {message}", flush=True)


def cache_dir(*parts: str) -> Path:
    """A folder of the download cache, made when missing."""
    root = Path(os.environ.get("TINYTORCH_CACHE") or LITE.parent / ".cache")
    folder = root.expanduser().resolve().joinpath("runtime", *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RuntimeBuildError(
            f"the cache folder {folder} cannot be made ({error.strerror}); "
            "set TINYTORCH_CACHE to a folder you can write"
        ) from error
    return folder


def run(command: list[str], what: str, hint: str) -> None:
    """Run a command quietly; on failure raise with its last lines and a hint."""
    try:
        done = subprocess.run(command, cwd=LITE, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RuntimeBuildError(f"{what}: {command[0]} is not installed. {hint}") from error
    if done.returncode:
        last_lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise RuntimeBuildError(f"{what} failed. {hint}\n{last_lines}")


def install_npm_packages() -> None:
    """`npm ci`, unless the Pyodide that package-lock.json names is there."""
    pins = json.loads((LITE / "package-lock.json").read_text())["packages"]
    installed = NODE_MODULES / "pyodide" / "package.json"
    pinned = pins["node_modules/pyodide"]["version"]
    if installed.is_file() and json.loads(installed.read_text())["version"] == pinned:
        return
    say("installing the pinned npm packages")
    run(
        ["npm", "ci", "--no-audit", "--no-fund", "--prefer-offline"],
        "npm ci",
        "It needs Node 20 or newer and, the first time, a network on which npm works.",
    )


def upstream_lock() -> dict:
    return json.loads((NODE_MODULES / "pyodide" / "pyodide-lock.json").read_text())


def closure(roots: Iterable[str], depends: Mapping[str, Iterable[str]]) -> list[str]:
    """The named packages and all they depend on, sorted."""
    found: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += depends.get(name, ())
    return sorted(found)


def pyodide_wheels(roots: Iterable[str], lock: dict, version: str) -> list[Wheel]:
    """The roots and their closure in Pyodide's own lock: cached, from the CDN, or from the redistribution."""
    entries = lock["packages"]
    depends = {name: tuple(canonicalize_name(d) for d in entry["depends"]) for name, entry in entries.items()}
    folder = cache_dir("pyodide", version)
    wanted = {entries[name]["file_name"]: entries[name] for name in closure(roots, depends)}
    missing = [file for file, entry in wanted.items() if not intact(folder / file, entry["sha256"])]
    if missing:
        try:
            for file in missing:
                say(f"downloading {file}")
                fetch_from_cdn(file, version, folder / file, wanted[file]["sha256"])
        except OSError as error:
            say(f"Pyodide's CDN does not answer: {error}")
            say(f"taking the same files from {REDISTRIBUTION} (104 MB)")
            missing = [file for file in missing if not (folder / file).is_file()]
            take_from_redistribution({file: wanted[file]["sha256"] for file in missing}, folder)
    return [
        Wheel(
            canonicalize_name(entry["name"]),
            entry["version"],
            folder / file,
            tuple(canonicalize_name(d) for d in entry["depends"]),
            tuple(entry["imports"]),
        )
        for file, entry in wanted.items()
    ]


def intact(path: Path, digest: str) -> bool:
    """Whether path holds the bytes with this SHA-256; a damaged file is removed."""
    if not path.is_file():
        return False
    if sha256(path) == digest:
        return True
    say(f"{path.name} in the cache is damaged; fetching it again")
    path.unlink()
    return False


def keep(data: bytes, path: Path, digest: str, source: str) -> None:
    """Write checked bytes to the cache in one step."""
    got = hashlib.sha256(data).hexdigest()
    if got != digest:
        raise RuntimeBuildError(
            f"{path.name} from {source} is not the file Pyodide published: SHA-256 {got}, expected {digest}. "
            "Nothing was kept; try another network."
        )
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)


def fetch_from_cdn(name: str, version: str, path: Path, digest: str) -> None:
    url = PUBLIC_CDN.format(version=version, name=name)
    with urllib.request.urlopen(url, timeout=10) as response:
        keep(response.read(), path, digest, "Pyodide's CDN")


def take_from_redistribution(digests: dict[str, str], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        run(
            [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "-d", scratch, REDISTRIBUTION],
            f"pip download {REDISTRIBUTION}",
            "The first build needs a network that reaches Pyodide's CDN or the Python package index.",
        )
        (archive,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(archive) as package:
            for name, digest in digests.items():
                try:
                    data = package.read(REDISTRIBUTED_UNDER + name)
                except KeyError as error:
                    raise RuntimeBuildError(
                        f"{name} is not in {REDISTRIBUTION}; it needs a network that reaches Pyodide's CDN"
                    ) from error
                keep(data, folder / name, digest, REDISTRIBUTION)


def pinned_wheels(requirements: Path, cache: str) -> list[Path]:
    """The pure wheels of a requirements file with hashes, through pip, which checks them."""
    folder = cache_dir(cache, hashlib.sha256(requirements.read_bytes()).hexdigest()[:16])
    done = folder / "complete"
    if not done.exists():
        say(f"downloading the wheels of {requirements.name}")
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--require-hashes"]
        target = ["--python-version", "3.14", "--platform", "any", "--only-binary=:all:"]
        run(
            [*pip, *target, "-d", str(folder), "-r", str(requirements)],
            f"pip download -r {requirements.name}",
            "The first build needs a network that reaches the Python package index.",
        )
        done.touch()
    return sorted(folder.glob("*.whl"))


def shim_wheels() -> list[Path]:
    """piplite, pyodide_kernel and ipykernel, which lie in the labextension of jupyterlite-pyodide-kernel."""
    extension = Path(sys.prefix, "share/jupyter/labextensions/@jupyterlite/pyodide-kernel-extension")
    found = sorted(extension.glob("static/pypi/*.whl"))
    wheels = [wheel for wheel in found if parse_wheel_filename(wheel.name)[0] in KERNEL_SHIMS]
    if len(wheels) != len(KERNEL_SHIMS):
        raise RuntimeBuildError(
            f"jupyterlite-pyodide-kernel is not installed for {sys.executable}; run `make html`, "
            "or install the extra: pip install -c constraints.txt -e '.[site]'"
        )
    return wheels


def described(path: Path) -> Wheel:
    """Read name, version, dependencies and imports from a pure wheel's own metadata."""
    name, version, _, _ = parse_wheel_filename(path.name)
    with zipfile.ZipFile(path) as archive:
        (metadata,) = (n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        headers = HeaderParser().parsestr(archive.read(metadata).decode())
        tops = {n.split("/")[0].removesuffix(".py") for n in archive.namelist() if n.endswith(".py")}
    # Evaluated for Pyodide's Python, not for the one that builds the site.
    target = {"python_version": "3.14", "python_full_version": "3.14.0", "sys_platform": "emscripten"}
    requirements = [Requirement(r) for r in headers.get_all("Requires-Dist", [])]
    return Wheel(
        canonicalize_name(name),
        str(version),
        path,
        tuple(canonicalize_name(r.name) for r in requirements if not r.marker or r.marker.evaluate(target)),
        tuple(sorted(top for top in tops if top.isidentifier())),
    )


def compiled_wheels(wheels: list[Wheel]) -> list[Wheel]:
    """Each wheel slimmed and compiled to bytecode; kept in the cache by the hash of what went in."""
    recipe = sha256(LITE / "runtime/compile.mjs") + DROPPED.pattern + KEPT.pattern
    targets = {}
    for wheel in wheels:
        key = hashlib.sha256(f"{recipe} {wheel.sha256}".encode()).hexdigest()[:24]
        targets[wheel] = cache_dir("compiled", key) / wheel.path.name
    todo = [wheel for wheel in wheels if not targets[wheel].is_file()]
    if todo:
        say(f"compiling {len(todo)} wheels to bytecode")
        with tempfile.TemporaryDirectory() as scratch:
            jobs = []
            for wheel in todo:
                root = Path(scratch) / wheel.name
                unpack_slim(wheel.path, root)
                jobs.append({"root": str(root), "keepSource": wheel.name == "tinytorch"})
            compile_trees(jobs, Path(scratch))
            for wheel in todo:
                pack(Path(scratch) / wheel.name, targets[wheel])
    return [replace(wheel, path=targets[wheel]) for wheel in wheels]


def compile_trees(jobs: list[dict], scratch: Path) -> None:
    (scratch / "jobs.json").write_text(json.dumps(jobs))
    run(
        ["node", str(LITE / "runtime/compile.mjs"), str(scratch / "jobs.json")],
        "compiling to bytecode under Pyodide",
        "It needs Node 20 or newer.",
    )


def unpack_slim(wheel: Path, root: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if KEPT.search(name) or not DROPPED.search(name):
                archive.extract(name, root)


def pack(root: Path, target: Path) -> None:
    """Zip a tree in a fixed order and with a fixed date, so that the same input gives the same hash."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != "RECORD")
    record = "".join(f"{path.relative_to(root).as_posix()},,\n" for path in files)
    infos = list(root.glob("*.dist-info"))
    partial = target.with_suffix(".part")
    with zipfile.ZipFile(partial, "w") as archive:
        for path in files:
            write_member(archive, path.relative_to(root).as_posix(), path.read_bytes())
        for info in infos:
            name = f"{info.name}/RECORD"
            write_member(archive, name, f"{record}{name},,\n".encode())
    os.replace(partial, target)


def write_member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)


def compiled_stdlib(source: Path) -> Path:
    """Pyodide's python_stdlib.zip with bytecode in place of source: it is read on every start."""
    recipe = sha256(LITE / "runtime/compile.mjs")
    target = cache_dir("compiled", f"{recipe[:12]}-{sha256(source)[:12]}") / source.name
    if not target.is_file():
        say("compiling the standard library to bytecode")
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch) / "stdlib"
            with zipfile.ZipFile(source) as archive:
                archive.extractall(root)
            compile_trees([{"root": str(root), "keepSource": False}], Path(scratch))
            pack(root, target)
    return target


def lock_entry(wheel: Wheel, names: set[str]) -> dict:
    return {
        "name": wheel.name,
        "version": wheel.version,
        "file_name": wheel.path.name,
        "install_dir": "site",
        "sha256": wheel.sha256,
        "package_type": "package",
        "imports": list(wheel.imports),
        "depends": sorted(set(wheel.depends) & names),
        "unvendored_tests": False,
    }


def assemble(own_wheel: Path, folder: Path) -> None:
    """Write the whole runtime into an empty folder."""
    lock = upstream_lock()
    package = NODE_MODULES / "pyodide"
    version = json.loads((package / "package.json").read_text())["version"]
    for name in CORE_FILES:
        shutil.copy(package / name, folder / name)
    shutil.copy(compiled_stdlib(package / "python_stdlib.zip"), folder / "python_stdlib.zip")

    kernel = pinned_wheels(LITE / "runtime/kernel-wheels.txt", "kernel")
    wheels = pyodide_wheels(("numpy", *LAZY_ROOTS), lock, version)
    wheels += [described(path) for path in (*kernel, *shim_wheels(), own_wheel)]
    depends = {wheel.name: wheel.depends for wheel in wheels}
    listed = closure((*KERNEL_ROOTS, *LAZY_ROOTS), depends)
    names = {wheel.name for wheel in wheels}
    wheels = compiled_wheels([wheel for wheel in wheels if wheel.name in listed])
    for wheel in wheels:
        shutil.copy(wheel.path, folder / wheel.path.name)
    entries = {wheel.name: lock_entry(wheel, names) for wheel in sorted(wheels, key=lambda w: w.name)}
    write_json(folder / "pyodide-lock.json", {"info": lock["info"], "packages": entries})
    write_json(folder / "kernel-packages.json", [n for n in closure(KERNEL_ROOTS, depends) if n in entries])
    by_name = {wheel.name: wheel for wheel in wheels}
    add_live(folder, by_name["numpy"], by_name["tinytorch"])


def add_live(folder: Path, numpy: Wheel, tinytorch: Wheel) -> None:
    """What the live cells start from: the memory snapshot, NumPy's files, our package; see live/boot.js."""
    live = folder / "live"
    live.mkdir()
    snapshot = memory_snapshot(folder, numpy.path, imported_modules(tinytorch.path))
    package, entries = packed_package(tinytorch.path)
    parts = {name: (snapshot / f"{name}.bin").read_bytes() for name in SNAPSHOT_PARTS} | {"package": package}
    files = {name: hashed(live, f"{name}.bin", data) for name, data in parts.items()}
    manifest = {
        "versions": {"numpy": numpy.version, "tinytorch": tinytorch.version},
        "boot": hashed(live, "boot.js", (LITE / "live/boot.js").read_bytes())["url"],
        "files": files,
        "stdlib": {"url": "python_stdlib.zip", "bytes": (folder / "python_stdlib.zip").stat().st_size},
        "package": entries,
        **json.loads((snapshot / "snapshot.json").read_text()),
    }
    (live / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")))


def imported_modules(wheel: Path) -> list[str]:
    """What importing our package imports of NumPy and of the standard library, as dotted names."""
    names: set[str] = set()
    with zipfile.ZipFile(wheel) as archive:
        for path in map(Path, archive.namelist()):
            ours = path.parts[0] == "tinytorch" and path.parts[1] not in IMPORTED_ON_DEMAND
            if path.suffix != ".py" or not ours:
                continue
            for statement in ast.parse(archive.read(path.as_posix()), path.name).body:
                if isinstance(statement, ast.Import):
                    names |= {alias.name for alias in statement.names}
                elif isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
                    names.add(statement.module)
    return sorted(name for name in names if name.split(".")[0] in {"numpy", *sys.stdlib_module_names})


def memory_snapshot(folder: Path, numpy: Path, modules: list[str]) -> Path:
    """The cache folder with the memory of a Pyodide that has imported NumPy; made anew on a change."""
    sources = [LITE / "runtime/snapshot.mjs", LITE / "live/boot.js", *LIVE_MODULES, numpy]
    sources += [folder / name for name in (*CORE_FILES, "python_stdlib.zip")]
    parts = [*map(sha256, sources), *modules]
    key = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:24]
    target = cache_dir("snapshot") / key
    if not target.is_dir():
        say("taking the memory snapshot")
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            site, out = Path(scratch) / "site", Path(scratch) / "out"
            with zipfile.ZipFile(numpy) as archive:
                archive.extractall(site)
            for module in LIVE_MODULES:
                shutil.copy(module, site / module.name)
            run(
                ["node", str(LITE / "runtime/snapshot.mjs"), f"{folder}/", str(site), str(out), *modules],
                "taking the memory snapshot under Pyodide",
                "It needs Node 20 or newer.",
            )
            if not target.is_dir():  # another build may have been faster
                os.replace(out, target)
        for old in sorted(target.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT_SNAPSHOTS]:
            shutil.rmtree(old, ignore_errors=True)
    return target


def packed_package(wheel: Path) -> tuple[bytes, list[list]]:
    """Our wheel's files and the modules that run the cells: one gzip stream, and its [path, length] list."""
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents |= {module.name: module.read_bytes() for module in LIVE_MODULES}
    entries = [[name, len(data)] for name, data in contents.items()]
    return gzip.compress(b"".join(contents.values()), 9, mtime=0), entries


def hashed(live: Path, name: str, data: bytes) -> dict:
    """Write a file under a name that changes with its content, so that no cache can serve a stale one."""
    stem, suffix = name.split(".")
    path = live / f"{stem}-{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"
    path.write_bytes(data)
    return {"url": f"live/{path.name}", "bytes": len(data)}


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def fingerprint(own_wheel: Path) -> str:
    """Everything the folder depends on: this program, its scripts, the pins, our wheel."""
    scripts = sorted((LITE / "runtime").iterdir())
    pins = [LITE / "package-lock.json", *shim_wheels(), own_wheel]
    parts = [Path(__file__), *scripts, LITE / "live/boot.js", *pins]
    return hashlib.sha256("".join(sha256(part) for part in parts).encode()).hexdigest()


def build(own_wheel: Path) -> None:
    if not own_wheel.is_file():
        raise RuntimeBuildError(f"there is no wheel at {own_wheel}; build it first: python -m build --wheel")
    install_npm_packages()
    key = fingerprint(own_wheel)
    stamp = STATIC / STAMP
    if stamp.is_file() and json.loads(stamp.read_text())["key"] == key:
        say("up to date")
        return
    STATIC.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STATIC.parent) as scratch:
        folder = Path(scratch) / "pyodide"
        folder.mkdir()
        assemble(own_wheel, folder)
        write_json(folder / STAMP, {"key": key})
        shutil.rmtree(STATIC, ignore_errors=True)
        os.replace(folder, STATIC)
    total = sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file())
    say(f"{STATIC.relative_to(LITE.parent)} holds {total / 1e6:.1f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(description="Assemble the Python that runs in the browser.")
    parser.add_argument("--wheel", type=Path, required=True, help="the tinytorch wheel, dist/tinytorch-*.whl")
    try:
        build(parser.parse_args().wheel.resolve())
    except RuntimeBuildError as error:
        print(f"runtime: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
