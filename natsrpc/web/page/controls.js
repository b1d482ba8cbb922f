// A form for a value, made from its schema. Each control has:
//   element   what is shown
//   read()    the value as JSON text; undefined where nothing is to be sent
//   find(path) the control of a part, by its steps; itself where there is none

import { freshId, h, replace, short } from "./dom.js";
import { jsonError } from "./json.js";
import { allowed, goesOn, isNull, isRequired, isText, limits, members, resolve, typeName, variants } from "./schema.js";

const DEPTH = 6;
const ITEMS = 100;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/** The control of a value. `required` tells that it has to be sent. `steps` counts the controls that are made at once:
 * a type may need itself at many places. What is behind a button is made when that is pressed. */
export function control(label, given, whole, required, depth = 0, steps = { left: 500 }) {
  const node = { ...resolve(given, whole), ...given };
  delete node.$ref;
  const facts = { label, node, whole, required, depth, steps };
  const values = allowed(node);
  const either = variants(node, whole);
  if (!goesOn(steps) || depth > DEPTH) return jsonControl(facts);
  if (values) return choiceControl(facts, values);
  if (either.length > 1) return eitherControl(facts, either);
  if (node.properties) return objectControl(facts);
  if (node.type === "array" && node.items) return listControl(facts);
  if (node.type === "object" && node.additionalProperties && typeof node.additionalProperties === "object") return mapControl(facts);
  if (node.type === "boolean") return choiceControl(facts, [true, false]);
  if (node.type === "null") return constant(facts, "null");
  if (node.type === "integer" || node.type === "number") return numberControl(facts);
  if (isText(node)) return textControl(facts);
  return jsonControl(facts);
}

/** A label, what stands below it, and what is wrong with it. */
function row(facts, field, read) {
  const id = field.id || freshId();
  field.id = id;
  const { node, whole, required } = facts;
  const wrong = h("p", { class: "wrong", id: `${id}w`, role: "alert" });
  const hint = [node.description, limits(node)].filter(Boolean).map((each) => short(each)).join(" · ");
  field.setAttribute("aria-describedby", `${id}w ${id}h`);
  if (required) field.setAttribute("aria-required", "true");
  const element = h("div", { class: "row" },
    h("label", { for: id }, short(facts.label, 100), " ", h("code", { class: "kind" }, short(typeName(node, whole), 60)),
      required ? null : h("span", { class: "note" }, " optional")),
    field, h("p", { class: "note", id: `${id}h` }, hint), wrong);
  const tell = (text) => {
    replace(wrong, text);
    field.setAttribute("aria-invalid", text ? "true" : "false");
  };
  return { element, read, find: () => ({ tell, field }), tell, field };
}

function shownDefault(node) {
  return "default" in node && node.default !== null ? `default: ${short(JSON.stringify(node.default), 60)}` : undefined;
}

function textControl(facts) {
  const { node, required } = facts;
  const examples = { "date-time": "2030-01-31T12:00:00Z", date: "2030-01-31", time: "12:00:00Z", duration: "PT1M",
    uuid: "00000000-0000-4000-8000-000000000000", email: "a@example.org", uri: "https://example.org/" };
  const example = Object.hasOwn(examples, node.format ?? "") ? examples[node.format] : undefined;
  const coded = node.contentEncoding ? String(node.contentEncoding) : undefined;
  const field = h("textarea", { rows: 1, spellcheck: "false", placeholder: shownDefault(node) ?? example ?? coded });
  return row(facts, field, () => (field.value || required ? JSON.stringify(field.value) : undefined));
}

function numberControl(facts) {
  const field = h("input", { type: "text", autocomplete: "off", placeholder: shownDefault(facts.node),
    inputmode: facts.node.type === "integer" ? "numeric" : "decimal" });
  return row(facts, field, () => {
    const text = field.value.trim();
    if (!text) return undefined;
    return NUMBER.test(text) ? text : JSON.stringify(text); // what is no number the service refuses, and says why
  });
}

function choiceControl(facts, values) {
  const texts = values.map((value) => JSON.stringify(value));
  const field = h("select", {},
    facts.required && values.length ? null : h("option", { value: "" }, "not sent"),
    texts.map((text, place) => h("option", { value: String(place) }, short(typeof values[place] === "string" ? values[place] : text, 100))));
  return row(facts, field, () => (field.value === "" ? undefined : texts[Number(field.value)]));
}

function constant(facts, text) {
  const field = h("output", {}, text);
  return row(facts, field, () => (facts.required ? text : undefined));
}

function jsonControl(facts) {
  const field = h("textarea", { rows: 2, spellcheck: "false", placeholder: "JSON" });
  return row(facts, field, () => {
    const text = field.value.trim();
    if (!text) return undefined;
    return jsonError(text) ? JSON.stringify(field.value) : text;
  });
}

/** Fields that belong together. `parts` gives [name, control] of each that is there now. */
function group(facts, content, read, part) {
  const wrong = h("p", { class: "wrong", role: "alert" });
  const element = h("fieldset", {},
    h("legend", {}, short(facts.label, 100), " ", h("code", { class: "kind" }, short(typeName(facts.node, facts.whole), 60))),
    facts.node.description ? h("p", { class: "note" }, short(facts.node.description)) : null, content, wrong);
  const own = { tell: (text) => replace(wrong, text), field: element };
  return {
    element, read,
    find: (path) => {
      const inner = path.length ? part(path[0]) : undefined;
      return inner ? inner.find(path.slice(1)) : own;
    },
  };
}

