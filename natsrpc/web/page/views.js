// What the page shows: all services, one of them, one endpoint, one event.

import { h, replace, short } from "./dom.js";
import { HEADS, cells, duration, sparkline } from "./live.js";
import { isRaw } from "./schema.js";
import { tryView } from "./trying.js";
import { typeView } from "./types.js";

const KINDS = { unary: "call", response_stream: "stream of answers", request_stream: "upload", both_stream: "stream both ways" };

const head = (...names) => h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name))));

const wide = (label, ...content) => h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": label }, h("table", {}, content));

/** All services. */
export function homeView({ services, live, place }) {
  const body = h("tbody", {});
  live.show(body, () => replace(body, services.map((service) => {
    const version = service.versions[0];
    const figures = service.versions.flatMap((each) => each.endpoints.map((endpoint) => live.of(service.name, each.version, endpoint.name))).filter(Boolean);
    const sum = figures.length ? figures.reduce((all, each) => ({ ...all, num_requests: all.num_requests + each.num_requests,
      num_errors: all.num_errors + each.num_errors, processing_time: all.processing_time + each.processing_time,
      inflight: all.inflight + each.inflight, rate: all.rate + each.rate })) : null;
    const instances = service.versions.reduce((count, each) => count + each.instance_count, 0);
    return h("tr", {}, h("th", { scope: "row" }, h("a", { href: place(service.name) }, short(service.name, 80))),
      h("td", {}, service.versions.map((each) => short(each.version, 20)).slice(0, 4).join(", ")), h("td", { class: "number" }, String(instances)), cells(sum),
      h("td", {}, short(version.description, 160)));
  })));
  if (!services.length) return [h("h1", {}, "Services"), h("p", {}, "None is there yet. As soon as one starts, it is shown here.")];
  return [h("h1", {}, "Services"), wide("all services", head("service", "versions", "instances", ...HEADS, "what it does"), body)];
}

/** One version of a service. */
export function serviceView({ service, version, live, place }) {
  const links = service.versions.length > 1
    ? h("p", {}, "Versions: ", service.versions.map((each) => [h("a", { href: place(service.name, each.version), "aria-current": each === version ? "page" : null }, short(each.version, 30)), " "]))
    : null;
  return [
    h("h1", {}, short(service.name, 100), " ", h("span", { class: "badge" }, short(version.version, 30))), links,
    version.description ? h("p", { class: "words" }, short(version.description, 5000)) : null,
    version.problem ? h("p", { class: "wrong", role: "alert" }, `Its contract is not known: ${short(version.problem)}`) : null,
    listView("Endpoints", "endpoints", version.endpoints, { service, version, live, place }),
    listView("Workers", "workers", version.workers, { service, version, live, place }),
    listView("Subscribers", "subscribers", version.subscribers, { service, version, live, place }),
    eventsView(version.publishes, { service, version, place }),
    instancesView(service, version, live),
    metadataView("Metadata", version.metadata),
  ];
}

function listView(title, kind, list, { service, version, live, place }) {
  if (!list.length) return null;
  const body = h("tbody", {});
  live.show(body, () => replace(body, list.slice(0, 1000).map((each) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: place(service.name, version.version, kind, each.name) }, short(each.name, 80))),
    h("td", {}, h("code", {}, short(each.template, 120))), cells(live.of(service.name, version.version, each.name)),
    h("td", {}, short(String(each.description ?? "").split("\n")[0], 160))))));
  return [h("h2", {}, title), wide(title, head("name", "subject", ...HEADS, "what it does"), body)];
}

function eventsView(publishes, { service, version, place }) {
  if (!publishes.length) return null;
  return [h("h2", {}, "Events it publishes"), h("ul", {}, publishes.map((each) =>
    h("li", {}, h("a", { href: place(service.name, version.version, "events", each.subject) }, short(each.subject, 120)))))];
}

function instancesView(service, version, live) {
  const body = h("tbody", {});
  live.show(body, () => {
    const answering = new Map(live.answering(service.name, version.version).map((each) => [each.id, each]));
    replace(body, version.instances.map((each) => {
      const one = answering.get(each.id);
      const count = (field) => (one ? String(one.endpoints.reduce((sum, endpoint) => sum + endpoint[field], 0)) : "–");
      const unwell = one?.endpoints.some((endpoint) => endpoint.health && endpoint.health !== "ok");
      return h("tr", {}, h("th", { scope: "row" }, h("code", {}, short(each.id, 60))),
        h("td", {}, one ? (unwell ? "unwell" : "answers") : "no word"), h("td", {}, one?.started ? short(one.started, 40) : "–"),
        ["num_requests", "num_errors", "inflight", "refused"].map((field) => h("td", { class: "number" }, count(field))),
        h("td", {}, Object.entries(each.metadata).filter(([name]) => !name.startsWith("natsrpc.")).slice(0, 8).map(([name, value]) => `${short(name, 40)}=${short(value, 60)} `)));
    }));
  });
  const more = version.instance_count - version.instances.length;
  return [h("h2", {}, "Instances"), wide("Instances", head("id", "state", "started", "requests", "errors", "running", "refused", "metadata"), body),
    more > 0 ? h("p", { class: "note" }, `and ${more} more`) : null];
}

