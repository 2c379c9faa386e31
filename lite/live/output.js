// What a run shows: streams, rich results and errors, in the same markup as the outputs made at build time.

const RICHEST = ["text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/latex", "text/plain"];

const element = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

function textBlock(kind, text) {
  const block = element("div", `output ${kind} notranslate`);
  const highlight = element("div", "highlight");
  const pre = element("pre", "", text);
  highlight.append(pre);
  block.append(highlight);
  return block;
}

export class Output {
  /** node: the cell's .tt-output; name: the cell's name for people, as in "code cell 3". */
  constructor(node, name) {
    this.node = node;
    this.name = name;
    this.original = [...node.childNodes];
    this.stream = null;
  }

  clear() {
    this.node.replaceChildren();
    this.stream = null;
  }

  /** The outputs that were on the page when it was built. */
  restore() {
    this.node.replaceChildren(...this.original);
    this.stream = null;
  }

  #add(node) {
    this.node.append(node);
    // A block that scrolls sideways has to be reachable with the keyboard.
    for (const pre of node.querySelectorAll("pre")) {
      if (pre.scrollWidth > pre.clientWidth) pre.tabIndex = 0;
    }
  }

  write(name, text) {
    const kind = name === "stderr" ? "stderr" : "stream";
    if (this.stream?.kind !== kind) {
      const block = textBlock(kind, "");
      this.stream = { kind, pre: block.querySelector("pre"), start: "" };
      this.#add(block);
    }
    this.#append(this.stream.pre, text);
  }

  // A carriage return starts the line anew, as in a terminal: progress bars draw themselves over.
  #append(pre, text) {
    if (!text.includes("\r")) {
      pre.append(text);
      return;
    }
    const last = pre.textContent.lastIndexOf("\n") + 1;
    const lines = (pre.textContent.slice(last) + text).replaceAll("\r\n", "\n").split("\n");
    const drawn = lines.map((line) => line.split("\r").findLast((part) => part !== "") ?? "");
    pre.textContent = pre.textContent.slice(0, last) + drawn.join("\n");
  }

  show(data, metadata) {
    this.stream = null;
    const mime = RICHEST.find((candidate) => data[candidate] !== undefined);
    if (!mime) return;
    const content = data[mime];
    if (mime === "text/html") {
      const block = element("div", "output text_html");
      block.innerHTML = content;
      this.#add(block);
    } else if (mime === "image/svg+xml") {
      const block = element("div", "output tt-image");
      block.innerHTML = content;
      const svg = block.querySelector("svg");
      if (svg && !svg.hasAttribute("role")) {
        svg.setAttribute("role", "img");
        svg.setAttribute("aria-label", metadata.alt ?? `Drawing made by ${this.name}`);
      }
      this.#add(block);
    } else if (mime.startsWith("image/")) {
      const block = element("div", "output tt-image");
      const image = element("img");
      image.src = `data:${mime};base64,${content}`;
      // Figures are drawn with more pixels than they show.
      if (metadata[mime]?.width) image.width = metadata[mime].width;
      image.alt = metadata.alt ?? `Picture made by ${this.name}`;
      block.append(image);
      this.#add(block);
    } else {
      this.#add(textBlock("text_plain", content));
    }
  }

  error({ name, message, traceback }) {
    this.stream = null;
    const block = element("div", "output tt-error");
    const line = element("p");
    line.append(element("strong", "", name), message ? `: ${message}` : "");
    block.append(line);
    if (traceback) {
      const details = element("details");
      details.append(element("summary", "", "Traceback"), element("pre", "", traceback));
      details.querySelector("pre").tabIndex = 0;
      block.append(details);
    }
    this.#add(block);
    return block;
  }

  /** A sentence of the page's own, as opposed to what Python printed. */
  say(text) {
    this.stream = null;
    this.#add(element("p", "tt-says", text));
  }
}

export { element };