function objectControl(facts) {
  const { node, whole, depth } = facts;
  const parts = new Map();
  const place = h("div", {});
  const fill = (steps) => {
    for (const [name, field] of members(node)) {
      const inner = control(name, field, whole, isRequired(node, name), depth + 1, steps);
      parts.set(name, inner);
      place.append(inner.element);
    }
  };
  const sent = () => {
    const pairs = [...parts].map(([name, inner]) => [name, inner.read()]).filter(([, text]) => text !== undefined);
    return `{${pairs.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}`;
  };
  if (facts.required || depth === 0) {
    fill(facts.steps);
    return group(facts, place, sent, (name) => parts.get(name));
  }
  const more = h("button", { type: "button" }, "Add");
  more.addEventListener("click", () => {
    if (parts.size) parts.clear(), replace(place); else fill();
    more.textContent = parts.size ? "Leave out" : "Add";
    more.dispatchEvent(new Event("input", { bubbles: true }));
  });
  return group(facts, [more, place], () => (parts.size ? sent() : undefined), (name) => parts.get(name));
}

function listControl(facts) {
  const { node, whole, depth, required } = facts;
  const items = [];
  const place = h("div", {});
  const more = h("button", { type: "button" }, "Add an item");
  const changed = () => {
    more.hidden = items.length >= ITEMS;
    more.dispatchEvent(new Event("input", { bubbles: true }));
  };
  more.addEventListener("click", () => {
    const inner = control("item", node.items, whole, true, depth + 1);
    const drop = h("button", { type: "button" }, "Remove");
    const box = h("div", { class: "item" }, inner.element, drop);
    drop.addEventListener("click", () => {
      items.splice(items.indexOf(inner), 1);
      box.remove();
      changed();
      more.focus();
    });
    items.push(inner);
    place.append(box);
    changed();
    box.querySelector("input, textarea, select, button")?.focus();
  });
  const read = () => (items.length || required ? `[${items.map((each) => each.read() ?? "null").join(",")}]` : undefined);
  return group(facts, [place, more], read, (step) => items[Number(step)]);
}

function mapControl(facts) {
  const { node, whole, depth, required } = facts;
  const pairs = [];
  const place = h("div", {});
  const more = h("button", { type: "button" }, "Add a key");
  const changed = () => {
    more.hidden = pairs.length >= ITEMS;
    more.dispatchEvent(new Event("input", { bubbles: true }));
  };
  more.addEventListener("click", () => {
    const key = h("input", { type: "text", "aria-label": "key", placeholder: "key", autocomplete: "off" });
    const inner = control("value", node.additionalProperties, whole, true, depth + 1);
    const drop = h("button", { type: "button" }, "Remove");
    const box = h("div", { class: "item" }, key, inner.element, drop);
    const pair = { key, inner };
    drop.addEventListener("click", () => {
      pairs.splice(pairs.indexOf(pair), 1);
      box.remove();
      changed();
      more.focus();
    });
    pairs.push(pair);
    place.append(box);
    changed();
    key.focus();
  });
  const read = () => (pairs.length || required
    ? `{${pairs.map(({ key, inner }) => `${JSON.stringify(key.value)}:${inner.read() ?? "null"}`).join(",")}}` : undefined);
  return group(facts, [place, more], read, (step) => pairs.find(({ key }) => key.value === step)?.inner);
}

/** One of several types: which is chosen first. */
function eitherControl(facts, either) {
  const { whole, depth, required, label, node } = facts;
  const rest = either.filter((each) => !isNull(each));
  if (rest.length === 1 && !required) return control(label, { ...rest[0], description: node.description }, whole, false, depth, facts.steps);
  const id = freshId();
  const choice = h("select", { id }, required ? null : h("option", { value: "" }, "not sent"),
    either.map((each, place) => h("option", { value: String(place) }, short(typeName(each, whole), 80))));
  const place = h("div", {});
  let inner = null;
  const show = (steps) => {
    inner = choice.value === "" ? null : control(label, tagged(either[Number(choice.value)], node, whole), whole, true, depth + 1, steps);
    replace(place, inner?.element);
  };
  choice.addEventListener("change", () => show());
  show(facts.steps);
  return group(facts, [h("label", { for: id }, "one of "), choice, place], () => inner?.read(), null_(() => inner));
}

/** A variant whose tag is sent though it has a default: without it nobody can tell which one is meant. */
function tagged(variant, node, whole) {
  const tag = node.discriminator?.propertyName;
  const tags = members(variant).map(([name, field]) => [name, resolve(field, whole)]).filter(([name, field]) => name === tag || "const" in field);
  return { ...variant, required: [...(Array.isArray(variant.required) ? variant.required : []), ...tags.map(([name]) => name)] };
}

/** The part of a choice is the part of what was chosen. */
function null_(chosen) {
  return (step) => {
    const inner = chosen();
    return inner && { find: (path) => inner.find([step, ...path]) };
  };
}
