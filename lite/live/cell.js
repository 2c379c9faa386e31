// One code cell of a page: its text, its editor, its buttons and its outputs.
import { Output, element } from "./output.js";

const EDITED = "Edited";
const AUTOSAVE_MS = 150;
const STOP_AFTER_MS = 200; // a run shorter than this never shows Stop: two buttons that flicker help nobody

const seconds = (ms) => (ms < 1000 ? `${Math.max(1, Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`);

/** Hide one button and show the other in its place; the keyboard's focus goes along. */
export function swapButtons(from, to) {
  const focused = from === document.activeElement;
  from.hidden = true;
  to.hidden = false;
  if (focused) to.focus();
}

export class Cell {
  constructor(node, number, page) {
    this.node = node;
    this.number = number;
    this.page = page;
    this.title = `code cell ${number}`;
    this.name = node.dataset.ttCell;
    this.hash = node.dataset.ttHash;
    this.index = Number(node.dataset.ttIndex);
    this.listing = node.querySelector(".tt-code div[class*='highlight-']");
    this.original = this.listing.textContent.replace(/\n+$/, "");
    this.code = this.original;
    this.output = new Output(node.querySelector(".tt-output"), this.title);
    this.mayRaise = node.dataset.ttRaises !== undefined;
    this.ranIn = null; // the generation of the Python that it ran in to its end
    this.handle = null;
    this.edit = null;
    this.cleared = null; // the text a reset took away

    const find = (name) => node.querySelector(`[data-tt="${name}"]`);
    this.buttons = { run: find("run"), stop: find("stop"), above: find("run-above"), reset: find("reset") };
    this.note = node.querySelector(".tt-note");
    this.buttons.run.onclick = () => page.run([this]);
    this.buttons.above.onclick = () => page.runTo(this);
    this.buttons.stop.onclick = () => page.cancel(this);
    this.buttons.reset.onclick = () => this.reset();
  }

  // --- text -------------------------------------------------------------------------------------------

  /** Show the reader's saved text; asks what to keep when the original was rewritten since. */
  restore(record) {
    this.code = record.code;
    this.edit = record;
    if (record.hash !== this.hash) this.#askAboutNewOriginal(record);
    this.#showEdited("Your edit, not run yet: the output is the original’s");
  }

  mount(createEditor) {
    if (this.editor) return;
    this.editor = createEditor({
      parent: this.listing.parentNode,
      text: this.code,
      label: `Code of cell ${this.number}. Escape, then Tab, leaves the editor.`,
      onChange: (text) => this.#changed(text),
      onRun: (moveOn) => {
        this.page.run([this]);
        if (moveOn) this.page.focusAfter(this);
      },
    });
    this.listing.hidden = true;
  }

