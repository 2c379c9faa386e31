// Start the Python of a page from a memory snapshot.
//
// The snapshot (runtime/snapshot.mjs makes it) is the memory of a Pyodide that has already imported NumPy and
// the standard library modules a cell is likely to use. To continue from it, everything that lives outside
// that memory has to be as it was: NumPy's WebAssembly modules must be linked at the same addresses, so they
// are linked in the same order before Python exists, and the files of NumPy must be back in the file system,
// because some modules are imported later.
//
// manifest.json says which files there are:
//   boot      address of this script
//   files     {core, memory, modules, site, package}: {url, bytes}, each a gzip stream; core is Pyodide's
//             WebAssembly
//   stdlib    {url, bytes} of the standard library's zip, which is fetched when a cell imports from it
//   memory    {size, tableBase, header, runs}: runs are [start, length] of what is not zero, in the order of
//             the stream; header is Pyodide's own part of the snapshot
//   modules   [path, length] of NumPy's WebAssembly modules, in the order of linking and of the stream
//   site, package   [path, length] of the files below site-packages, in the order of the stream

export const SITE_PACKAGES = "/lib/python3.14/site-packages/";
const EIO = 29; // WASI's number for an input or output error

/**
 * Pyodide's module factory, made to link the given WebAssembly modules before Python starts. Their functions
 * enter the table at tableBase; without it at a place of its own choice, which Module.tableBase then tells.
 * modules: a promise of [path, module] pairs.
 */
export function linked(createPyodideModule, modules, { tableBase, finish } = {}) {
  return async (settings) => {
    const instantiate = settings.instantiateWasm;
    let pairs;
    settings.instantiateWasm = (imports, done) =>
      instantiate(imports, async (...instance) => {
        pairs = await modules;
        done(...instance);
      });
    settings.preRun = [...settings.preRun, (Module) => link(Module, pairs, tableBase)];
    const Module = await createPyodideModule(settings);
    await finish?.(Module);
    return Module;
  };
}

// At this point Emscripten takes memory for a library from the start of the heap, in order. Later it would
// come from malloc, and no two runs would agree.
function link(Module, modules, tableBase) {
  // Which functions Pyodide itself has put into the table depends on the engine: leave it some room.
  const { wasmTable } = Module;
  Module.tableBase = tableBase ?? wasmTable.length + 64;
  if (wasmTable.length > Module.tableBase) throw new Error("the function table has no room for the libraries");
  wasmTable.grow(Module.tableBase - wasmTable.length);
  const flags = { loadAsync: false, nodelete: true, global: false };
  for (const [path, module] of modules) {
    const name = SITE_PACKAGES + path;
    Module.preloadedWasm[name] = Module.loadWebAssemblyModule(module, flags, name, {});
    Module.loadDynamicLibrary(name, flags, {});
  }
}

/** Start Python from the snapshot; `progress` is called with the bytes of each download as they come. */
export async function startFromSnapshot(base, manifest, progress) {
  const stream = (name) => inflate(base, manifest.files[name], progress);
  const [memory, site] = [stream("memory"), gathered(stream("site"))];
  const core = WebAssembly.compileStreaming(
    new Response(stream("core"), { headers: { "Content-Type": "application/wasm" } }),
  );
  const modules = gathered(stream("modules")).then((bytes) => compiled(bytes, manifest.modules));
  const arrived = Promise.all([core, modules, site]);
  arrived.catch(() => {}); // reported where it is awaited
  const takeBack = handOver(base, core);
  try {
    // Pyodide waits for its WebAssembly without an end, so a download that fails has to end the wait.
    const failure = arrived.then(() => new Promise(() => {}));
    const pyodide = await Promise.race([load(base, manifest, modules, memory), failure]);
    writeFiles(pyodide.FS, await site, manifest.site);
    fetchWhenRead(pyodide.FS, "/lib/python314.zip", base + manifest.stdlib.url, manifest.stdlib.bytes);
    pyodide.loadedPackages.numpy = "default channel";
    return pyodide;
  } finally {
    takeBack();
  }
}

async function load(base, { memory, ...manifest }, modules, memoryStream) {
  const [{ loadPyodide }, { default: createPyodideModule }] = await Promise.all([
    import(base + "pyodide.mjs"),
    import(base + "pyodide.asm.mjs"),
  ]);
  return await loadPyodide({
    indexURL: base,
    // Pyodide reads its own state from the header; the memory behind it comes straight from the download.
    _loadSnapshot: Uint8Array.from(atob(memory.header), (letter) => letter.charCodeAt(0)),
    createPyodideModule: linked(createPyodideModule, modules, {
      tableBase: memory.tableBase,
      finish: (Module) => restore(Module, memory, memoryStream),
    }),
    stdin: () => null,
  });
}

