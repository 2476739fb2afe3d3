// Reads a flowchart with Mermaid's own parser and prints its nodes and arrows.
// Run in a directory whose node_modules have mermaid and jsdom.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const require = createRequire(process.cwd() + "/");
const { JSDOM } = require("jsdom");
const dom = new JSDOM("<body></body>");
globalThis.window = dom.window;
globalThis.document = dom.window.document;
const url = pathToFileURL(process.cwd() + "/node_modules/mermaid/dist/mermaid.core.mjs").href;
const { default: mermaid } = await import(url);
const text = readFileSync(0, "utf8");
mermaid.initialize({ securityLevel: "strict" });
await mermaid.parse(text);
const diagram = await mermaid.mermaidAPI.getDiagramFromText(text);
const decode = (text) =>
  (text ?? "").replace(/ﬂ°°(\d+)¶ß/g, (_, n) => String.fromCodePoint(Number(n)));
const vertices = [...diagram.db.getVertices().values()];
console.log(JSON.stringify({
  nodes: vertices.map((v) => ({ id: v.id, text: decode(v.text) })),
  edges: diagram.db.getEdges().map((e) => ({ from: e.start, to: e.end, text: decode(e.text), stroke: e.stroke })),
}));
