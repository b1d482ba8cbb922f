// A type as a list that can be read: its fields, their types, what they mean.

import { h, short } from "./dom.js";
import { isRequired, limits, members, resolve, typeName, variants } from "./schema.js";

const DEPTH = 5;

/** The type of a body, with what is in it. */
export function typeView(schema) {
  const node = resolve(schema, schema);
  const inner = fieldsOf(node, schema, 0);
  return h("div", { class: "type" },
    h("code", {}, short(typeName(schema, schema))),
    limits(node) ? h("span", { class: "limits" }, ` ${short(limits(node))}`) : null,
    inner);
}

function fieldsOf(node, whole, depth) {
  const objects = objectsIn(node, whole, depth);
  if (!objects.length || depth >= DEPTH) return null;
  return objects.map((each) => h("ul", {},
    objects.length > 1 ? h("li", { class: "variant" }, h("code", {}, short(typeName(each, whole)))) : null,
    members(each).map(([name, field]) => fieldView(name, field, each, whole, depth))));
}

function fieldView(name, field, parent, whole, depth) {
  const node = resolve(field, whole);
  const facts = { ...node, ...field };
  const needed = isRequired(parent, name);
  const inner = fieldsOf(node, whole, depth + 1);
  const head = [
    h("code", { class: "field" }, short(name, 100)), needed ? null : h("span", { class: "note" }, " optional"),
    " ", h("code", { class: "kind" }, short(typeName(field, whole))),
    "default" in facts ? h("span", { class: "limits" }, ` = ${short(JSON.stringify(facts.default), 80)}`) : null,
    limits(facts) ? h("span", { class: "limits" }, ` ${short(limits(facts), 120)}`) : null,
    facts.description ? h("span", { class: "words" }, ` ${short(facts.description, 500)}`) : null,
  ];
  if (!inner) return h("li", {}, head);
  return h("li", {}, h("details", { open: depth < 1 }, h("summary", {}, head), inner));
}

/** The objects that a value of this type is, or is a list or a map of. */
function objectsIn(node, whole, depth) {
  if (depth > DEPTH) return [];
  if (node.properties) return [node];
  const either = variants(node, whole);
  if (either.length > 1) return either.flatMap((each) => objectsIn(each, whole, depth + 1)).slice(0, 12);
  for (const inner of [node.items, node.additionalProperties]) {
    if (inner && typeof inner === "object") return objectsIn(resolve(inner, whole), whole, depth + 1);
  }
  return [];
}