function compiled(bytes, entries) {
  const compile = async ([path, code]) => [path, await WebAssembly.compile(code)];
  return Promise.all([...sliced(bytes, entries)].map(compile));
}

// Pyodide downloads and compiles its WebAssembly when its script has been read. Here both have begun already,
// and until takeBack is called Pyodide's own request for it gets what is on its way. Its request for the
// standard library gets nothing, because the snapshot has imported what a start needs.
function handOver(base, core) {
  const { fetch } = self;
  const { instantiateStreaming } = WebAssembly;
  const answered = [base + "pyodide.asm.wasm", base + "python_stdlib.zip"];
  self.fetch = async (url, ...options) =>
    answered.includes(String(url)) ? new Response() : fetch(url, ...options);
  WebAssembly.instantiateStreaming = async (_response, imports) => {
    const module = await core;
    return { module, instance: await WebAssembly.instantiate(module, imports) };
  };
  return () => {
    self.fetch = fetch;
    WebAssembly.instantiateStreaming = instantiateStreaming;
  };
}

// Give an empty file its length, and its content when it is first read. Python reads without waiting for
// anything, so the request is a synchronous one.
function fetchWhenRead(FS, path, url, bytes) {
  const { node } = FS.lookupPath(path);
  const operations = node.stream_ops;
  node.usedBytes = bytes;
  node.stream_ops = {
    ...operations,
    read(...request) {
      if (node.stream_ops !== operations) {
        node.contents = fetchedNow(url);
        if (!node.contents) throw new FS.ErrnoError(EIO);
        node.stream_ops = operations;
      }
      return operations.read(...request);
    },
  };
}

function fetchedNow(url) {
  const download = new XMLHttpRequest();
  download.open("GET", url, false);
  download.responseType = "arraybuffer";
  try {
    download.send();
  } catch {
    return null; // no network
  }
  return download.status === 200 ? new Uint8Array(download.response) : null;
}

async function restore(Module, { size, runs }, stream) {
  const trampoline = trampolineAddress(Module);
  const ownTrampoline = Module.HEAPU32[trampoline];
  if (Module.HEAPU8.length < size) Module.growMemory(size);
  const heap = Module.HEAPU8;
  let end = 0;
  for (const [start, length] of runs) {
    heap.fill(0, end, start);
    end = start + length;
  }
  let run = 0;
  let done = 0;
  for await (let chunk of chunks(stream)) {
    while (chunk.length) {
      const [start, length] = runs[run];
      const part = chunk.subarray(0, length - done);
      heap.set(part, start + done);
      done += part.length;
      if (done === length) [run, done] = [run + 1, 0];
      chunk = chunk.subarray(part.length);
    }
  }
  if (run !== runs.length) throw new Error("the memory snapshot is shorter than its manifest says");
  heap.fill(0, end);
  Module.HEAPU32[trampoline] = ownTrampoline;
}

// Where CPython keeps the function that calls others of any signature. Pyodide compiles one where the engine
// can; the one of the engine that took the snapshot does not exist here.
function trampolineAddress(Module) {
  const offset = Module.HEAPU32[Module.__PyEM_EMSCRIPTEN_TRAMPOLINE_OFFSET / 4];
  return (Module.__PyRuntime + offset) / 4;
}

/** Start Python without the snapshot: slower, and the same afterwards. */
export async function startPlain(base) {
  const { loadPyodide } = await import(base + "pyodide.mjs");
  return await loadPyodide({ indexURL: base, packages: ["numpy"], stdin: () => null });
}

/** Download a gzip file and unpack it as it comes. */
export function inflate(base, { url, bytes }, progress) {
  const counted = new TransformStream({
    transform(chunk, controller) {
      progress(chunk.length);
      controller.enqueue(chunk);
    },
  });
  const download = async () => {
    const response = await fetch(base + url);
    if (!response.ok) throw new Error(`${url}: the server answered ${response.status}`);
    await response.body.pipeTo(counted.writable);
  };
  download().catch((error) => counted.writable.abort(error).catch(() => {}));
  return counted.readable.pipeThrough(new DecompressionStream("gzip"));
}

/** All bytes of a stream. */
export async function gathered(stream) {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function* chunks(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function* sliced(bytes, entries) {
  let start = 0;
  for (const [path, length] of entries) {
    yield [path, bytes.subarray(start, (start += length))];
  }
}

/** Write files below site-packages; entries are [path, length]. */
export function writeFiles(FS, bytes, entries) {
  const made = new Set();
  for (const [path, content] of sliced(bytes, entries)) {
    const folder = SITE_PACKAGES + path.slice(0, path.lastIndexOf("/") + 1);
    if (!made.has(folder)) FS.mkdirTree(folder);
    made.add(folder);
    FS.writeFile(SITE_PACKAGES + path, content, { canOwn: true });
  }
}
