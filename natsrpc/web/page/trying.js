// The form that calls an endpoint, what came back, and the lines to copy.

import { makeCall, Misfit, NO_HEADERS, pathOf, queryOf, subjectOf } from "./calls.js";
import { control } from "./controls.js";
import { copyButton, freshId, h, replace, short } from "./dom.js";
import { pretty } from "./json.js";
import { linesOf } from "./lines.js";
import { isRaw } from "./schema.js";

const SHOWN_ITEMS = 500;
const SHOWN_TEXT = 200_000;

/** All that is needed to try an endpoint. `ownHeaders` gives the headers of every request. */
export function tryView(endpoint, ownHeaders) {
  const input = inputOf(endpoint);
  const out = h("section", { class: "answer", "aria-label": "Answer", tabindex: "-1" });
  const live = h("p", { role: "status", class: "status" });
  const send = h("button", { type: "submit", class: "send" }, "Call");
  const stop = h("button", { type: "button", hidden: true }, "Stop");
  const timeout = h("input", { type: "text", inputmode: "decimal", autocomplete: "off", placeholder: "5", class: "seconds" });
  timeout.id = freshId();
  const form = h("form", { class: "try" }, input.element,
    h("div", { class: "actions" }, send, stop, h("label", { for: timeout.id }, "Deadline, seconds"), timeout));
  let running = null;
  stop.addEventListener("click", () => running?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return;
    running = new AbortController();
    stop.hidden = false;
    send.disabled = true;
    try {
      await perform({ endpoint, input, headers: ownHeaders(), timeout: timeout.value.trim(), signal: running.signal, out, live });
    } finally {
      running = null;
      send.disabled = false;
      stop.hidden = true;
    }
  });
  const lines = linesView(() => linesOf({ endpoint, ...input.read(), subject: subjectOf(endpoint, input.tokens()),
    url: new URL(pathOf(endpoint, input.tokens()) + input.query(), document.baseURI).href,
    headers: ownHeaders() ?? {}, timeout: Number(timeout.value) || 0 }));
  form.addEventListener("input", lines.fill);
  form.addEventListener("change", lines.fill);
  return [h("h2", {}, "Try it"), form, live, out, h("h2", {}, "The same elsewhere"), lines.element];
}

/** What a person fills in: tokens, the request, items or a file. */
function inputOf(endpoint) {
  const tokens = endpoint.http.tokens.map((name) => [name, control(name, { type: "string" }, {}, true, 1)]);
  const parts = [tokens.map(([, each]) => each.element)];
  const items = endpoint.items && !isRaw(endpoint.items) ? itemsInput(endpoint) : null;
  const file = isRaw(endpoint.request) || isRaw(endpoint.items) ? fileInput() : null;
  const body = endpoint.request && !isRaw(endpoint.request) ? bodyInput(endpoint.request) : null;
  parts.push(body?.element, items?.element, file?.element);
  return {
    element: h("div", {}, parts.flat().filter(Boolean)),
    tokens: () => Object.fromEntries(tokens.map(([name, each]) => [name, JSON.parse(each.read())])),
    query: () => (endpoint.items && body ? queryOf(body.read(), endpoint.http.query) : ""),
    read: () => ({ body: body?.read() ?? "", items: items?.read() ?? null }),
    sent: async () => (file ? file.read() : items ? items.read().join("\n") : body?.read() || undefined),
    type: () => (file ? "application/octet-stream" : items ? "application/x-ndjson" : "application/json"),
    find: (error) => (error.in === "path" ? tokens.find(([name]) => name === error.name)?.[1] : body?.find(error)),
    clear: () => { for (const [, each] of tokens) each.tell(""); body?.clear(); },
  };
}

