// Calls the service of the test by its stub, once in each way. Prints one JSON object.
// Arguments: server URL.
import { connect } from "@nats-io/transport-node";
import { Depot, Missing, RpcError, type Part } from "./depot.js";

declare const process: { argv: string[] };

const connection = await connect({ servers: process.argv[2] ?? "", inboxPrefix: "_INBOX_ts" });
const depot = new Depot(connection);

async function refused(call: Promise<unknown>): Promise<unknown> {
  try {
    return { value: await call };
  } catch (error) {
    if (error instanceof Missing) return { missing: error.details.sku, near: error.details.near.length };
    if (error instanceof RpcError) return { code: error.code, name: error.name, details: error.details };
    return error instanceof Error ? error.name : String(error);
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function* numbers(count: number): AsyncGenerator<number> {
  for (let n = 1; n <= count; n++) yield n;
}

const one: Part = { sku: "a", count: 2 };
const typed: number = (await depot.put(one)).count;
const heard = all(depot.onDepotEventsMoved()); // until the connection is closed
const large = "x".repeat(2_500_000);
const counted = await all(depot.count(5000));
let left = 0;
for await (const item of depot.forever()) {
  left = item;
  if (item === 700) break;
}
const broken: unknown[] = [];
const end = await refused((async () => {
  for await (const item of depot.broken(3)) broken.push(item);
})());
const sizes = (await all(depot.large([3, 1_000_000, 2_000_000, 0]))).map((item) => item.length);
const echoed = await all(depot.double(numbers(2000)));

depot.publishDepotEventsMoved({ sku: "moved" }, { where: "here" });
await connection.flush();

const odd: unknown[] = [];
for (const which of await depot.scripts()) {
  const items: unknown[] = [];
  const last = await refused((async () => {
    for await (const item of depot.odd(which)) items.push(item);
  })());
  odd.push([which, items, last]);
}

console.log(JSON.stringify({
  typed,
  odd,
  shelf: await depot.shelf({ shelf: "b7" }),
  badToken: await refused(depot.shelf({ shelf: "b.7" })),
  raw: [...(await depot.raw(new Uint8Array([1, 2, 255])))],
  nothing: await depot.nothing() ?? "nothing",
  missing: await refused(depot.take({ sku: "z" })),
  notFound: await refused(depot.take({ sku: "y" })),
  invalid: await refused(depot.put({ sku: "a", count: "many" } as unknown as Part)),
  late: await refused(depot.late({ timeout: 150 })),
  headers: await depot.who({ headers: { Who: "me" } }),
  counted: [counted.length, counted[0], counted[4999]],
  left,
  broken,
  end,
  sizes,
  sum: await depot.sum(numbers(3000)),
  list: await depot.sum([1, 2, 3]),
  joined: await depot.join(["é", large, ""]),
  early: await refused(depot.first(numbers(1_000_000))),
  refused: await refused(depot.refuse(numbers(1_000_000))),
  echoed: [echoed.length, echoed[1999]],
  length: await depot.length(large),
  repeated: (await depot.repeat({ text: "ab", times: 1_500_000 })).length,
  tooLarge: await refused(depot.repeat({ text: "x", times: 9_000_000 })),
  nobody: await refused(all(depot.elsewhere())),
  nobodyUnary: await refused(depot.nowhere()),
  idle: await refused(all(depot.quiet({ idleTimeout: 1200 }))),
}));
await connection.drain();
await heard;
