// The page of a gateway: the services that are there, what they do, and a form to try each endpoint.

import { headersOf, NO_HEADERS } from "./calls.js";
import { h, replace, short } from "./dom.js";
import { Live } from "./live.js";
import { endpointView, eventView, homeView, serviceView } from "./views.js";

const EVERY = 5000;

const main = document.querySelector("#main");
const tree = document.querySelector("#tree");
const filter = document.querySelector("#filter");
const state = document.querySelector("#state");
const ownHeaders = () => headersOf(document.querySelector("#headers").value);

let services = [];
let tag = "";
let shown = null;

/** Ask the gateway; what is wrong is said at the top of the page. */
async function ask(path, headers = {}) {
  const own = ownHeaders();
  if (own === null) {
    state.textContent = NO_HEADERS;
    return null;
  }
  try {
    const response = await fetch(path, { headers: { ...own, ...headers }, cache: "no-store" });
    if (response.ok || response.status === 304) return response;
    state.textContent = response.status === 401 || response.status === 403
      ? `${response.status}: the gateway wants to know who you are. Write the header it wants under 'Headers'.`
      : `The gateway answered ${response.status}.`;
  } catch {
    state.textContent = "The gateway does not answer.";
  }
  return null;
}

const live = new Live(async () => (await ask("stats.json"))?.json());

async function look() {
  if (document.hidden) return;
  const response = await ask("services.json", tag ? { "If-None-Match": tag } : {});
  if (!response) return;
  if (response.status !== 304) {
    const found = await response.json();
    tag = response.headers.get("etag") ?? "";
    services = found.services;
    told(found);
    fillTree();
    if (shown === null || !found.services.length || shown !== asked()) route();
    else if (!document.querySelector("main form")) route(); // a form that is being filled in stays
    return;
  }
  if (state.dataset.said !== state.textContent) state.textContent = state.dataset.said ?? "";
}

function told({ is_complete, problem }) {
  const said = [services.length ? "" : "No service is there.", is_complete ? "" : "There are more than are shown.", problem].filter(Boolean).join(" ");
  state.dataset.said = state.textContent = short(said);
}

/** A name as an address has it, which holds no half of a letter. */
const spelled = (name) => String(name).toWellFormed();

/** A place of this page: what is at it, as `#/service/version/kind/name`. */
function place(...steps) {
  return `#/${steps.map((step) => encodeURIComponent(spelled(step))).join("/").replace(/[!'()*~]/g, (mark) => `%${mark.charCodeAt(0).toString(16)}`)}`;
}

/** Whether an address names a place. An anchor ("#main") names a part of the place that is shown. */
const isPlace = (hash) => hash === "" || hash.startsWith("#/");

/** The place that is asked for. */
const asked = () => (isPlace(location.hash) ? location.hash : shown ?? "");

function found() {
  let steps;
  try {
    steps = asked().slice(2).split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return {};
  }
  const [name, number, kind, item] = steps;
  const service = services.find((each) => spelled(each.name) === name);
  const version = service?.versions.find((each) => spelled(each.version) === number) ?? service?.versions[0];
  return { wanted: name !== undefined, service, version, kind, item };
}

function route() {
  shown = asked();
  const { wanted, service, version, kind, item } = found();
  const lists = { endpoints: version?.endpoints, subscribers: version?.subscribers, workers: version?.workers, events: version?.publishes };
  const list = Object.hasOwn(lists, kind ?? "") ? lists[kind] : undefined;
  const one = list?.find((each) => spelled(each.name ?? each.subject) === item);
  const context = { service, version, services, live, ownHeaders, place };
  let view;
  if (!wanted) view = homeView(context);
  else if (!service) view = [h("h1", {}, "Not here"), h("p", {}, "No service of this name is there now.")];
  else if (one && kind === "endpoints") view = endpointView(one, context);
  else if (one) view = eventView(one, kind, context);
  else view = serviceView(context);
  replace(main, view);
  const title = main.querySelector("h1")?.textContent ?? "Services";
  document.title = short(title, 80);
  for (const link of tree.querySelectorAll("a")) {
    if (link.getAttribute("href") === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function fillTree() {
  const wanted = filter.value.trim().toLowerCase();
  const fits = (...texts) => !wanted || texts.some((text) => String(text ?? "").toLowerCase().includes(wanted));
  const branches = services.map((service) => {
    const version = service.versions[0];
    const whole = fits(service.name);
    const links = [["endpoints", version.endpoints], ["subscribers", version.subscribers], ["workers", version.workers], ["events", version.publishes]]
      .flatMap(([kind, list]) => list.filter((each) => whole || fits(each.name, each.subject, each.description)).slice(0, 500).map((each) => {
        const name = each.name ?? each.subject;
        return h("li", {}, h("a", { href: place(service.name, version.version, kind, name) }, short(name, 60)),
          kind === "endpoints" ? null : h("span", { class: "badge" }, { subscribers: "sub", workers: "work", events: "event" }[kind]));
      }));
    if (!whole && !links.length) return null;
    return h("section", {}, h("h2", {}, h("a", { href: place(service.name) }, short(service.name, 60))), h("ul", {}, links));
  });
  replace(tree, branches.some(Boolean) ? branches : h("p", { class: "note" }, wanted ? "Nothing fits." : "No service yet."));
}

filter.addEventListener("input", fillTree);
document.querySelector("#headers").addEventListener("change", () => { tag = ""; look(); });
addEventListener("hashchange", () => {
  if (isPlace(location.hash)) route(), scrollTo(0, 0);
  main.focus();
});
document.addEventListener("visibilitychange", look);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    filter.focus();
  }
});
setInterval(look, EVERY);
look();
