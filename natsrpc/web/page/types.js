// A type as a list that can be read: its fields, their types, what they mean.

import { h, short } from "./dom.js";
import { goesOn, isRequired, limits, members, resolve, typeName, variants } from "./schema.js";

const VARIANTS = 12;
const SHOWN = 300;

/** The type of a body, with what is in it. */
export function typeView(schema) {
  const node = resolve(schema, schema);
  return h("div", { class: "type" },
    h("code", {}, short(typeName(schema, schema))),
    limits(node) ? h("span", { class: "limits" }, ` ${short(limits(node))}`) : null,
    fieldsOf(objectsIn(node, schema), schema, 0, { left: SHOWN }));
}

/** The fields of each of some objects; those within them as well, in the first list of all. `room` is for how many. */
function fieldsOf(objects, whole, depth, room) {
  return objects.map((each) => h("ul", {},
    objects.length > 1 ? h("li", { class: "variant" }, h("code", {}, short(typeName(each, whole)))) : null,
    members(each).map(([name, field]) => fieldView(name, field, each, whole, depth, room))));
}

function fieldView(name, field, parent, whole, depth, room) {
  const node = resolve(field, whole);
  const facts = { ...node, ...field };
  const needed = isRequired(parent, name);
  const inner = objectsIn(node, whole);
  const fits = goesOn(room) && depth < 1;
  const head = [
    h("code", { class: "field" }, short(name, 100)), needed ? null : h("span", { class: "note" }, " optional"),
    " ", h("code", { class: "kind" }, short(typeName(field, whole))),
    "default" in facts ? h("span", { class: "limits" }, ` = ${short(JSON.stringify(facts.default), 80)}`) : null,
    limits(facts) ? h("span", { class: "limits" }, ` ${short(limits(facts), 120)}`) : null,
    facts.description ? h("span", { class: "words" }, ` ${short(facts.description, 500)}`) : null,
  ];
  if (!inner.length) return h("li", {}, head);
  return h("li", {}, detailsOf(head, fits, () => fieldsOf(inner, whole, depth + 1, room)));
}

/** Details that are made when they are first opened: made at once, those of a type that holds itself would never end. */
function detailsOf(head, open, content) {
  const details = h("details", { open }, h("summary", {}, head));
  const fill = () => details.append(...content());
  if (open) fill();
  else details.addEventListener("toggle", fill, { once: true });
  return details;
}

/** The objects that a value of this type is, or is a list or a map of. */
function objectsIn(node, whole, depth = 0, steps = { left: 100 }) {
  if (!goesOn(steps) || depth > 5) return [];
  if (node.properties) return [node];
  const either = variants(node, whole);
  if (either.length > 1) return [...new Set(either.flatMap((each) => objectsIn(each, whole, depth + 1, steps)))].slice(0, VARIANTS);
  for (const inner of [node.items, node.additionalProperties]) {
    if (inner && typeof inner === "object") return objectsIn(resolve(inner, whole), whole, depth + 1, steps);
  }
  return [];
}
