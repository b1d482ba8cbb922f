// A JavaScript service. Prints "ready" when it can be found, and ends when its stdin does.
// Arguments: server URL, prefix of its subjects.
import { connect } from "@nats-io/transport-node";
import { Svcm } from "@nats-io/services";

const [servers, prefix] = process.argv.slice(2);
const connection = await connect({ servers });
const service = await new Svcm(connection).add({
  name: `js-${prefix}`,
  version: "1.2.3",
  description: "written in JavaScript",
});
const group = service.addGroup(prefix);
group.addEndpoint("double", (error, message) => {
  if (error) return;
  const { value } = message.json();
  if (typeof value !== "number") {
    message.respondError(422, "value is no number", JSON.stringify({ field: "value" }));
    return;
  }
  message.respond(JSON.stringify(value * 2));
});
group.addEndpoint("headers", (error, message) => {
  if (error) return;
  message.respond(JSON.stringify(message.headers?.keys() ?? []));
});
group.addEndpoint("count", (error, message) => {
  if (error) return;
  for (const value of message.json()) message.respond(JSON.stringify(value));
  message.respond();
});
await connection.flush();
console.log("ready");
for await (const _ of process.stdin);
await service.stop();
await connection.close();
