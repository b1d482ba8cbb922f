// Lines to copy: the same call in Python, with the nats command, and with curl.

import { asPython, quoted } from "./json.js";
import { isRaw } from "./schema.js";

/** A text as one word of a shell. */
export function word(text) {
  return `'${String(text).replaceAll("'", "'\\''")}'`;
}

/** {Python, nats, curl} of a call: `subject` is filled, `body` is JSON text or "", `items` are lines or null. */
export function linesOf({ endpoint, subject, body, items, url, headers, timeout }) {
  return {
    Python: python(endpoint, subject, body, items, timeout),
    nats: nats(endpoint, subject, body, items, timeout),
    curl: curl(endpoint, body, items, url, headers, timeout),
  };
}

function python(endpoint, subject, body, items, timeout) {
  const raw = isRaw(endpoint.request) || isRaw(endpoint.items);
  const value = isRaw(endpoint.request) ? 'b"…"' : asPython(body);
  const more = [endpoint.content_type === "application/msgpack" ? 'codec="msgpack"' : "", timeout ? `timeout=${timeout}` : ""];
  const streams = endpoint.kind === "response_stream" || endpoint.kind === "both_stream";
  const sends = endpoint.kind === "request_stream" || endpoint.kind === "both_stream";
  const inputs = [quoted(subject), sends && !streams ? "items()" : "", value || "", sends && streams ? "items=items()" : "",
    isRaw(endpoint.response) ? "returns=bytes" : "", ...more].filter(Boolean).join(", ");
  const out = ["import asyncio", "", "import natsrpc", "", ""];
  if (sends) {
    out.push("async def items():");
    const each = raw ? ['b"…"'] : (items ?? []).map(asPython).filter(Boolean);
    for (const item of each.length ? each : ["..."]) out.push(`    yield ${item}`);
    out.push("", "");
  }
  out.push("async def main() -> None:", '    async with natsrpc.connect("nats://127.0.0.1:4222") as client:');
  if (streams) out.push(`        async for item in client.stream(${inputs}):`, "            print(item)");
  else out.push(`        print(await client.${sends ? "upload" : "call"}(${inputs}))`);
  out.push("", "", "asyncio.run(main())");
  return out.join("\n");
}

function nats(endpoint, subject, body, items, timeout) {
  if (endpoint.items) return "# a stream of requests is more than one message: use Python, or curl";
  const streams = endpoint.kind === "response_stream";
  const packed = endpoint.content_type === "application/msgpack" ? " -H Content-Type:application/json" : "";
  const payload = isRaw(endpoint.request) ? '"$(cat FILE)"' : word(body);
  return `nats request${streams ? " --replies=0 --wait-for-empty" : ""}${packed}${timeout ? ` --timeout ${timeout}s` : ""} ${word(subject)} ${payload}`;
}

function curl(endpoint, body, items, url, headers, timeout) {
  const streams = endpoint.kind === "response_stream" || endpoint.kind === "both_stream";
  const out = [`curl ${streams ? "-N " : ""}-X POST ${word(url)}`];
  for (const [name, value] of Object.entries(headers)) out.push(`-H ${word(`${name}: ${/^authorization$/i.test(name) ? "…" : value}`)}`);
  if (timeout) out.push(`-H ${word(`Request-Timeout: ${timeout}`)}`);
  const raw = isRaw(endpoint.request) || isRaw(endpoint.items);
  if (raw) out.push("-H 'Content-Type: application/octet-stream'", "--data-binary @FILE");
  else if (endpoint.items) out.push("-H 'Content-Type: application/x-ndjson'", `--data-binary ${word((items ?? []).join("\n"))}`);
  else if (body) out.push("-H 'Content-Type: application/json'", `--data ${word(body)}`);
  return out.join(" \\\n  ");
}
