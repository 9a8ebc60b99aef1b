// The page. Its address says what is chosen (task, models, language; never a text), and everything follows from that.

import { anatomy } from "./anatomy.js";
import { ApiError, act, checked, models, stream, useKey } from "./api.js";
import { h } from "./dom.js";
import { examples } from "./examples.js";
import { LANGUAGES, TEXTS, numbers } from "./texts.js";
import { BLANK, VIEWS, writing } from "./views.js";

const TASKS = ["classification", "pair", "ner", "qa", "generation", "next", "fill"];
const INPUTS = { pair: ["premise", "hypothesis"], qa: ["question", "context"], generation: ["prompt"] };
const MOST_AT_ONCE = 4; // models that answer before any was chosen
const ALSO = { next: "generation" }; // what knows the next word writes
const VOCABULARY = ["next", "fill"]; // what a backbone alone is asked
const TOP = 10; // of the vocabulary
const STEP_TOP = 5; // of it, at each step of writing
const OPTIONS = {
  max_tokens: { value: 40, min: 1, max: 256, step: 1 },
  repetition_penalty: { value: 1, min: 1, max: 2, step: 0.1 },
  sample: { type: "checkbox" },
  temperature: { value: 0.8, min: 0.1, max: 2, step: 0.1, drawing: true },
  top_k: { value: 0, min: 0, max: 1000, step: 1, drawing: true },
  top_p: { value: 0.95, min: 0.05, max: 1, step: 0.05, drawing: true },
  seed: { value: 42, min: 0, max: 1e6, step: 1, drawing: true },
};

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const drafts = new Map(); // what was written for each task
const cards = new Map(); // by the model's name
let served = [];
let now = {}; // task, chosen models, language, its texts and numbers
let asked = new AbortController();
let stoppable = false;

// What is chosen ------------------------------------------------------------------------------------------------------

const inputs = (task) => INPUTS[task] ?? ["text"];
const doing = (task) => served.filter((model) => model.task === task || ALSO[model.task] === task);

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const tasks = TASKS.filter((task) => doing(task).length);
  const task = tasks.includes(given.get("task")) ? given.get("task") : tasks[0];
  const known = doing(task).filter((model) => given.getAll("model").includes(model.name));
  const preferred = navigator.language.startsWith("ko") ? "ko" : "en";
  const language = LANGUAGES.includes(given.get("language")) ? given.get("language") : preferred;
  const chosen = known.length ? known : doing(task).slice(0, MOST_AT_ONCE);
  return { tasks, task, chosen, language, t: TEXTS[language], n: numbers(language) };
}

function address({ task, language, chosen = [] }) {
  const names = chosen.map((model) => ["model", model.name]);
  return `#${new URLSearchParams([["task", task], ["language", language], ...names])}`;
}

// What is shown -------------------------------------------------------------------------------------------------------

function render() {
  const before = now;
  now = read();
  const { t, task, language } = now;
  document.documentElement.lang = language;
  document.title = `taesan · ${t.title}`;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t[element.dataset.text];
  for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = t[element.dataset.label];
  for (const link of page.languages.children) {
    link.href = address({ ...now, language: link.lang });
    link.ariaCurrent = link.lang === language ? "true" : null;
  }
  page.ask.hidden = !task;
  if (!task) return;
  tell("");
  if (task !== before.task || language !== before.language) {
    drawTasks();
    if (!drafts.has(task)) drafts.set(task, examples(task)[0]);
    cards.clear();
    drawForm();
  }
  drawCards();
  ask([...cards.values()].filter((card) => !card.answered));
}

