// Calls over the gateway, and what comes back: a value, the items of a stream, or a problem document.

const KEPT = 1 << 20;

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
    return place === parts.length - 1 && endpoint.subject.endsWith(".>") ? value.split(".") : [value];
  });
  return all.map(written).join(separator);
}

/** Fields that are flat, as a query: lists are repeated. */
export function queryOf(text) {
  if (!text || text === "{}") return "";
  const query = new URLSearchParams();
  const value = JSON.parse(text);
  const pairs = value !== null && typeof value === "object" && !Array.isArray(value) ? Object.entries(value) : [["value", value]];
  for (const [name, each] of pairs) {
    for (const one of Array.isArray(each) ? each : [each]) query.append(name, typeof one === "string" ? one : JSON.stringify(one));
  }
  return `?${query}`;
}

/** The headers that a person wrote, one a line; null where a line is none. */
export function headersOf(text) {
  const found = {};
  for (const line of text.split("\n").map((each) => each.trim()).filter(Boolean)) {
    const colon = line.indexOf(":");
    if (colon < 1 || /\s/.test(line.slice(0, colon))) return null;
    found[line.slice(0, colon)] = line.slice(colon + 1).trim();
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