  #changed(text) {
    this.code = text;
    if (text !== this.original) this.cleared = null;
    this.#showEdited(EDITED);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), AUTOSAVE_MS);
    this.unsaved = true;
  }

  async save() {
    if (!this.unsaved) return;
    clearTimeout(this.timer);
    this.unsaved = false;
    const { store, name: page } = this.page;
    try {
      // An edit that was found under an older name moves to this cell's name.
      if (this.edit && this.edit.cell !== this.name) await store.remove(page, this.edit.cell);
      if (this.code === this.original) {
        this.edit = null;
        await store.remove(page, this.name);
        this.#amendNote("", "Back to the original");
      } else {
        const { hash, original } = this.edit ?? this;
        this.edit = { page, cell: this.name, code: this.code, original, hash, index: this.index, saved: Date.now() };
        await store.put(this.edit);
        this.#amendNote(EDITED, store.persistent ? "Edited, saved in this browser" : "Edited, kept until you leave");
      }
    } catch (error) {
      this.page.storeFailed(error);
    }
  }

  /** Replace what the note says, unless it has meanwhile something newer to say. */
  #amendNote(before, sentence) {
    if (this.note.textContent === before) this.note.textContent = sentence;
  }

  #showEdited(sentence) {
    const edited = this.code !== this.original;
    this.node.toggleAttribute("data-tt-edited", edited);
    this.buttons.reset.hidden = !edited && this.cleared === null;
    this.buttons.reset.textContent = edited ? "Reset" : "Undo reset";
    if (!this.handle) this.note.textContent = edited ? sentence : "";
  }

  #replace(text) {
    if (this.editor) this.editor.replace(text);
    else this.#changed(text);
  }

  /** Back to the original text and outputs; once more, and the edit is back. */
  reset() {
    if (this.code === this.original) {
      const back = this.cleared;
      this.cleared = null;
      this.#replace(back);
    } else {
      this.cleared = this.code;
      this.question?.remove();
      this.#replace(this.original);
      if (!this.handle) this.output.restore();
      this.page.announce(`${this.title} is back to the original; Undo reset brings your edit back.`);
    }
    this.save();
    this.buttons.reset.focus();
  }

  #askAboutNewOriginal(record) {
    const question = element("div", "tt-question");
    question.append(element("p", "", "The book has rewritten this cell since you edited it. Your text is shown."));
    const keep = element("button", "tt-button", "Keep mine");
    const take = element("button", "tt-button", "Take the new one");
    const details = element("details");
    details.append(element("summary", "", "Show the new one"), element("pre", "", this.original));
    details.querySelector("pre").tabIndex = 0;
    keep.type = take.type = "button";
    keep.onclick = () => {
      this.edit = { ...record, hash: this.hash, original: this.original };
      this.#showEdited(EDITED);
      this.unsaved = true;
      this.save();
      question.remove();
    };
    take.onclick = () => this.reset();
    question.append(keep, take, details);
    this.question = question;
    this.node.prepend(question);
  }

  // --- runs -------------------------------------------------------------------------------------------

  /** Queue this cell's present text. */
  queue(kernel) {
    if (this.handle) return;
    this.#setRunning("waiting");
    this.note.textContent = kernel.state === "busy" ? "Waits for its turn" : "";
    this.handle = kernel.run({
      code: this.code,
      filename: `cell ${this.number}`,
      mayRaise: this.mayRaise,
      listener: {
        begin: () => {
          this.#setRunning("running");
          this.output.clear();
          this.note.textContent = "Running";
        },
        stage: ({ label }) => (this.note.textContent = label),
        stream: (name, text) => this.output.write(name, text),
        display: (data, metadata) => this.output.show(data, metadata),
        clear: () => this.output.clear(),
        error: (error) => this.#failed(error),
        end: (result) => this.#ended(result, kernel.generation),
        dropped: () => {
          this.#finish();
          this.note.textContent = "Not run";
        },
      },
    });
  }

  #setRunning(state) {
    this.node.dataset.ttRun = state;
    this.buttons.run.setAttribute("aria-disabled", "true");
    this.swap ??= setTimeout(() => swapButtons(this.buttons.run, this.buttons.stop), STOP_AFTER_MS);
  }

  #finish() {
    this.handle = null;
    delete this.node.dataset.ttRun;
    clearTimeout(this.swap);
    this.swap = null;
    this.buttons.run.removeAttribute("aria-disabled");
    swapButtons(this.buttons.stop, this.buttons.run);
  }

  #failed(error) {
    this.error = error.name;
    const block = this.output.error(error);
    const above = this.page.notRunAbove(this);
    if (error.name === "NameError" && above.length > 0) {
      const hint = element("p", "", "Names may come from cells above, and some of those have not run yet. ");
      const button = element("button", "tt-button", "Run them, then this one");
      button.type = "button";
      button.onclick = () => this.page.runTo(this);
      hint.append(button);
      block.append(hint);
    }
  }

  #ended({ ok, ms, stopped, died }, generation) {
    this.#finish();
    if (stopped) {
      this.output.say("Stopped. Python starts anew: its variables are gone, your edits are kept.");
      this.note.textContent = "Stopped";
      this.page.announce(`${this.title} was stopped. Python starts anew: its variables are gone.`);
    } else if (died) {
      this.output.say(`${died.replace(/\.?$/, ".")} Its variables are gone, your edits are kept.`);
      this.note.textContent = "Not finished";
    } else {
      if (ok || this.mayRaise) this.ranIn = generation;
      this.note.textContent = ok ? `Ran in ${seconds(ms)}` : `${this.error} after ${seconds(ms)}`;
      this.page.announce(ok ? `${this.title} ran in ${seconds(ms)}.` : `${this.title} ended with ${this.error}.`);
    }
  }
}
