// The Python of a page: a module worker around Pyodide, one for all the live cells of the page.
//
// Messages to the worker:
//   {type: "init", base}               base: absolute URL of static/pyodide/, with a slash at the end
//   {type: "run", id, code, filename}  run one cell; filename is its name in tracebacks
//   {type: "write", id, path, text}    write a text file into Python's file system
//   {type: "read", id, path}           read one
// Requests are answered one at a time, in order; those that come before Python is ready wait for it.
//
// Messages from the worker:
//   {type: "stage", stage, label, loaded, total}  how the start goes on; loaded and total are bytes, where known.
//                                      stage: "download" | "start" | "tinytorch" | "extra"
//   {type: "ready", versions, ms}      versions: {pyodide, python, numpy, tinytorch}
//   {type: "failed", message}          Python cannot start, or has died: only a new worker helps
//   {type: "stream", id, name, text}   name: "stdout" | "stderr"
//   {type: "display", id, data, metadata, result}  data: {mime type: text}, images in base64; text/plain is
//                                      always there. result: the value of the cell's last expression
//   {type: "error", id, name, message, traceback}
//   {type: "file", id, path, text}     answers "read"
//   {type: "done", id, ok, ms}         the last message of every run, write and read
//
// To stop a cell, terminate the worker and start another.

let queue = Promise.resolve();
let pyodide = null;
let runCell = null;
let dead = false;

self.onmessage = ({ data }) => {
  if (data.type === "init") queue = start(data.base);
  else queue = queue.then(() => answer(data));
};

const post = (type, fields) => self.postMessage({ type, ...fields });

function fail(error) {
  if (dead) return;
  dead = true;
  post("failed", { message: error.message ?? String(error) });
}

async function start(base) {
  const began = performance.now();
  try {
    const manifest = await (await checked(fetch(base + "live/manifest.json", { cache: "no-cache" }))).json();
    const { inflate, gathered, startFromSnapshot, startPlain, writeFiles } = await import(base + manifest.boot);
    const progress = downloads(manifest);
    const packageFiles = gathered(inflate(base, manifest.files.package, progress));
    packageFiles.catch(() => {}); // reported below, where it is awaited
    try {
      pyodide = await startFromSnapshot(base, manifest, progress);
    } catch (error) {
      console.warn("tinytorch: starting without the memory snapshot:", error);
      post("stage", { stage: "start", label: "Starting Python the slow way" });
      pyodide = await startPlain(base);
    }
    post("stage", { stage: "tinytorch", label: "Importing tinytorch" });
    writeFiles(pyodide.FS, await packageFiles, manifest.package);
    pyodide.loadedPackages.tinytorch = "default channel";
    pyodide._api.on_fatal = async (error) => fail(error);
    const cells = pyodide.pyimport("live_cells");
    cells.connect((json) => self.postMessage(JSON.parse(json)));
    cells.warm_up();
    runCell = cells.run;
    const python = pyodide.pyimport("sys").version.split(" ")[0];
    const versions = { pyodide: pyodide.version, python, ...manifest.versions };
    post("ready", { versions, ms: performance.now() - began });
  } catch (error) {
    fail(error);
  }
}

async function checked(fetching) {
  const response = await fetching;
  if (!response.ok) throw new Error(`${response.url}: the server answered ${response.status}`);
  return response;
}

// Tells the page how much has arrived.
function downloads({ files }) {
  const total = Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0);
  let loaded = 0;
  let told = -Infinity;
  const progress = (bytes) => {
    loaded += bytes;
    if (performance.now() - told < 80 && loaded < total) return;
    told = performance.now();
    post("stage", { stage: "download", label: "Downloading Python", loaded, total });
  };
  progress(0);
  return progress;
}

async function answer(request) {
  const { id, type } = request;
  const began = performance.now();
  let ok = false;
  try {
    if (dead || !pyodide) throw new Error("Python is not running; start it again");
    if (type === "run") ok = await run(request);
    else if (type === "write") ok = write(request);
    else if (type === "read") ok = read(request);
    else throw new Error(`the worker does not know the request ${JSON.stringify(type)}`);
  } catch (error) {
    const { name, message } = error;
    post("error", { id, name, message, traceback: `${name}: ${message}` });
  }
  post("done", { id, ok, ms: performance.now() - began });
}

async function run({ id, code, filename = "cell" }) {
  if (/\bimport\b/.test(code)) {
    await pyodide.loadPackagesFromImports(code, {
      messageCallback(message) {
        const names = message.match(/^Loading (.*)$/)?.[1].split(", ");
        if (names) post("stage", { stage: "extra", label: `Loading ${withoutDependencies(names).join(", ")}` });
      },
      errorCallback: (message) => console.warn(message),
    });
  }
  return await runCell(code, id, filename);
}

function withoutDependencies(names) {
  const { packages } = pyodide.lockfile;
  return names.filter((name) => !names.some((other) => packages[other].depends.includes(name)));
}

function write({ path, text }) {
  const folder = path.slice(0, path.lastIndexOf("/"));
  if (folder) pyodide.FS.mkdirTree(folder);
  pyodide.FS.writeFile(path, text);
  return true;
}

function read({ id, path }) {
  if (!pyodide.FS.analyzePath(path).exists) throw new Error(`there is no file ${path}`);
  post("file", { id, path, text: pyodide.FS.readFile(path, { encoding: "utf8" }) });
  return true;
}
