// Finds a service and calls it, as any JavaScript program would. Prints one JSON object.
// Arguments: server URL, name of the service, JSON list of [subject, body], another of streams.
import { wsconnect } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { ServiceError, Svcm } from "@nats-io/services";

const [servers, name, calls, streamed] = process.argv.slice(2);
const connection = await (servers.startsWith("ws") ? wsconnect : connect)({ servers });
const client = new Svcm(connection).client();

async function all(iterator) {
  const found = [];
  for await (const one of await iterator) found.push(one);
  return found;
}

const answers = [];
for (const [subject, body] of JSON.parse(calls)) {
  const message = await connection.request(subject, JSON.stringify(body), { timeout: 5000 });
  const error = ServiceError.toServiceError(message);
  answers.push(error
    ? { code: error.code, error: error.message, body: message.string() }
    : { value: message.json() });
}

const streams = [];
for (const [subject, body] of JSON.parse(streamed)) {
  const messages = await connection.requestMany(
    subject, JSON.stringify(body), { strategy: "sentinel", maxWait: 5000 });
  const items = [];
  for await (const message of messages) {
    if (message.data.length) items.push(message.json());
  }
  streams.push(items);
}
console.log(JSON.stringify({
  streams,
  ping: await all(client.ping(name)),
  info: await all(client.info(name)),
  answers,
  stats: await all(client.stats(name)),
}));
await connection.close();
