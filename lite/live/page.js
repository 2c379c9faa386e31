// A chapter's live cells: the bar on top, the cells, and the one Python they share.
//
// This is the small script that every page with code loads. The editor and Python itself only load when the
// reader starts Python, and the editor also where there are edits to show.
import { Cell, swapButtons } from "./cell.js";
import { element } from "./output.js";
import { Kernel } from "./kernel.js";
import { hasPreference, matchEdits, openStore, preference, setPreference } from "./store.js";

const here = import.meta.url;
const root = document.documentElement;
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

class Page {
  constructor(bar) {
    this.bar = bar;
    this.name = bar.dataset.ttPage;
    this.cells = [...document.querySelectorAll(".tt-cell")].map((node, place) => new Cell(node, place + 1, this));
    this.kernel = new Kernel({
      worker: new URL(WORKER, here),
      base: new URL("../../lite/static/pyodide/", here).href,
      onState: (state, detail) => this.#showState(state, detail),
    });
    const find = (name) => bar.querySelector(`[data-tt="${name}"]`);
    this.status = bar.querySelector(".tt-status");
    this.spoken = bar.querySelector(".tt-spoken");
    this.progress = bar.querySelector("progress");
    this.buttons = { start: find("start"), all: find("run-all"), restart: find("restart") };
    this.buttons.start.onclick = () => this.start();
    this.buttons.all.onclick = () => this.run(this.cells);
    this.buttons.restart.onclick = () => this.restart();
    this.autostart = find("autostart");
    this.autostart.checked = preference("autostart");
    this.autostart.onchange = () => setPreference("autostart", this.autostart.checked);
    this.#showState("off");
    this.opened = this.#open();
  }

  async #open() {
    this.store = await openStore();
    let records = [];
    try {
      records = await this.store.ofPage(this.name);
    } catch (error) {
      this.storeFailed(error);
    }
    const { edits, homeless } = matchEdits(this.cells, records);
    for (const [cell, record] of edits) cell.restore(record);
    if (homeless.length > 0) this.#showHomeless(homeless);
    if (edits.size > 0) await this.#loadEditors();
    addEventListener("pagehide", () => this.#saveAll());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#saveAll();
    });
  }

  #saveAll() {
    for (const cell of this.cells) cell.save();
  }

  #loadEditors() {
    this.editors ??= import("./editor.js").then(
      ({ createEditor }) => {
        for (const cell of this.cells) cell.mount(createEditor);
        root.dataset.ttEditor = "ready";
      },
      () => {
        this.editors = null;
        this.#remark("The editor could not be loaded; the cells run as they are.");
      },
    );
    return this.editors;
  }

  // --- Python -----------------------------------------------------------------------------------------

  async start() {
    if (!hasPreference("autostart")) {
      setPreference("autostart", true);
      this.autostart.checked = true;
    }
    // The download of Python begins before the editor's, because it takes longer.
    this.kernel.start();
    await this.opened;
    if (!this.store.persistent) {
      this.#remark("This browser stores nothing for this page: your edits are kept until you leave it.");
    }
    await this.#loadEditors();
  }

  /** For a returning reader: as soon as somebody looks at the page, unless the connection is to be spared. */
  startWhenSeen() {
    if (!preference("autostart") || navigator.connection?.saveData) return;
    if (!document.hidden) this.start();
    else document.addEventListener("visibilitychange", () => this.start(), { once: true });
  }

  async run(cells) {
    const started = this.start();
    await this.opened;
    for (const cell of cells) cell.queue(this.kernel);
    await started;
  }

  notRunAbove(cell) {
    return this.cells.filter((other) => other.number < cell.number && other.ranIn !== this.kernel.generation);
  }

  runTo(cell) {
    return this.run([...this.notRunAbove(cell), cell]);
  }

  cancel(cell) {
    if (cell.handle) this.kernel.cancel(cell.handle);
  }

  restart() {
    this.kernel.stop();
    this.announce("Python starts anew: its variables are gone, your edits are kept.");
  }

  focusAfter(cell) {
    const next = this.cells[cell.number];
    next?.editor?.focus();
  }

  // --- words ------------------------------------------------------------------------------------------

  /** Said to screen readers; what it says is also to be seen where it happened. */
  announce(sentence) {
    this.spoken.textContent = sentence[0].toUpperCase() + sentence.slice(1);
  }

  storeFailed(error) {
    this.#remark(`This browser could not store your edit (${error?.message ?? "no reason given"}). It is kept until you leave.`);
  }

  #remark(sentence) {
    this.remark ??= this.bar.appendChild(element("p", "tt-remark"));
    this.remark.textContent = sentence;
  }

  #showHomeless(records) {
    const details = element("details", "tt-homeless");
    const title = records.length === 1 ? "An edit of a cell that is gone" : `${records.length} edits of cells that are gone`;
    details.append(element("summary", "", title));
    for (const record of records) {
      const pre = element("pre", "", record.code);
      const forget = element("button", "tt-button", "Delete");
      pre.tabIndex = 0;
      forget.type = "button";
      forget.onclick = async () => {
        await this.store.remove(record.page, record.cell);
        pre.remove();
        forget.remove();
        if (!details.querySelector("pre")) details.remove();
      };
      details.append(pre, forget);
    }
    this.bar.append(details);
  }

  #showState(state, detail = {}) {
    root.dataset.ttKernel = state;
    const { start, all, restart } = this.buttons;
    const running = state === "ready" || state === "busy";
    swapButtons(running ? start : all, running ? all : start);
    start.textContent = state === "dead" ? "Start again" : "Start Python";
    start.ariaDisabled = state === "loading" ? "true" : null;
    restart.hidden = !running;
    this.progress.hidden = state !== "loading";
    for (const cell of this.cells) cell.buttons.above.hidden = this.notRunAbove(cell).length === 0;

    if (state === "loading") {
      const { label = "Starting Python", loaded, total } = detail;
      this.status.textContent = total ? `${label}: ${megabytes(loaded)} of ${megabytes(total)} MB` : label;
      if (total) this.progress.value = loaded / total;
      else this.progress.removeAttribute("value");
      for (const cell of this.cells) if (cell.handle) cell.note.textContent = this.status.textContent;
    } else if (state === "ready") {
      if (detail.fresh) {
        this.versions = detail.versions;
        this.announce("Python is ready.");
      }
      const { python, numpy, tinytorch } = this.versions;
      this.status.textContent = `Python ${python} is ready, with NumPy ${numpy}, TinyTorch ${tinytorch}.`;
    } else if (state === "busy") {
      this.status.textContent = `Running ${detail.filename}.`;
    } else if (state === "dead") {
      this.status.textContent = detail.message;
      this.announce(this.status.textContent);
    }
  }
}

const bar = document.querySelector(".tt-bar");
if (bar) new Page(bar).startWhenSeen();
