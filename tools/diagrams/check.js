// Reads the Mermaid diagrams of the pages that are named, as a browser would before it draws them, and fails with
// file and line when one cannot be read.
import { readFileSync } from "node:fs";
import { JSDOM } from "jsdom";

const { window } = new JSDOM("");
globalThis.window = window;
globalThis.document = window.document;
const { default: mermaid } = await import("mermaid");

let read = 0;
for (const file of process.argv.slice(2)) {
  const text = readFileSync(file, "utf8");
  for (const block of text.matchAll(/^```mermaid\n([\s\S]*?)^```/gm)) {
    read++;
    try {
      await mermaid.parse(block[1]);
    } catch (error) {
      console.error(`${file}, the diagram in line ${text.slice(0, block.index).split("\n").length}: ${error.message}`);
      process.exitCode = 1;
    }
  }
}
console.log(`${read} diagrams read`);
