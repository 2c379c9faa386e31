// One Python for the page: a module worker, its state and the queue of runs.
//
// States: off (not started), loading, ready, busy (a cell runs), dead (it could not start). Stop ends the worker
// and starts a new one, because nothing else can interrupt Python in a page that is served as plain files.

export class Kernel {
  /**
   * worker: URL of worker.js. base: URL of the folder with Pyodide. onState(state, detail) hears every change of
   * state and every step of loading; detail is {label, loaded, total}, {versions}, or {message}.
   */
  constructor({ worker, base, onState }) {
    this.url = worker;
    this.base = base;
    this.onState = onState;
    this.state = "off";
    this.queue = [];
    this.running = null;
    this.generation = 0;
    this.count = 0;
  }

  #set(state, detail = {}) {
    this.state = state;
    this.onState(state, detail);
  }

  get started() {
    return this.state !== "off" && this.state !== "dead";
  }

  start() {
    if (this.started) return;
    this.generation += 1;
    this.#set("loading", { label: "Starting Python" });
    try {
      this.worker = new Worker(this.url, { type: "module" });
    } catch (error) {
      this.#die(error.message);
      return;
    }
    this.worker.onmessage = ({ data }) => this.#receive(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.#die(event.message || "its script could not be loaded");
    };
    this.worker.postMessage({ type: "init", base: this.base });
  }

  /**
   * Run `code` when its turn comes; starts Python if need be. A failure drops the runs that wait, unless the code
   * mayRaise. `listener` has begin(), stream(name, text),
   * display(data, metadata), clear(), error({name, message, traceback}), stage({label}), end({ok, ms}) and
   * dropped(): the last when the run never began, because an earlier one failed or Python was stopped. Returns a
   * handle for cancel().
   */
  run({ code, filename, mayRaise = false, listener }) {
    const run = { id: `run-${(this.count += 1)}`, code, filename, mayRaise, listener };
    this.queue.push(run);
    if (!this.started) this.start();
    else queueMicrotask(() => this.#next());
    return run;
  }

  /** Take a waiting run back, or stop Python when it is this run that goes on. */
  cancel(run) {
    if (run === this.running) {
      this.stop();
    } else if (this.queue.includes(run)) {
      this.queue = this.queue.filter((other) => other !== run);
      run.listener.dropped();
    }
  }

  /** End Python and everything it remembers, then start it again. */
  stop() {
    if (!this.started) return;
    const stopped = this.running;
    this.#end();
    stopped?.listener.end({ ok: false, stopped: true });
    this.start();
  }

  #end() {
    this.worker?.terminate();
    this.worker = null;
    this.running = null;
    this.state = "off";
    this.#drop();
  }

  #drop() {
    const waiting = this.queue;
    this.queue = [];
    for (const run of waiting) run.listener.dropped();
  }

  #die(message) {
    const stopped = this.running;
    const sentence = this.state === "loading" ? `Python could not start: ${message}` : `Python ended: ${message}`;
    this.#end();
    stopped?.listener.end({ ok: false, died: sentence });
    this.#set("dead", { message: sentence });
  }

  #next() {
    if (this.state !== "ready" || this.queue.length === 0) return;
    this.running = this.queue.shift();
    this.#set("busy", { filename: this.running.filename });
    const { id, code, filename, listener } = this.running;
    listener.begin();
    this.worker.postMessage({ type: "run", id, code, filename });
  }

  #receive(message) {
    if (message.type === "stage") {
      if (this.state === "loading") this.onState("loading", message);
      else this.running?.listener.stage(message);
    } else if (message.type === "ready") {
      this.#set("ready", { versions: message.versions, fresh: true });
      this.#next();
    } else if (message.type === "failed") {
      this.#die(message.message);
    } else if (this.running && message.id === this.running.id) {
      this.#report(message);
    }
  }

  #report(message) {
    const { listener, mayRaise } = this.running;
    if (message.type === "stream") listener.stream(message.name, message.text);
    else if (message.type === "display") listener.display(message.data, message.metadata ?? {});
    else if (message.type === "clear") listener.clear();
    else if (message.type === "error") listener.error(message);
    else if (message.type === "done") {
      this.running = null;
      if (!message.ok && !mayRaise) this.#drop();
      this.state = "ready";
      listener.end({ ok: message.ok, ms: message.ms });
      this.#set("ready");
      this.#next();
    }
  }
}
