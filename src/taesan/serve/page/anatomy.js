// A small picture of a model: what is frozen, and what the method moved. docs/techniques.svg draws the same, larger.

import { svg } from "./dom.js";

const LAYERS = [11, 22, 33];

/** The picture of how a method learnt a task, described by `label`. */
export function anatomy(method, task, label) {
  const weights = method === "finetune" ? "moved" : "frozen";
  return svg(
    "svg",
    { viewBox: "0 0 50 62", class: "anatomy", role: "img", "aria-label": label },
    box(1, 1, 48, 7, hasHead(method, task) ? "moved" : weights),
    ...LAYERS.flatMap((y) => [box(1, y, 48, 9, weights), ...beside(method, y)]),
    box(1, 44, 48, 7, weights),
    ...before(method),
  );
}

/** Whether a head of its own was learnt: words that stand for labels, or the backbone's own, need none. */
function hasHead(method, task) {
  if (method === "prompt") return task === "ner" || task === "qa";
  return (method === "lora" || method === "prefix") && task !== "generation";
}

const box = (x, y, width, height, kind) => svg("rect", { x, y, width, height, rx: 1.5, class: kind });

/** What a method adds to a layer. */
function beside(method, y) {
  if (method === "lora") return [box(39, y + 1.5, 2.6, 6, "moved"), box(43, y + 1.5, 2.6, 6, "moved")];
  if (method === "prefix") return [box(3, y + 1.5, 9, 6, "moved")];
  return [];
}

/** The text, and what a method puts before it. */
function before(method) {
  if (method === "prompt") return [...[1, 6.5, 12].map((x) => box(x, 54, 4, 7, "moved")), box(18, 54, 31, 7, "text")];
  if (method === "in-context") return [box(1, 54, 24, 7, "shots"), box(27, 54, 22, 7, "text")];
  return [box(1, 54, 48, 7, "text")];
}
