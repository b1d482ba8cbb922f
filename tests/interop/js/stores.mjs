// Reads the key-value bucket and object store "py", fills those named "js", and prints what was read.
// Argument: server URL.
import { createHash } from "node:crypto";
import { connect, headers } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";

const [servers] = process.argv.slice(2);
const connection = await connect({ servers });
const js = jetstream(connection);

async function readBucket() {
  const kv = await new Kvm(js).open("py");
  const keys = [];
  for await (const key of await kv.keys()) keys.push(key);
  const history = [];
  for await (const e of await kv.history({ key: "a.b" })) {
    history.push([e.string(), e.operation, e.revision]);
  }
  const removed = await kv.get("gone");
  let conflict = 0;
  try {
    await kv.create("a.b", "x");
  } catch (error) {
    conflict = error.code ?? 1;
  }
  const next = await kv.update("counted", "2", (await kv.get("counted")).revision);
  return { keys: keys.sort(), history, removed: removed?.operation ?? null, conflict, next };
}

async function fillBucket() {
  const kv = await new Kvm(js).create("js", { history: 5 });
  await kv.put("a.b", "1");
  await kv.put("a.b", "2");
  await kv.put("gone", "x");
  await kv.delete("gone");
  await kv.put("purged", "x");
  await kv.purge("purged");
}

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function readStore() {
  const store = await new Objm(js).open("py");
  const large = await store.getBlob("large");
  const empty = await store.getBlob("empty");
  const info = await store.info("large");
  const linked = await store.getBlob("link");
  const names = (await store.list()).map((each) => each.name).sort();
  const deleted = await store.info("gone");
  return {
    size: large.length,
    digest: digest(large),
    empty: empty.length,
    description: info.description,
    metadata: info.metadata,
    header: info.headers?.values("A") ?? null,
    chunk: info.options?.max_chunk_size,
    linked: digest(linked),
    names,
    deleted: deleted?.deleted ?? null,
  };
}

async function fillStore() {
  const store = await new Objm(js).create("js");
  const bytes = new Uint8Array(300_001).map((_, index) => index % 251);
  const h = headers();
  h.append("A", "1");
  h.append("A", "2");
  const meta = { name: "large", description: "from js", metadata: { k: "v" }, headers: h };
  await store.putBlob({ ...meta, options: { max_chunk_size: 64 * 1024 } }, bytes);
  const info = await store.info("large");
  await store.putBlob({ name: "gone" }, new Uint8Array(10));
  await store.delete("gone");
  await store.link("link", info);
  return digest(bytes);
}

const read = { bucket: await readBucket(), store: await readStore() };
await fillBucket();
const written = await fillStore();
console.log(JSON.stringify({ ...read, written }));
await connection.close();