/** A request, by a form or as JSON, whichever is shown. */
function bodyInput(schema) {
  const inner = control("request", schema, schema, true);
  const text = h("textarea", { rows: 6, spellcheck: "false", "aria-label": "request as JSON", class: "json" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const pane = h("div", { hidden: true }, text, wrong);
  let touched = false;
  text.addEventListener("input", () => { touched = true; });
  const tabs = tabList(["Form", "JSON"], (name) => {
    if (name === "JSON" && !touched) text.value = pretty(inner.read() ?? "");
    inner.element.hidden = name === "JSON";
    pane.hidden = name !== "JSON";
    text.dispatchEvent(new Event("change", { bubbles: true }));
  });
  const marked = new Set();
  return {
    element: h("div", {}, tabs, inner.element, pane),
    read: () => (pane.hidden ? inner.read() ?? "" : text.value.trim()),
    find: (error) => {
      if (!pane.hidden) return { tell: (said) => { wrong.textContent = said; }, field: text };
      const steps = error.pointer ? error.pointer.slice(2).split("/").map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~")) : [error.name];
      const part = inner.find(steps.filter(Boolean));
      marked.add(part);
      return part;
    },
    clear: () => { for (const each of marked) each.tell(""); marked.clear(); wrong.textContent = ""; },
  };
}

/** Items of a stream of requests: JSON, one a line, with a form that writes lines. */
function itemsInput(endpoint) {
  const text = h("textarea", { rows: 5, spellcheck: "false", class: "json", placeholder: "JSON, one item a line" });
  text.id = freshId();
  const inner = control("item", endpoint.items, endpoint.items, true);
  const add = h("button", { type: "button" }, "Write the item below");
  add.addEventListener("click", () => {
    text.value += `${text.value && !text.value.endsWith("\n") ? "\n" : ""}${inner.read() ?? "null"}\n`;
    text.dispatchEvent(new Event("input", { bubbles: true }));
  });
  return {
    element: h("div", {}, inner.element, add, h("label", { for: text.id }, "items"), text),
    read: () => text.value.split("\n").map((each) => each.trim()).filter(Boolean),
  };
}

function fileInput() {
  const file = h("input", { type: "file" });
  file.id = freshId();
  const text = h("textarea", { rows: 2, spellcheck: "false" });
  text.id = freshId();
  return {
    element: h("div", {}, h("label", { for: file.id }, "bytes of a file"), file, h("label", { for: text.id }, "or a text"), text),
    read: () => file.files[0] ?? text.value,
  };
}

/** Make the call, and show what comes. */
async function perform({ endpoint, input, headers, timeout, signal, out, live }) {
  input.clear();
  if (headers === null) {
    live.textContent = NO_HEADERS;
    return;
  }
  const streams = endpoint.kind === "response_stream" || endpoint.kind === "both_stream";
  const raw = isRaw(endpoint.response);
  const items = streams && !raw ? itemsView() : null;
  replace(out, items?.element);
  live.textContent = "Calling …";
  const all = { ...headers, "Content-Type": input.type(), ...(timeout ? { "Request-Timeout": timeout } : {}) };
  if (items) all.Accept = "application/x-ndjson";
  try {
    const done = await makeCall({ url: pathOf(endpoint, input.tokens()) + input.query(), body: await input.sent(), headers: all, streams, raw, signal,
      onStart: (response) => { live.textContent = `${response.status}, receiving …`; }, onItem: (text) => items.add(text) });
    live.textContent = `${done.status} in ${done.ms.toFixed(1)} ms${items ? `, ${items.count()} items` : ""}`;
    show(done, input, out, raw);
  } catch (error) {
    if (error instanceof Misfit) tellAt(error.at, error.message, input).focus();
    live.textContent = signal.aborted ? `Stopped${items ? ` after ${items.count()} items` : ""}: the call is cancelled.` : `No answer: ${error.message}`;
  }
}

function show(done, input, out, raw) {
  if (done.problem) out.append(problemView(done.problem, input));
  else if (raw && done.blob) out.append(rawView(done.blob));
  else if (done.text) out.append(valueView(done.text));
  else if (done.status === 204) out.append(h("p", { class: "note" }, "An empty answer."));
  const rows = done.headers.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, short(value, 500))));
  out.append(h("details", {}, h("summary", {}, "Headers of the answer"), h("table", {}, h("tbody", {}, rows))));
}

function valueView(text) {
  const shown = text.length > SHOWN_TEXT ? `${text.slice(0, SHOWN_TEXT)}\n… ${text.length - SHOWN_TEXT} more` : pretty(text);
  return h("div", { class: "copied" }, copyButton(() => text), h("pre", { tabindex: 0, "aria-label": "value" }, shown));
}

function rawView(blob) {
  const save = h("button", { type: "button" }, `Save ${blob.size} bytes`);
  save.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([blob], { type: "application/octet-stream" }));
    link.download = "answer";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  const pre = h("pre", { tabindex: 0, "aria-label": "value" });
  if (blob.size <= 4096) blob.text().then((text) => { pre.textContent = text; });
  return h("div", {}, save, pre);
}

/** Tell what is wrong with a part at its field, and return that; null where it has none. */
function tellAt(at, text, input) {
  const part = input.find(at);
  part?.tell?.(text);
  return part?.field ?? null;
}

/** A problem document; what it says of a field stands at that field, too. */
function problemView(problem, input) {
  const errors = Array.isArray(problem.errors) ? problem.errors.slice(0, 100) : [];
  const first = errors.map((error) => tellAt(error, String(error.detail), input)).find(Boolean);
  first?.querySelector ? (first.matches("fieldset") ? first.querySelector("input, textarea, select, button") : first)?.focus() : null;
  const known = new Set(["type", "title", "status", "detail", "errors"]);
  const more = Object.entries(problem).filter(([name]) => !known.has(name));
  return h("div", { class: "problem" },
    h("p", {}, h("strong", {}, short(`${problem.status} ${problem.title}`)), " ", short(problem.detail, 2000)),
    errors.length ? h("ul", {}, errors.map((each) => h("li", {}, h("code", {}, short(each.name || each.in)), ` ${short(each.detail)}`))) : null,
    more.length ? h("pre", { tabindex: 0, "aria-label": "fields of the error" }, pretty(JSON.stringify(Object.fromEntries(more)))) : null);
}

/** The items of a stream, the last of them shown. */
function itemsView() {
  let count = 0;
  const list = h("ol", { class: "items", tabindex: 0, "aria-label": "items" });
  return {
    element: list,
    count: () => count,
    add: (text) => {
      count += 1;
      list.append(h("li", { value: String(count) }, h("code", {}, short(text, 5000))));
      if (list.children.length > SHOWN_ITEMS) list.firstChild.remove();
      list.scrollTop = list.scrollHeight;
    },
  };
}

/** The lines in each language, one of which is shown. */
function linesView(make) {
  const pre = h("pre", { tabindex: 0, "aria-label": "line to copy" });
  let shown = "Python";
  const fill = () => {
    try {
      pre.textContent = make()[shown];
    } catch (error) {
      pre.textContent = `# not yet: ${error.message}`;
    }
  };
  const tabs = tabList(["Python", "nats", "curl"], (name) => { shown = name; fill(); });
  fill();
  return { element: h("div", { class: "copied" }, tabs, copyButton(() => pre.textContent), pre), fill };
}

/** Choices of which one holds. */
function tabList(names, choose) {
  const buttons = names.map((name, place) => h("button", { type: "button", "aria-pressed": place === 0 ? "true" : "false" }, name));
  buttons.forEach((button, place) => button.addEventListener("click", () => {
    for (const each of buttons) each.setAttribute("aria-pressed", each === button ? "true" : "false");
    choose(names[place]);
  }));
  return h("div", { class: "tabs", role: "group" }, buttons);
}
