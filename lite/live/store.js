// A reader's edits, kept in this browser.
//
// One record per edited cell: {page, cell, code, original, hash, index, saved}. The key is [page, cell], names
// that stand in the book's source, never the URL: the edit is found again when the site moves. `original` and
// `hash` are those of the cell's text when it was edited, so that a rewritten original is noticed.
const DATABASE = "tinytorch";
const VERSION = 1;
const EDITS = "edits";

const settled = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another tab holds an older version of the store"));
  });

class BrowserStore {
  persistent = true;

  constructor(database) {
    this.database = database;
  }

  async ofPage(page) {
    const edits = this.database.transaction(EDITS).objectStore(EDITS);
    return settled(edits.getAll(IDBKeyRange.bound([page], [page, []])));
  }

  async write(change) {
    const transaction = this.database.transaction(EDITS, "readwrite");
    change(transaction.objectStore(EDITS));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  }

  put(record) {
    return this.write((edits) => edits.put(record));
  }

  remove(page, cell) {
    return this.write((edits) => edits.delete([page, cell]));
  }
}

// Where the browser refuses to store anything (some private windows), edits last as long as the page.
class VisitStore {
  persistent = false;

  async ofPage() {
    return [];
  }

  async put() {}

  async remove() {}
}

/** Open the reader's edits; falls back to a store for this visit only, with `persistent` false. */
export async function openStore() {
  try {
    const request = indexedDB.open(DATABASE, VERSION);
    request.onupgradeneeded = () => {
      if (!request.result.objectStoreNames.contains(EDITS)) {
        request.result.createObjectStore(EDITS, { keyPath: ["page", "cell"] });
      }
    };
    const database = await settled(request);
    database.onversionchange = () => database.close();
    return new BrowserStore(database);
  } catch {
    return new VisitStore();
  }
}

/**
 * Give each saved edit to the cell it belongs to.
 *
 * cells: [{name, hash, index}]. The name decides. A cell that its author did not name is called after its text
 * ("~" and a hash), so rewriting it changes its name: such an edit goes to the unnamed cell at its old place, if
 * that has no edit of its own, and the reader is asked what to keep. Returns {edits: Map(cell -> record),
 * homeless: [record]}.
 */
export function matchEdits(cells, records) {
  const edits = new Map();
  const byName = new Map(cells.map((cell) => [cell.name, cell]));
  const strays = [];
  for (const record of records) {
    const cell = byName.get(record.cell);
    if (cell) edits.set(cell, record);
    else strays.push(record);
  }
  const homeless = [];
  for (const record of strays) {
    const cell = record.cell.startsWith("~") && cells.find((other) => other.index === record.index);
    if (cell && cell.name.startsWith("~") && !edits.has(cell)) edits.set(cell, record);
    else homeless.push(record);
  }
  return { edits, homeless };
}

/** A yes/no preference; false where the browser keeps none. */
export function preference(name) {
  try {
    return localStorage.getItem(`tinytorch.${name}`) === "yes";
  } catch {
    return false;
  }
}

export function setPreference(name, value) {
  try {
    localStorage.setItem(`tinytorch.${name}`, value ? "yes" : "no");
  } catch {
    // Nothing to do: the browser keeps no preferences, and the page says so where it keeps no edits.
  }
}

export function hasPreference(name) {
  try {
    return localStorage.getItem(`tinytorch.${name}`) !== null;
  } catch {
    return false;
  }
}