function drawTasks() {
  const links = now.tasks.map((task) => {
    const current = task === now.task && "page";
    return h("a", { href: address({ task, language: now.language }), "aria-current": current }, now.t.task[task]);
  });
  const held = [...page.tasks.children].indexOf(document.activeElement);
  page.tasks.replaceChildren(...links);
  links[held]?.focus();
  page.tasks.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function drawForm() {
  const { task } = now;
  page.inputs.replaceChildren(...inputs(task).flatMap(field));
  const offered = examples(task).map((example) => {
    const onclick = () => write(example);
    return h("button", { type: "button", class: "example", onclick }, example[inputs(task)[0]]);
  });
  page.examples.replaceChildren(...offered);
  page.blank.hidden = task !== "fill";
  page.options.hidden = task !== "generation";
  if (!page.options.hidden) page["option-fields"].replaceChildren(...Object.entries(OPTIONS).map(option));
  const boxes = doing(task).map((model) => {
    const box = h("input", { type: "checkbox", name: "model", value: model.name, onchange: choose });
    return h("label", {}, box, " ", model.name);
  });
  page.models.lastElementChild.replaceChildren(...boxes);
}

function field(name) {
  const id = `input-${name}`;
  const rows = name === "context" ? 5 : name === "question" ? 1 : 2;
  const oninput = (event) => drafts.set(now.task, { ...drafts.get(now.task), [name]: event.target.value });
  const area = h("textarea", { id, name, rows, autocomplete: "off", spellcheck: "false", oninput });
  area.value = drafts.get(now.task)[name] ?? "";
  return [h("label", { for: id }, now.t.input[name]), area];
}

function putBlank() {
  const area = page.ask.elements.text;
  area.setRangeText(BLANK, area.selectionStart, area.selectionEnd, "end");
  area.dispatchEvent(new Event("input"));
  area.focus();
}

function option([name, { drawing, type = "number", ...attributes }]) {
  const id = `option-${name}`;
  const onchange = name === "sample" && ((event) => draw(event.target.checked));
  const input = h("input", { id, name, type, ...attributes, disabled: drawing, ...(onchange && { onchange }) });
  return h("label", { for: id }, input, now.t.option[name]);
}

/** Settings of drawing count where tokens are drawn. */
function draw(on) {
  for (const [name, { drawing }] of Object.entries(OPTIONS)) if (drawing) page.ask.elements[name].disabled = !on;
}

function drawCards() {
  const names = now.chosen.map((model) => model.name);
  for (const box of page.models.querySelectorAll("input")) box.checked = names.includes(box.value);
  for (const name of cards.keys()) if (!names.includes(name)) cards.delete(name);
  for (const model of now.chosen) if (!cards.has(model.name)) cards.set(model.name, card(model));
  page.results.dataset.task = now.task;
  page.results.replaceChildren(...names.map((name) => cards.get(name).element));
}

function card(model) {
  const id = `model-${served.indexOf(model)}`;
  const time = h("span", { class: "time" });
  const body = h("div", { class: "body" });
  const shots = model.shots ? ` · ${now.t.shots(model.shots)}` : "";
  const method = h("span", { class: "method" }, `${now.t.method[model.method] ?? model.method}${shots}`);
  const header = h("header", {}, h("h2", { id }, model.name), method, time);
  return {
    model,
    time,
    body,
    element: h("article", { class: "card", "aria-labelledby": id }, header, body, changed(model)),
  };
}

/** What a model changed in its backbone. */
function changed({ method, backbone, parameters, trained_parameters: moved, folder_bytes: bytes }) {
  const { t, n, task } = now;
  let line = t.movedNone;
  if (method === "backbone") line = t.pretrained(n.count(parameters));
  else if (moved === parameters) line = t.movedAll(n.count(moved));
  else if (moved) line = t.moved(n.count(moved), n.count(parameters), n.share(moved / parameters));
  if (!backbone) line = t.ofItsOwn(n.count(moved)); // a baseline: nothing was pretrained
  const lines = [line, backbone?.name ?? "", t.folder(n.bytes(bytes))].filter(Boolean).map((text) => h("span", {}, text));
  const picture = backbone ? [anatomy(method, task, t.picture[method] ?? method)] : [];
  return h("footer", {}, ...picture, h("p", {}, ...lines));
}

/** One calm line above everything. */
function tell(line) {
  page.trouble.textContent = line;
  page.trouble.hidden = !line;
}

// What is asked -------------------------------------------------------------------------------------------------------

function write(values) {
  drafts.set(now.task, values);
  for (const name of inputs(now.task)) page.ask.elements[name].value = values[name] ?? "";
  ask();
}

function choose() {
  const names = [...page.models.querySelectorAll("input:checked")].map((box) => box.value);
  if (!names.length) {
    drawCards();
    return tell(now.t.chooseModel);
  }
  history.replaceState(
    null,
    "",
    address({ ...now, chosen: doing(now.task).filter((model) => names.includes(model.name)) }),
  );
  render();
}

/** Asks these cards' models, all together, what stands in the form. */
async function ask(wanted = [...cards.values()]) {
  const { t, task } = now;
  const values = Object.fromEntries(inputs(task).map((name) => [name, drafts.get(task)[name] ?? ""]));
  const missing = inputs(task).find((name) => !values[name].trim());
  if (missing) return tell(t.writeFirst(t.input[missing]));
  if (task === "fill" && !values.text.includes(BLANK)) return tell(t.noBlank);
  tell("");
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  for (const one of wanted) one.answered = false;
  busy(true);
  const lines = await Promise.all(wanted.map((one) => answer(one, values, signal)));
  if (signal !== asked.signal) return; // asked anew meanwhile
  busy(false);
  page.status.textContent = lines.filter(Boolean).join(". ");
}

/** What is written may be stopped; what is looked up is there at once. */
function busy(on) {
  const { t, task } = now;
  stoppable = on && task === "generation";
  page.send.textContent = stoppable ? t.stop : task === "generation" ? t.write : t.ask;
}

async function answer(one, values, signal) {
  const { t, n, task } = now;
  const context = { task, values, model: one.model, t, n, again: write };
  one.element.ariaBusy = "true";
  try {
    const line = await (task === "generation" ? writeOut : lookUp)(one, context, signal);
    one.answered = true;
    return t.said(one.model.name, line);
  } catch (error) {
    if (error.name === "AbortError") return "";
    one.time.textContent = "";
    one.body.replaceChildren(h("p", { class: "fault" }, explain(error)));
    return t.said(one.model.name, explain(error));
  } finally {
    if (signal === asked.signal) one.element.ariaBusy = "false";
  }
}

async function lookUp(one, context, signal) {
  const { task, values, n } = context;
  const result = VOCABULARY.includes(task)
    ? await act(one.model.name, task, { ...values, top: TOP }, signal)
    : await act(one.model.name, "predict", { items: [values], details: true }, signal);
  const [elements, line] = VIEWS[task](checked(result.predictions?.[0] ?? result), context);
  const held = one.body.contains(document.activeElement);
  one.body.replaceChildren(...elements);
  if (held) one.body.querySelector("button, [tabindex='0']")?.focus();
  one.time.textContent = n.seconds(result.seconds);
  return line;
}

async function writeOut(one, context, signal) {
  const text = writing(context);
  one.body.replaceChildren(...text.elements);
  one.time.textContent = "";
  const wanted = { ...context.values, ...options(), candidates: STEP_TOP, stream: true };
  for await (const event of stream(one.model.name, "generate", wanted, signal)) {
    if (!event.done) {
      text.add(event);
      continue;
    }
    one.time.textContent = context.n.seconds(event.seconds);
    return text.end(event);
  }
  throw new ApiError(0, "unreachable", "");
}

/** What the server is told of generation: of an option that is out of use or empty, nothing. */
function options() {
  const fields = Object.keys(OPTIONS).map((name) => page.ask.elements[name]);
  const set = fields.filter((input) => !input.disabled && input.value !== "");
  return Object.fromEntries(
    set.map((input) => [input.name, input.type === "checkbox" ? input.checked : input.valueAsNumber]),
  );
}

function explain(error) {
  const { t } = now;
  if (!(error instanceof ApiError)) {
    console.error(error);
    return t.error.unknown;
  }
  if (error.status === 401) page.key.hidden = false;
  const { unreachable, key, large, busy, draining } = t.error;
  const known = { 0: unreachable, 401: key, 413: large, 429: busy(error.retryAfter), 503: draining };
  return known[error.status] ?? (error.message || t.error.unknown);
}

// ---------------------------------------------------------------------------------------------------------------------

async function load() {
  try {
    served = await models();
  } catch (error) {
    render();
    const line = explain(error);
    return tell(error.status === 401 && !page["key-value"].value ? "" : line); // nobody has tried a key yet
  }
  page.key.hidden = true;
  render();
  if (!served.length) tell(now.t.noModels);
}

page.ask.addEventListener("submit", (event) => {
  event.preventDefault();
  if (stoppable) asked.abort();
  else ask();
});
page.ask.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) page.ask.requestSubmit();
});
page.key.addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(page["key-value"].value);
  load();
});
page.skip.addEventListener("click", (event) => {
  event.preventDefault(); // the address is for what is chosen
  page.results.focus();
});
page.blank.addEventListener("click", putBlank);
addEventListener("hashchange", render);
load();