function metadataView(title, metadata) {
  const pairs = Object.entries(metadata ?? {}).slice(0, 100);
  if (!pairs.length) return null;
  return h("details", {}, h("summary", {}, title), wide(title, h("tbody", {}, pairs.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, short(name)), h("td", {}, short(value, 500)))))));
}

/** One endpoint: what it is, what it takes and gives, and a form that calls it. */
export function endpointView(endpoint, context) {
  const { service, version, live, place, ownHeaders } = context;
  const http = endpoint.http;
  return [
    h("p", { class: "note" }, h("a", { href: place(service.name, version.version) }, short(`${service.name} ${version.version}`, 80))),
    h("h1", {}, short(endpoint.name, 100)),
    h("p", {}, h("span", { class: "badge" }, KINDS[endpoint.kind] ?? short(endpoint.kind, 30)), endpoint.idempotent ? h("span", { class: "badge" }, "idempotent") : null,
      endpoint.content_type ? h("span", { class: "badge" }, short(endpoint.content_type, 60)) : null),
    h("dl", {}, h("dt", {}, "Subject"), h("dd", {}, h("code", {}, short(endpoint.template, 600))),
      h("dt", {}, "HTTP"), h("dd", {}, http ? h("code", {}, short(`${http.methods.join(", ")} ${http.path}`, 600)) : "no path: it is called over NATS")),
    endpoint.description ? h("p", { class: "words" }, short(endpoint.description, 5000)) : null,
    figuresView(service, version, endpoint, live),
    bodyView("Request", endpoint.request), bodyView("Items it reads", endpoint.items),
    bodyView(endpoint.kind === "both_stream" || endpoint.kind === "response_stream" ? "Items it gives" : "Answer", endpoint.response),
    errorsView(endpoint.errors ?? []),
    http ? tryView(endpoint, ownHeaders) : null,
  ];
}

function figuresView(service, version, endpoint, live) {
  const box = h("p", { class: "figures" });
  live.show(box, () => {
    const figures = live.of(service.name, version.version, endpoint.name);
    if (!figures) return replace(box, "No instance told its counters yet.");
    const mean = figures.num_requests ? `, ${duration(figures.processing_time / figures.num_requests)} each` : "";
    return replace(box, sparkline(figures.rates),
      h("span", {}, `${figures.rate.toFixed(1)} a second · ${figures.num_requests} requests${mean} · ${figures.num_errors} errors · ${figures.inflight} running · ${figures.refused} refused`),
      figures.last_error ? h("span", { class: "bad" }, ` last error: ${short(figures.last_error)}`) : null);
  });
  return box;
}

function bodyView(title, schema) {
  if (!schema) return null;
  return [h("h2", {}, title), isRaw(schema) ? h("p", { class: "type" }, h("code", {}, "bytes")) : typeView(schema)];
}

function errorsView(errors) {
  if (!errors.length) return null;
  return [h("h2", {}, "Errors"), h("ul", {}, errors.slice(0, 50).map((each) => h("li", {},
    h("code", {}, `${short(each.code, 10)} ${short(each.name, 100)}`), each.description ? ` ${short(each.description, 300)}` : null,
    each.fields ? typeView(each.fields) : null)))];
}

/** An event, a subscriber or a worker: it is not called, so there is no form. */
export function eventView(one, kind, { service, version, live, place }) {
  const says = { events: "An event that the service publishes.", subscribers: "Reads events. Nobody can call it.", workers: "Does jobs that a stream keeps. Nobody can call it." }[kind];
  return [
    h("p", { class: "note" }, h("a", { href: place(service.name, version.version) }, short(`${service.name} ${version.version}`, 80))),
    h("h1", {}, short(one.name ?? one.subject, 120)), h("p", {}, says),
    h("dl", {}, h("dt", {}, "Subject"), h("dd", {}, h("code", {}, short(one.template ?? one.subject, 600))),
      one.queue_group ? [h("dt", {}, "Queue group"), h("dd", {}, h("code", {}, short(one.queue_group, 200)))] : null),
    one.description ? h("p", { class: "words" }, short(one.description, 5000)) : null,
    kind === "events" ? null : figuresView(service, version, one, live),
    bodyView("Value", one.request ?? one.payload ?? one.schema ?? null),
  ];
}
