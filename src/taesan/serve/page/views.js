// What a model answers, drawn. Every view gives back its elements and, in a line, what it says.

import { h } from "./dom.js";

/** The views of answers that come at once: (answer, context) → [elements, line]. */
export const VIEWS = { classification: classes, pair: classes, ner: entities, qa: answers, next, fill };

// Classes -------------------------------------------------------------------------------------------------------------

function classes({ label, probabilities }, { n }) {
  const rows = Object.entries(probabilities).map(([name, value]) => ({ name, value, best: name === label }));
  return [[bars(rows, n)], `${label} ${n.percent(probabilities[label])}`];
}

/** Bars of probability, one a row: `name`, `value`, whether it is the `best`, its colour, what a click on it does. */
export function bars(rows, n) {
  return h(
    "ul",
    { class: "bars", role: "list" },
    ...rows.map((row) => h("li", { class: row.best && "best" }, ...bar(row, n))),
  );
}

function bar({ name, value, kind, hue, onclick, disabled }, n) {
  const fill = h("span", { class: `fill ${kind ?? ""}`, "--value": value, ...tint(hue) });
  const parts = [
    h("span", { class: "name" }, name),
    h("span", { class: "track", "aria-hidden": "true" }, fill),
    h("span", { class: "value" }, n.percent(value)),
  ];
  return onclick ? [h("button", { type: "button", onclick, disabled }, ...parts)] : parts;
}

const tint = (hue) => (hue === undefined ? {} : { "--hue": hue, "data-tinted": true });

// Words of a text -----------------------------------------------------------------------------------------------------

/** The UTF-16 index of every code point of a text, and of its end. Offsets of the server count code points. */
export function boundaries(text) {
  const found = [0];
  for (const character of text) found.push(found.at(-1) + character.length);
  return found;
}

/** [start, end, span or undefined]: from `start` to `end`, cut where spans begin and end. They are sorted and apart. */
export function* pieces(start, end, spans) {
  for (const span of spans) {
    if (span.end <= start || span.start >= end) continue;
    if (span.start > start) yield [start, span.start];
    start = Math.max(start, span.start);
    yield [start, Math.min(end, span.end), span];
    start = Math.min(end, span.end);
  }
  if (start < end) yield [start, end];
}

/**
 * A text whose words can be chosen and whose spans are marked.
 *
 * `word` and `mark` give attributes of each, `after` what follows a span.
 */
function readable(text, words, spans, { label, word, mark, after = () => [] }, choose) {
  const at = boundaries(text);
  const options = [];
  const marked = (from, to) =>
    [...pieces(from, to, spans)].map(([start, end, span]) => {
      const part = text.slice(at[start], at[end]);
      if (!span) return part;
      const edges = `${start === span.start ? "first" : ""} ${end === span.end ? "last" : ""}`;
      return h("mark", { class: edges, ...mark(span) }, part, ...(end === span.end ? after(span) : []));
    });
  const content = [...pieces(0, at.length - 1, words)].flatMap(([start, end, own]) => {
    if (!own) return marked(start, end);
    const option = h("span", { ...OPTION, class: "word", ...word(own) }, ...marked(start, end));
    options.push(option);
    return [option];
  });
  return listbox(label, options, content, choose);
}

const OPTION = { role: "option", tabindex: -1, "aria-selected": "false" };

/** Options in running text: hover, focus, a tap and the arrow keys choose one, which `choose` is told by its number. */
function listbox(label, options, content, choose) {
  let chosen = -1;
  const select = (index, focus) => {
    if (index < 0 || index >= options.length) return;
    if (index !== chosen) {
      options[chosen]?.setAttribute("aria-selected", "false");
      options[chosen]?.setAttribute("tabindex", "-1");
      chosen = index;
      options[chosen].setAttribute("aria-selected", "true");
      options[chosen].setAttribute("tabindex", "0");
      choose(chosen);
    }
    if (focus) options[chosen].focus();
  };
  const point = (event) => select(options.indexOf(event.target.closest("[role=option]")));
  const onkeydown = (event) => {
    const to = {
      ArrowRight: chosen + 1,
      ArrowDown: chosen + 1,
      ArrowLeft: chosen - 1,
      ArrowUp: chosen - 1,
      Home: 0,
      End: options.length - 1,
    };
    if (!(event.key in to)) return;
    event.preventDefault();
    select(to[event.key], true);
  };
  const attributes = { role: "listbox", class: "readable", "aria-label": label, "aria-orientation": "horizontal" };
  const element = h(
    "div",
    { ...attributes, onmouseover: point, onclick: point, onfocusin: point, onkeydown },
    ...content,
  );
  return { element, select, add: (option) => element.append(options[options.push(option) - 1]) };
}

/** Where the chosen word's distribution is drawn. */
function panel() {
  const element = h("div", { class: "panel", "aria-live": "polite" });
  return {
    element,
    show: (title, ...content) => element.replaceChildren(h("p", { class: "caption" }, title), ...content),
  };
}

/** A text and what is said of it: side by side where there is room. */
const beside = (...columns) => columns.map((column) => h("div", {}, ...column));

// Entities ------------------------------------------------------------------------------------------------------------

