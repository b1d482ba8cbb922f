// Elements, made of texts that strangers wrote: nothing here reads HTML, and no attribute runs anything.

const PLAIN = new Set([
  "id", "class", "type", "for", "name", "rows", "value", "placeholder", "href", "role", "title", "lang",
  "autocomplete", "spellcheck", "inputmode", "tabindex", "scope", "points", "viewBox", "width", "height",
  "preserveAspectRatio", "colspan", "open", "selected", "checked", "disabled", "hidden", "multiple",
]);

/** Make an element. `on…` attributes take functions; a text child stays a text. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Make an element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function" && name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (name === "href" && !/^(#|[a-z0-9_./-]+$)/i.test(value)) {
      throw new Error(`no link of this page: ${value}`);
    } else if (PLAIN.has(name) || name.startsWith("aria-") || name.startsWith("data-")) {
      element.setAttribute(name, value === true ? "" : String(value));
    } else {
      throw new Error(`no attribute of this page: ${name}`);
    }
  }
  element.append(...children.flat(8).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put other children in an element's place. */
export function replace(element, ...children) {
  element.replaceChildren(...children.flat(8).filter(Boolean));
  return element;
}

let made = 0;

/** An id that no other element has. */
export function freshId() {
  made += 1;
  return `n${made}`;
}

/** A text of bounded length. */
export function short(text, length = 200) {
  const all = String(text);
  return all.length > length ? `${all.slice(0, length)}…` : all;
}

/** A button that copies what a function returns. */
export function copyButton(text) {
  const button = h("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it and copy";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}
