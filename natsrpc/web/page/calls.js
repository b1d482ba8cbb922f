// Calls over the gateway, and what comes back: a value, the items of a stream, or a problem document.

import { parts } from "./json.js";
import { variants } from "./schema.js";

const KEPT = 1 << 20;

/** What is said of headers that `headersOf` does not take. */
export const NO_HEADERS = "A line under 'Headers' is none: write 'Name: value', without letters that are not of Latin-1.";

/** What was filled in, and cannot be sent. `at` is its place, as an error in a problem document has it. */
export class Misfit extends Error {
  constructor(message, at) {
    super(message);
    this.at = at;
  }
}

/** The path of an endpoint, its parameters filled; relative to where the gateway is. */
export function pathOf(endpoint, values) {
  return filled(endpoint, values, "/", encodeURIComponent);
}

/** The subject of an endpoint, its tokens filled. */
export function subjectOf(endpoint, values) {
  return endpoint.http ? filled(endpoint, values, ".", (part) => part) : endpoint.template;
}

function filled(endpoint, values, separator, written) {
  const parts = endpoint.http.path.slice(1).split("/");
  const all = parts.flatMap((part, place) => {
    const name = /^\{(.*)\}$/.exec(part)?.[1];
    if (name === undefined) return [decodeURIComponent(part)];
    const value = values[name] ?? "";
    // Of a path, browsers make these another one; the gateway takes no dots in a part anyhow.
    if (value === "." || value === "..") throw new Misfit(`${name} cannot be ${value}`, { in: "path", name });
    return place === parts.length - 1 && endpoint.subject.endsWith(".>") ? value.split(".") : [value];
  });
  return all.map(written).join(separator);
}

/** Fields that are flat, as a query: lists are repeated, numbers keep their digits. `fields` are their schemas. */
export function queryOf(text, fields) {
  if (!text) return "";
  JSON.parse(text); // what is none is told by this
  const query = new URLSearchParams();
  const pairs = text.startsWith("{") ? parts(text) : [["value", text]];
  for (const [name, value] of pairs) {
    const isList = value.startsWith("[");
    const schema = Object.hasOwn(fields, name) ? fields[name] : {};
    for (const one of isList ? parts(value).map(([, item]) => item) : [value]) {
      if (one === "null" && !readsNull(isList ? schema.items ?? {} : schema)) continue;
      query.append(name, one.startsWith('"') ? JSON.parse(one) : one);
    }
  }
  return query.size ? `?${query}` : "";
}

/** Whether `null` in a query is read as such; where a text may stand, it is one. */
function readsNull(schema) {
  const types = variants(schema, schema).map((each) => each.type);
  return types.includes("null") && !types.includes("string");
}

/** The headers that a person wrote, one a line; null where a line is none that a browser sends. */
export function headersOf(text) {
  const found = {};
  for (const line of text.split("\n").map((each) => each.trim()).filter(Boolean)) {
    const colon = line.indexOf(":");
    if (colon < 1) return null;
    found[line.slice(0, colon)] = line.slice(colon + 1).trim();
  }
  try {
    new Headers(found);
  } catch {
    return null;
  }
  return found;
}

/**
 * Make a call. `onStart(response)` is called when its head is here, `onItem(text)` for each item of a stream.
 * Returns {status, ms, headers, text, blob, problem}; throws where no answer came, or it was stopped.
 */
export async function makeCall({ url, body, headers, streams, raw, signal, onStart, onItem }) {
  const began = performance.now();
  const response = await fetch(url, { method: "POST", body, headers, signal, credentials: "same-origin", redirect: "error" });
  const done = { status: response.status, headers: [...response.headers], text: "", blob: null, problem: null };
  onStart(response);
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("application/problem+json")) {
    done.problem = await response.json();
  } else if (streams && !raw) {
    done.problem = await readLines(response, onItem);
  } else if (raw) {
    done.blob = await response.blob();
  } else {
    done.text = await response.text();
  }
  done.ms = performance.now() - began;
  return done;
}

/** Hand out the lines of a body; returns the problem that ended it, or null. */
async function readLines(response, onItem) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let problem = null;
  const take = (line) => {
    if (!line.trim()) return;
    if (line.startsWith('{"$problem":')) problem = JSON.parse(line).$problem;
    else onItem(line);
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.forEach(take);
    if (rest.length > 64 * KEPT) throw new Error("an item is too large for this page");
  }
  take(rest);
  return problem;
}
