// Run pytest inside the Pyodide that the site ships.
//
// usage: node run_pytest.mjs PYODIDE_FOLDER WHEELS_FOLDER REPOSITORY -- PYTEST_ARGUMENTS…
//
// NumPy and tinytorch come from PYODIDE_FOLDER, as a page gets them; pytest and what it needs are unpacked from
// WHEELS_FOLDER. Of the repository Python sees pyproject.toml and tests/, so that no source file can stand in
// for a module of the wheel. The exit status is pytest's.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

// Pyodide's script is one line of a megabyte, which Node would print above the message of an error.
process.on("uncaughtException", (error) => {
  console.error(error.stack);
  process.exit(1);
});

const [folder, wheels, repository, , ...pytestArguments] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(join(folder, "pyodide.mjs")).href);
const pyodide = await loadPyodide({ indexURL: folder, env: { HYPOTHESIS_STORAGE_DIRECTORY: "/tmp/hypothesis" } });
await pyodide.loadPackage(["numpy", "tinytorch"], { messageCallback: () => {} });
for (const name of readdirSync(wheels).filter((name) => name.endsWith(".whl"))) {
  const bytes = new Uint8Array(readFileSync(join(wheels, name)));
  pyodide.unpackArchive(bytes, "zip", { extractDir: "/lib/python3.14/site-packages" });
}
pyodide.FS.mkdirTree("/repository/tests");
pyodide.mountNodeFS("/repository/tests", join(repository, "tests"));
pyodide.FS.writeFile("/repository/pyproject.toml", readFileSync(join(repository, "pyproject.toml")));
pyodide.FS.chdir("/repository");
pyodide.globals.set("arguments", pyodide.toPy(pytestArguments));
const status = pyodide.runPython(`
import sys
import pytest

sys.dont_write_bytecode = True
int(pytest.main(arguments))
`);
process.exit(status);