function entities({ entities: found, words }, { values, model, t, n }) {
  const hues = new Map(model.labels.map((label, index) => [label, (75 + index * 137.5) % 360]));
  const shown = panel();
  const choose = (index) => {
    const { text, probabilities } = words[index];
    const best = Math.max(...Object.values(probabilities));
    const rows = Object.entries(probabilities).map(([label, value]) => ({
      name: label === "O" ? t.none : label,
      value,
      best: value === best,
      hue: hues.get(label),
    }));
    shown.show(t.distribution(text), bars(rows, n));
  };
  const text = readable(
    values.text,
    words,
    found,
    {
      label: t.words,
      word: () => ({}),
      mark: ({ label }) => tint(hues.get(label)),
      after: ({ label }) => [h("small", {}, label)],
    },
    choose,
  );
  text.select(
    Math.max(
      0,
      words.findIndex(({ start, end }) => found[0] && start <= found[0].start && found[0].start < end),
    ),
  );
  const line = found.map(({ text: part, label }) => `${part} (${label})`).join(", ");
  return [beside([text.element], [shown.element]), line || t.none];
}

// Answers -------------------------------------------------------------------------------------------------------------

function answers({ answer, start, end, candidates, words, no_answer_probability: nothing }, { values, t, n }) {
  const shown = panel();
  const choose = (index) => {
    const { text, starts, ends } = words[index];
    const rows = [
      { name: t.starts, value: starts, kind: "start" },
      { name: t.ends, value: ends, kind: "end" },
    ];
    shown.show(t.word(text), bars(rows, n));
  };
  const found = start === null ? [] : [{ start, end }];
  const text = readable(
    values.context,
    words,
    found,
    // The eye sees a hundredth where it may be seen at all: the root of a probability is drawn.
    {
      label: t.words,
      word: ({ starts, ends }) => ({ "--starts": Math.sqrt(starts), "--ends": Math.sqrt(ends) }),
      mark: () => ({}),
    },
    choose,
  );
  text.element.classList.add("strips");
  const likeliest = words.reduce((best, word, index) => (word.starts > words[best].starts ? index : best), 0);
  text.select(start === null ? likeliest : words.findIndex((word) => word.end > start));
  const legend = h(
    "p",
    { class: "legend" },
    h("span", { class: "start" }, t.start),
    h("span", { class: "end" }, t.end),
  );
  const rows = candidates.map(({ text: name, probability: value, start: from }, index) => ({
    name,
    value,
    best: index === 0 && from === start,
  }));
  if (nothing !== undefined) rows.push({ name: h("em", {}, t.noAnswer), value: nothing, best: start === null });
  const list = [h("p", { class: "caption" }, t.candidates), bars(rows, n)];
  return [beside([text.element, legend], [...list, shown.element]), start === null ? t.noAnswer : answer];
}

// The vocabulary ------------------------------------------------------------------------------------------------------

function next({ candidates }, { values, t, n, again }) {
  const rows = pickable(candidates, (text) => again({ text: values.text + text }));
  return [[h("p", { class: "caption" }, t.choose), bars(rows, n)], candidates[0].text.trim()];
}

export const BLANK = "[MASK]";

function fill({ blanks }, { values, t, n, again }) {
  const parts = values.text.split(BLANK);
  const lists = blanks.flatMap(({ candidates }, number) => {
    const put = (text) => {
      const before = parts.slice(0, number + 1).join(BLANK);
      const joined = /(^|\s)$/.test(before) ? text.trimStart() : text;
      again({ text: before + joined + parts.slice(number + 1).join(BLANK) });
    };
    return [
      h("p", { class: "caption" }, blanks.length > 1 ? t.blankNumber(number + 1) : t.choose),
      bars(pickable(candidates, put), n),
    ];
  });
  return [lists, blanks.map(({ candidates }) => candidates[0].text.trim()).join(", ")];
}

/** Rows to click on. Half a character cannot be put into a text. */
function pickable(candidates, pick) {
  return candidates.map(({ text, probability: value }, index) => ({
    name: visible(text),
    value,
    best: index === 0,
    disabled: text === "" || text.includes("\ufffd"),
    onclick: () => pick(text),
  }));
}

/** A piece as a reader sees it: a space that opens it, a line break. */
const visible = (text) => text.replace(/^ /, "␣").replaceAll("\n", "⏎") || "∅";

const PART = "·"; // what stands for a token that is only a part of a character

// Writing -------------------------------------------------------------------------------------------------------------

/** A text as it is written: `add` takes a step of the stream, `end` its last event and gives the line. */
export function writing({ values, model, t, n }) {
  const shown = panel();
  const steps = [];
  // A backbone goes on with the text; what was fitted replies to it.
  const replies = model.method !== "backbone";
  const given = h("span", { class: replies ? "given whole" : "given" }, values.prompt);
  const text = listbox(t.tokens, [], [given], (index) => {
    const { text: own, token, candidates } = steps[index];
    const rows = candidates.map((one) => ({
      name: visible(one.text),
      value: one.probability,
      best: one.token === token,
    }));
    shown.show(t.step(visible(own)), bars(rows, n));
  });
  return {
    elements: beside([text.element], [shown.element]),
    add(step) {
      const own = replies && !steps.length ? step.text.trimStart() : step.text;
      steps.push(step);
      text.add(h("span", { ...OPTION, class: "token" }, own || PART));
      text.select(steps.length - 1);
    },
    end({ finished }) {
      if (!steps.length || !finished)
        text.element.after(h("p", { class: "caption" }, steps.length ? t.unfinished : t.nothing));
      return steps.map((step) => step.text).join("");
    },
  };
}
