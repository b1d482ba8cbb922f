// The counters of instances, asked for again and again while they are shown and the page is seen.

import { h, svg } from "./dom.js";

const EVERY = 2000;
const POINTS = 60;

/** Counters by service, version and endpoint, summed over the instances that answer. */
export class Live {
  constructor(ask) {
    this.ask = ask;
    this.instances = [];
    this.rates = new Map();
    this.listeners = new Set();
    this.last = new Map();
    this.at = 0;
    setInterval(() => this.look(), EVERY);
    document.addEventListener("visibilitychange", () => this.look());
  }

  /** Call a function after each look, until the element it fills is gone. */
  show(element, fill) {
    this.listeners.add({ element, fill });
    fill();
    this.look();
  }

  async look() {
    for (const each of this.listeners) if (each.seen && !each.element.isConnected) this.listeners.delete(each);
    if (document.hidden || !this.listeners.size || this.looking) return;
    this.looking = true;
    try {
      const found = await this.ask();
      if (found) this.take(found.instances);
    } finally {
      this.looking = false;
    }
  }

  take(instances) {
    const now = performance.now();
    const seconds = (now - this.at) / 1000;
    const last = new Map();
    const gained = new Map();
    for (const instance of instances) {
      for (const endpoint of instance.endpoints) {
        const one = key(instance.id, endpoint.name);
        last.set(one, endpoint.num_requests);
        if (!this.last.has(one)) continue;
        const more = Math.max(0, endpoint.num_requests - this.last.get(one));
        const all = key(instance.name, instance.version, endpoint.name);
        gained.set(all, (gained.get(all) ?? 0) + more);
      }
    }
    if (this.at) {
      for (const [name, more] of gained) this.rates.set(name, [...(this.rates.get(name) ?? []), more / seconds].slice(-POINTS));
      for (const name of this.rates.keys()) if (!gained.has(name)) this.rates.delete(name);
    }
    this.last = last;
    this.at = now;
    this.instances = instances;
    for (const each of this.listeners) {
      each.seen ||= each.element.isConnected;
      each.fill();
    }
  }

  /** The counters of one endpoint of a version; null where nobody told any. */
  of(name, version, endpoint) {
    const sum = { num_requests: 0, num_errors: 0, processing_time: 0, inflight: 0, refused: 0, dropped: 0, last_error: "" };
    let found = 0;
    for (const instance of this.instances) {
      if (instance.name !== name || instance.version !== version) continue;
      for (const each of instance.endpoints) {
        if (each.name !== endpoint) continue;
        found += 1;
        for (const field of Object.keys(sum)) sum[field] = field === "last_error" ? sum[field] || each[field] : sum[field] + each[field];
      }
    }
    if (!found) return null;
    const rates = this.rates.get(key(name, version, endpoint)) ?? [];
    return { ...sum, rates, rate: rates.at(-1) ?? 0 };
  }

  /** The instances of one version that answer. */
  answering(name, version) {
    return this.instances.filter((each) => each.name === name && each.version === version);
  }
}

const key = (...parts) => parts.join("\u0000");

/** Nanoseconds for people. */
export function duration(ns) {
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)} µs`;
  return ns < 1e9 ? `${(ns / 1e6).toPrecision(3)} ms` : `${(ns / 1e9).toPrecision(3)} s`;
}

/** The cells of a table for some counters. */
export function cells(figures) {
  if (!figures) return ["–", "–", "–", "–", "–"].map((text) => h("td", { class: "number" }, text));
  const mean = figures.num_requests ? duration(figures.processing_time / figures.num_requests) : "–";
  const texts = [figures.rate.toFixed(1), figures.num_requests, figures.num_errors, mean, figures.inflight];
  return texts.map((text, place) => h("td", { class: place === 2 && figures.num_errors ? "number bad" : "number" }, String(text)));
}

/** The heads of those cells. */
export const HEADS = ["per s", "requests", "errors", "mean", "running"];

/** A line of the last rates. */
export function sparkline(rates) {
  if (rates.length < 2) return null;
  const most = Math.max(...rates, 1);
  const points = rates.map((rate, place) => `${(place * 120) / (POINTS - 1)},${(23 - (rate / most) * 22).toFixed(1)}`).join(" ");
  return svg("svg", { class: "spark", viewBox: "0 0 120 24", width: 120, height: 24, role: "img", "aria-label": `up to ${most.toFixed(1)} requests a second lately` },
    svg("polyline", { points }));
}
