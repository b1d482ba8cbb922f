// JSON Schemas, as people read types. They come from strangers, so each walk has an end.

const DEPTH = 8;
const MEMBERS = 200;

/** Whether a walk may look at one more schema. `steps` counts them for all its branches: a type that holds itself
 * at many places has no other end. */
export const goesOn = (steps) => (steps.left -= 1) >= 0;

/** A schema, or the definition that it refers to; {} where there is none. */
export function resolve(node, whole) {
  for (let step = 0; step < DEPTH; step += 1) {
    if (node === null || typeof node !== "object" || Array.isArray(node)) return {};
    if (typeof node.$ref !== "string") return node;
    const name = node.$ref.replace("#/$defs/", "");
    const definitions = whole.$defs ?? {};
    node = Object.hasOwn(definitions, name) ? definitions[name] : {};
  }
  return {};
}

/** The variants of a schema: several where any of them will do, else itself. */
export function variants(node, whole) {
  const either = node.anyOf ?? node.oneOf;
  if (Array.isArray(either) && either.length) return either.slice(0, 20).map((each) => resolve(each, whole));
  if (Array.isArray(node.type)) return node.type.slice(0, 8).map((type) => ({ ...node, type }));
  return [node];
}

export const isNull = (node) => node.type === "null" || ("const" in node && node.const === null);
export const isRaw = (node) => node?.contentMediaType === "application/octet-stream";
export const isText = (node) => node.type === "string";

/** The values a schema allows, where it names them; else null. */
export function allowed(node) {
  if ("const" in node) return [node.const];
  return Array.isArray(node.enum) ? node.enum.slice(0, MEMBERS) : null;
}

/** [name, schema] of each member of an object, as many as are shown. */
export function members(node) {
  const named = node.properties;
  return named !== null && typeof named === "object" ? Object.entries(named).slice(0, MEMBERS) : [];
}

export const isRequired = (node, name) => Array.isArray(node.required) && node.required.includes(name);

/** A type in a few words. */
export function typeName(given, whole, depth = 0, steps = { left: 100 }) {
  if (!goesOn(steps) || depth > 4) return "…";
  const node = resolve(given, whole);
  if (isRaw(node)) return "bytes";
  const values = allowed(node);
  if (values) return values.slice(0, 12).map((value) => JSON.stringify(value)).join(" | ") + (values.length > 12 ? " | …" : "");
  const either = variants(node, whole);
  if (either.length > 1) return [...new Set(either.map((each) => typeName(each, whole, depth + 1, steps)))].join(" | ");
  if (node.type === "array") return arrayName(node, whole, depth, steps);
  if (node.type === "object" || node.properties) {
    if (node.properties) return String(node.title ?? "object");
    const values_ = node.additionalProperties;
    return values_ && typeof values_ === "object" ? `map of ${typeName(values_, whole, depth + 1, steps)}` : "object";
  }
  if (typeof node.type === "string") return node.format ? `${node.type} (${node.format})` : node.type;
  return "any";
}

function arrayName(node, whole, depth, steps) {
  if (Array.isArray(node.prefixItems)) {
    return `[${node.prefixItems.slice(0, 12).map((each) => typeName(each, whole, depth + 1, steps)).join(", ")}]`;
  }
  return `list of ${node.items ? typeName(node.items, whole, depth + 1, steps) : "any"}`;
}

const LIMITS = [
  ["minimum", "≥"], ["exclusiveMinimum", ">"], ["maximum", "≤"], ["exclusiveMaximum", "<"],
  ["multipleOf", "a multiple of"], ["minLength", "length ≥"], ["maxLength", "length ≤"],
  ["minItems", "items ≥"], ["maxItems", "items ≤"], ["pattern", "matches"],
];

/** What a value has to keep to, in words. */
export function limits(node) {
  return LIMITS.filter(([key]) => key in node).map(([key, word]) => `${word} ${node[key]}`).join(", ");
}
