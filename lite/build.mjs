// Bundles the script of the live cells (lite/live/) and copies what the pages serve as it is into docs/_static/.
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const lite = new URL("./", import.meta.url);
const served = new URL("../docs/_static/", lite);
const live = new URL("live/", served);
await rm(live, { recursive: true, force: true });
await mkdir(live, { recursive: true });

// The worker is not bundled: it imports Pyodide by an address that it is told at run time. Its name carries its
// hash, like those of the bundle's parts, so that a page never meets the worker of another release.
const worker = await readFile(new URL("live/worker.js", lite));
const workerName = `worker-${createHash("sha256").update(worker).digest("hex").slice(0, 8)}.js`;
await writeFile(new URL(workerName, live), worker);

const { metafile } = await build({
  entryPoints: [fileURLToPath(new URL("live/page.js", lite)), fileURLToPath(new URL("live/live.css", lite))],
  outdir: fileURLToPath(live),
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  minify: true,
  chunkNames: "[name]-[hash]",
  define: { WORKER: JSON.stringify(workerName) },
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

// What the bundle is made of stands under licences that ask to be passed on.
const bundled = Object.keys(metafile.inputs).map((path) => path.match(/.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]);
const notices = await Promise.all(
  [...new Set(bundled.filter(Boolean))].sort().map(async (folder) => {
    const { name, version, license } = JSON.parse(await readFile(`${folder}/package.json`, "utf8"));
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    return `${name} ${version} (${license})\n\n${file ? await readFile(`${folder}/${file}`, "utf8") : ""}`;
  }),
);
await writeFile(new URL("licences.txt", live), notices.join(`\n${"-".repeat(72)}\n\n`));

// KaTeX sets formulas when the site is built; the page needs its style sheet and the fonts in their newest format.
const katex = new URL("node_modules/katex/dist/", lite);
const formulas = new URL("katex/", served);
await rm(formulas, { recursive: true, force: true });
await mkdir(new URL("fonts/", formulas), { recursive: true });
const style = await readFile(new URL("katex.min.css", katex), "utf8");
const newestFonts = style.replace(/,url\([^)]*\.(?:woff|ttf)\) format\("[^"]*"\)/g, "");
const scrollsOnPhones = ".katex-display{overflow:auto hidden;padding:2px 0}";
await writeFile(new URL("katex.min.css", formulas), newestFonts + scrollsOnPhones);
for (const font of await readdir(new URL("fonts/", katex))) {
  if (font.endsWith(".woff2")) await cp(new URL(`fonts/${font}`, katex), new URL(`fonts/${font}`, formulas));
}
