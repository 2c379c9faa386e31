// Take the memory snapshot that the live cells start from, and pack the files that go with it.
//
// usage: node snapshot.mjs PYODIDE_FOLDER SITE_FOLDER OUT_FOLDER MODULE…
//
// SITE_FOLDER holds numpy/ unpacked, compiled, and the Python modules of the live cells; the MODULEs are
// imported, too. OUT_FOLDER gets core.bin, memory.bin, modules.bin and site.bin (gzip streams) and snapshot.json,
// their part of the manifest that live/boot.js describes.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { SITE_PACKAGES, linked, writeFiles } from "../live/boot.js";

// Pyodide's script is one line of a megabyte, which Node would print above the message of an error.
process.on("uncaughtException", (error) => {
  console.error(error.stack);
  process.exit(1);
});

const [folder, siteFolder, out, ...wanted] = process.argv.slice(2);
const PAGE = 4096;

// Imported before the snapshot is taken, so that they cost a page nothing: NumPy, what a cell is likely to
// import, what running cells takes, and on top of these the modules that the command line names.
const PRELUDE = `
import numpy, numpy.fft, numpy.linalg, numpy.random
import collections, copy, dataclasses, datetime, enum, functools, inspect, io, itertools, json, math, operator
import os, pathlib, random, re, statistics, string, sys, textwrap, time, traceback, typing, warnings
import pyodide.code, pyodide.ffi, pyodide._package_loader
import live_cells
import contextlib, gc
for name in wanted:
    with contextlib.suppress(ImportError):
        __import__(name)
gc.collect()
[module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)]
`;

const filesBelow = (path = "") =>
  readdirSync(join(siteFolder, path), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.isDirectory() ? filesBelow(`${path}${entry.name}/`) : [path + entry.name]));
const pack = (paths) => {
  const contents = paths.map((path) => readFileSync(join(siteFolder, path)));
  return { entries: paths.map((path, i) => [path, contents[i].length]), bytes: Buffer.concat(contents) };
};

const paths = filesBelow();
// NumPy has lapack_lite for machines without LAPACK, and does not import it here.
const modules = pack(paths.filter((path) => path.endsWith(".so") && !path.includes("lapack_lite")));
const site = pack(paths.filter((path) => !path.endsWith(".so")));

// Whether the engine can switch stacks is asked once, when Python starts, and so the answer is in the snapshot.
// It has to be yes, whatever this Node can do; where a browser cannot, Pyodide looks again before it tries.
WebAssembly.Suspending ??= function Suspending(call) {
  return call;
};
WebAssembly.promising ??= (call) => async (...values) => call(...values);

const load = (file) => import(pathToFileURL(join(folder, file)).href);
const { loadPyodide } = await load("pyodide.mjs");
const { default: createPyodideModule } = await load("pyodide.asm.mjs");
const compiled = modules.entries.map(([path]) => [
  path,
  new WebAssembly.Module(readFileSync(join(siteFolder, path))),
]);
const pyodide = await loadPyodide({
  indexURL: folder,
  _makeSnapshot: true,
  _sysExecutable: "python", // instead of this script's path, which would stay in the snapshot
  createPyodideModule: linked(createPyodideModule, Promise.resolve(compiled)),
});
writeFiles(pyodide.FS, site.bytes, site.entries);
// Python looks for the libraries in the file system before it asks for them; they are linked already.
writeFiles(pyodide.FS, modules.bytes, modules.entries);
// In a namespace of its own: the cells must not find names that nobody imported in the page.
const globals = pyodide.toPy({ wanted });
const result = pyodide.runPython(PRELUDE, { globals });
const imported = result.toJs();
result.destroy();
globals.destroy();
// The files of what is imported already need not be sent.
const later = pack(site.entries.map(([path]) => path).filter((path) => !imported.includes(SITE_PACKAGES + path)));

const snapshot = pyodide.makeMemorySnapshot();
const headerLength = new Uint32Array(snapshot.buffer, snapshot.byteOffset, 2)[1];
const header = snapshot.subarray(0, headerLength);
const memory = snapshot.subarray(headerLength);
const runs = [];
const written = [];
for (let at = 0; at < memory.length; at += PAGE) {
  const page = memory.subarray(at, at + PAGE);
  if (page.every((byte) => byte === 0)) continue;
  const last = runs.at(-1);
  if (last && last[0] + last[1] === at) last[1] += page.length;
  else runs.push([at, page.length]);
  written.push(page);
}

mkdirSync(out, { recursive: true });
const write = (name, bytes) => writeFileSync(join(out, name), gzipSync(bytes, { level: 9 }));
write("memory.bin", Buffer.concat(written));
write("modules.bin", modules.bytes);
write("site.bin", later.bytes);
write("core.bin", readFileSync(join(folder, "pyodide.asm.wasm")));
writeFileSync(
  join(out, "snapshot.json"),
  JSON.stringify({
    memory: {
      size: memory.length,
      tableBase: pyodide._module.tableBase,
      header: Buffer.from(header).toString("base64"),
      runs,
    },
    modules: modules.entries,
    site: later.entries,
  }),
);
process.exit(0);
