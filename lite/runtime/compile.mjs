// Compile unpacked wheels to bytecode with Pyodide's own Python.
//
// usage: node compile.mjs JOBS.json, where JOBS is [{"root": folder, "keepSource": bool}, …]
//
// Without keepSource a module.py becomes module.pyc, which Python imports in its place: one small file
// to unpack, none to compile. With keepSource the bytecode goes to __pycache__ and names its source by
// hash, so that Python still notices a source that was edited afterwards.
import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

// Pyodide's script is one line of a megabyte, which Node would print above the message of an error.
process.on("uncaughtException", (error) => {
  console.error(error.stack);
  process.exit(1);
});

const jobs = JSON.parse(readFileSync(process.argv[2], "utf8"));
const pyodide = await loadPyodide();
const compileTree = pyodide.runPython(`
import os, pathlib, py_compile, sys
from importlib.util import cache_from_source
from py_compile import PycInvalidationMode

def compile_tree(mount, keep_source):
    """Compile every .py under mount; return how many were compiled."""
    count = 0
    for source in sorted(pathlib.Path(mount).rglob("*.py")):
        installed = "/lib/python3.14/site-packages/" + str(source.relative_to(mount))
        if keep_source:
            target, mode = cache_from_source(str(source)), PycInvalidationMode.CHECKED_HASH
        else:
            target, mode = str(source) + "c", PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(source), target, installed, doraise=True, invalidation_mode=mode)
        if not keep_source:
            source.unlink()
        count += 1
    return count
compile_tree
`);
for (const { root, keepSource } of jobs) {
  pyodide.mountNodeFS("/compile", root);
  console.log(`${compileTree("/compile", keepSource)} modules compiled in ${root}`);
  pyodide.FS.unmount("/compile");
}
process.exit(0);
