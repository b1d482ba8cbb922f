// JSON as text, so that numbers keep all their digits: JavaScript's own have 15.

const TOKEN = /"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[[\]{},:]/gy;
const SPACE = /[ \t\r\n]*/gy;

/** The tokens of a JSON text; null if it is none. */
export function tokens(text) {
  const found = [];
  let place = 0;
  while (place < text.length) {
    SPACE.lastIndex = place;
    SPACE.exec(text);
    place = SPACE.lastIndex;
    if (place >= text.length) break;
    TOKEN.lastIndex = place;
    const match = TOKEN.exec(text);
    if (match === null) return null;
    found.push(match[0]);
    place = TOKEN.lastIndex;
  }
  return found;
}

/** What an object or a list holds, as [name, JSON text] of each; the items of a list have no name. */
export function parts(text) {
  const found = [];
  let depth = 0;
  let part = null;
  for (const token of tokens(text).slice(1, -1)) {
    if (token === "," && depth === 0) part = null;
    else if (token === ":" && depth === 0) part[0] = JSON.parse(part[1]), part[1] = "";
    else {
      if (part === null) found.push(part = [null, ""]);
      part[1] += token;
      if ("{[".includes(token)) depth += 1;
      else if ("}]".includes(token)) depth -= 1;
    }
  }
  return found;
}

/** Why a text is no JSON; "" if it is. */
export function jsonError(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return error.message;
  }
}

/** A JSON text with a line for each member; as it is, if it is no JSON. */
export function pretty(text) {
  const found = jsonError(text) ? null : tokens(text);
  if (found === null) return text;
  const out = [];
  let depth = 0;
  const line = () => out.push(`\n${"  ".repeat(depth)}`);
  found.forEach((token, place) => {
    const next = found[place + 1];
    if (token === "{" || token === "[") {
      out.push(token);
      if (next === "}" || next === "]") return;
      depth += 1;
      line();
    } else if (token === "}" || token === "]") {
      const before = found[place - 1];
      if (before !== "{" && before !== "[") {
        depth -= 1;
        line();
      }
      out.push(token);
    } else if (token === ",") {
      out.push(token);
      line();
    } else {
      out.push(token === ":" ? ": " : token);
    }
  });
  return out.join("");
}

/** A JSON text as a value in Python's words; null if it is no JSON. */
export function asPython(text) {
  const found = jsonError(text) ? null : tokens(text);
  if (found === null) return null;
  const words = { true: "True", false: "False", null: "None", ",": ", ", ":": ": " };
  return found.map((token) => (token[0] === '"' ? quoted(JSON.parse(token)) : Object.hasOwn(words, token) ? words[token] : token)).join("");
}

/** A text as a literal of JSON, which is one of Python, too. */
export function quoted(text) {
  return JSON.stringify(String(text)).replace(/[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
