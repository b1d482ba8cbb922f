// How calls go over the wire: the same for every service.

/** Options of each call. */
export interface CallOptions {
  /** Milliseconds for the whole call. By default 5000, and without end for streams. */
  timeout?: number;
  /** Headers of the request. */
  headers?: Record<string, string>;
}

/** Options of calls that are answered with a stream. */
export interface StreamOptions extends CallOptions {
  /** Milliseconds without an item after which the stream is given up. */
  idleTimeout?: number;
}

/** Options of those who hear events. */
export interface EventOptions {
  /** Of all who name the same group, one hears each event; without a group everybody does. */
  queueGroup?: string;
}

/** What a service answers in place of a value. `name` is that of the error's class. */
export class RpcError extends Error {
  readonly code: number;
  /** The fields of the error's class, or the details of one without fields. */
  readonly details: unknown;
  /** Whether it is the error of a call that the handler made, and did not catch. */
  readonly relayed: boolean;

  constructor(code: number, name: string, message: string, details?: unknown, relayed = false) {
    super(message);
    this.name = name;
    this.code = code;
    this.details = details;
    this.relayed = relayed;
  }
}

type ErrorClass = new (
  code: number,
  name: string,
  message: string,
  details: unknown,
  relayed: boolean,
) => RpcError;
type Errors = ReadonlyMap<string, ErrorClass>;
type Items = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

const FRAME = "Natsrpc-Frame";
const GRACE = 100; // the service's own word about the deadline comes before ours
const MAX_BODY = 8 * 1024 * 1024;
const PART = 128 * 1024;
const SMALLEST = 16 * 1024;
const HEADER_ROOM = 1024;
const WINDOW = 128; // items that a worker may be ahead of the reader
const WINDOW_BYTES = 2 * 1024 * 1024;
const UNTAKEN = 65_536; // items that wait for the reader, of a worker that knows no credit
const UNTAKEN_BYTES = 16 * 1024 * 1024;
const TICK = 1000;
const OPENING = 5; // ticks that the first word of a worker is waited for
const PRESENCE = 6; // ticks without a word after which it is taken for gone

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function encode(value: unknown): Uint8Array {
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) throw new TypeError("the value has no form in JSON");
  return encoder.encode(text);
}

function decode<T>(data: Uint8Array): T {
  return JSON.parse(decoder.decode(data)) as T;
}

async function* encoded(items: AsyncIterable<unknown> | Iterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const item of items) yield encode(item);
}

/** The subject of a template, with the value of each token in its place. */
function filled(template: string, tokens: Record<string, string>): string {
  return template.replace(/\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => {
    const value = Object.hasOwn(tokens, name) ? String(tokens[name]) : "";
    if (value === "" || /[\s.*>\u0000-\u001f\u007f]/.test(value)) {
      throw new RangeError(`token ${name} is ${JSON.stringify(value)}: expected text without dots, blanks and wildcards`);
    }
    return value;
  });
}

function requestHeaders(options: CallOptions, timeout: number | undefined): MsgHdrs {
  const found = natsHeaders();
  for (const [name, value] of Object.entries(options.headers ?? {})) found.append(name, value);
  found.set("Content-Type", "application/json");
  found.set("Natsrpc-Max-Reply", String(MAX_BODY));
  if (timeout !== undefined) {
    if (!(timeout > 0)) throw new RangeError(`timeout is ${timeout}: expected milliseconds above 0`);
    found.set("Natsrpc-Timeout", String(Math.ceil(timeout)));
  }
  return found;
}

function header(msg: Msg, name: string): string {
  return msg.headers?.get(name, Match.IgnoreCase) ?? "";
}

function errorOf(msg: Msg, known: Errors): RpcError | undefined {
  const code = header(msg, "Nats-Service-Error-Code");
  const text = header(msg, "Nats-Service-Error");
  if (code === "" && text === "") return undefined;
  let details: unknown;
  try {
    details = msg.data.length ? decode<unknown>(msg.data) : undefined;
  } catch {
    details = undefined; // of a service that is not one of ours
  }
  const name = header(msg, "Natsrpc-Error") || "RpcError";
  const number = /^[0-9]{3,4}$/.test(code) ? Number(code) : 500;
  const kind = known.get(name) ?? RpcError;
  return new kind(number, name, text || name, details, header(msg, "Natsrpc-Relayed") === "1");
}

function unavailable(text: string): RpcError {
  return new RpcError(503, "UnavailableError", text);
}

/** Make a call with one answer. */
async function ask(
  connection: NatsConnection,
  subject: string,
  data: Uint8Array,
  options: CallOptions,
  known: Errors,
): Promise<Uint8Array> {
  const timeout = options.timeout ?? 5000;
  const headers = requestHeaders(options, timeout);
  if (data.length + HEADER_ROOM > (connection.info?.max_payload ?? Infinity)) {
    const large = new Conversation(connection, `${subject}._NATSRPC.large`, known, false);
    large.open(new Uint8Array(), headers, `large ${data.length}`, timeout, undefined, [data]);
    return await large.answer();
  }
  const reply = await connection.request(subject, data, { timeout: timeout + GRACE, headers });
  const failed = errorOf(reply, known);
  if (failed !== undefined) throw failed;
  if (!header(reply, FRAME).startsWith("large ")) return reply.data;
  return await wholeReply(connection, subject, reply, known, timeout);
}

/** Receive a reply that does not fit one message; `head` announces it. */
async function wholeReply(
  connection: NatsConnection,
  subject: string,
  head: Msg,
  known: Errors,
  timeout: number | undefined,
): Promise<Uint8Array> {
  const conversation = new Conversation(connection, subject, known, true);
  conversation.join(head, timeout);
  let body: Uint8Array | undefined;
  for await (const data of conversation.items()) body ??= data;
  if (body === undefined) throw unavailable("the large reply has no body");
  return body;
}

/** Make a call that is answered with a stream; `sent` are the items of the request. */
async function* streamed(
  connection: NatsConnection,
  subject: string,
  data: Uint8Array,
  options: StreamOptions,
  known: Errors,
  sent?: Items,
): AsyncGenerator<Uint8Array> {
  const conversation = new Conversation(connection, subject, known, true);
  const headers = requestHeaders(options, options.timeout);
  conversation.open(data, headers, `open ${WINDOW} ${WINDOW_BYTES}`, options.timeout, options.idleTimeout, sent);
  yield* conversation.items();
}

/** Send a stream of items, and wait for the one answer. */
async function uploaded(
  connection: NatsConnection,
  subject: string,
  data: Uint8Array,
  options: CallOptions,
  known: Errors,
  sent: Items,
): Promise<Uint8Array> {
  const conversation = new Conversation(connection, subject, known, false);
  const headers = requestHeaders(options, options.timeout);
  conversation.open(data, headers, `open ${WINDOW} ${WINDOW_BYTES}`, options.timeout, undefined, sent);
  return await conversation.answer();
}

/** The bodies of an event's messages as they come, until the reader leaves. */
async function* heard(
  connection: NatsConnection,
  subject: string,
  options: EventOptions,
): AsyncGenerator<Uint8Array> {
  const subscription = connection.subscribe(subject, options.queueGroup ? { queue: options.queueGroup } : {});
  try {
    for await (const msg of subscription) {
      if (!(msg.headers?.code && msg.data.length === 0)) yield msg.data;
    }
  } finally {
    subscription.unsubscribe();
  }
}

function told(
  connection: NatsConnection,
  subject: string,
  data: Uint8Array,
  options: Pick<CallOptions, "headers">,
): void {
  const headers = natsHeaders();
  for (const [name, value] of Object.entries(options.headers ?? {})) headers.append(name, value);
  headers.set("Content-Type", "application/json");
  connection.publish(subject, data, { headers });
}

/** The caller's side of a stream, an upload or a large body: many messages with one worker. */
class Conversation {
  readonly #connection: NatsConnection;
  readonly #subject: string;
  readonly #known: Errors;
  readonly #givesStream: boolean;
  readonly #address: string;
  readonly #timers: ReturnType<typeof setTimeout>[] = [];
  #subscription: Subscription | undefined;
  #ticker: ReturnType<typeof setInterval> | undefined;
  #peer = ""; // the worker's newest address
  #frames = 0;
  #silent = 0;
  #sinceFirst = 0;
  #failed: Error | undefined;
  #hasEnded = false; // all items came, or the answer did
  #isAnswered = false; // by an error: the worker is done with it
  #answer: Msg | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  // what is read
  readonly #buffer: { data: Uint8Array; bytes: number }[] = []; // `bytes` count when it is taken
  #begun: Uint8Array | undefined;
  #filled = 0;
  #received = 0;
  #receivedBytes = 0;
  #taken = 0;
  #takenBytes = 0;
  #granted = WINDOW;
  #allowed = WINDOW_BYTES;
  #plainBytes = 0;
  #isPlain = false;
  #lastItem = Date.now();
  // what is written
  #isStopped = false;
  #isWritten = false;
  #sent = 0;
  #sentBytes = 0;
  #credit = 0;
  #creditBytes = 0;

  constructor(connection: NatsConnection, subject: string, known: Errors, givesStream: boolean) {
    this.#connection = connection;
    this.#subject = subject;
    this.#known = known;
    this.#givesStream = givesStream;
    const { options } = connection as { options?: { inboxPrefix?: string } };
    this.#address = createInbox(options?.inboxPrefix);
  }

  /** Send the request, or its head, and begin to send the items. */
  open(
    data: Uint8Array,
    headers: MsgHdrs,
    frame: string,
    timeout: number | undefined,
    idleTimeout: number | undefined,
    sent: Items | undefined,
  ): void {
    headers.set(FRAME, frame);
    this.#start(timeout, idleTimeout);
    try {
      this.#connection.publish(this.#subject, data, { reply: this.#address, headers });
    } catch (error) {
      this.#close();
      throw error;
    }
    if (sent !== undefined) void this.#send(sent);
  }

  /** Ask for the body that a reply has announced. */
  join(head: Msg, timeout: number | undefined): void {
    this.#frames = 2;
    if (!this.#moveTo(head.reply ?? "")) throw unavailable("the large reply has no address");
    this.#start(timeout, undefined);
    this.#say("credit", this.#granted, this.#allowed);
  }

  /** The items as they come. A reader that leaves tells the worker. */
  async *items(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const data = this.#take();
        if (data !== undefined) {
          yield data;
        } else if (this.#hasEnded) {
          return;
        } else if (this.#failed !== undefined) {
          throw this.#failed;
        } else {
          await new Promise<void>((resolve) => (this.#wakeReader = resolve));
        }
      }
    } finally {
      this.#finish();
    }
  }

  /** The one answer. */
  async answer(): Promise<Uint8Array> {
    for await (const _ of this.items()) void _; // items where none are expected are dropped
    const reply = this.#answer;
    if (reply === undefined) throw unavailable("the call ended without an answer");
    if (!header(reply, FRAME).startsWith("large ")) return reply.data;
    return await wholeReply(this.#connection, this.#subject, reply, this.#known, undefined);
  }

  #start(timeout: number | undefined, idleTimeout: number | undefined): void {
    const take = (error: Error | null, msg: Msg): void => (error ? this.#fail(error) : this.#receive(msg));
    this.#subscription = this.#connection.subscribe(this.#address, { callback: take });
    void this.#subscription.closed.then(() => this.#fail(unavailable("the connection was closed")));
    this.#ticker = setInterval(() => this.#tick(idleTimeout), TICK);
    if (timeout !== undefined) {
      const late = (): void => this.#fail(new natsErrors.TimeoutError());
      this.#timers.push(setTimeout(late, timeout + GRACE));
    }
  }

  // what comes in

  #receive(msg: Msg): void {
    if (this.#failed !== undefined || this.#hasEnded) return; // a hole would not be seen
    if (msg.headers?.code === 503 && msg.data.length === 0 && header(msg, "Nats-Service-Error") === "") {
      this.#gone();
      return;
    }
    const [word = "", ...rest] = header(msg, FRAME).split(" ");
    const numbers = rest.map(Number);
    if (word === "" || word === "open" || word === "large" || word === "only") {
      this.#takeOther(msg);
    } else if (!numbers.every((each) => Number.isSafeInteger(each) && each >= 0)) {
      this.#break("a frame without its numbers");
    } else {
      this.#silent = 0;
      this.#frames += 1;
      if (msg.reply && !this.#moveTo(msg.reply)) this.#break("an address that nothing is sent to");
      else this.#takeFrame(word, numbers[0] ?? 0, numbers[1] ?? 0, msg.data);
    }
  }

  #moveTo(address: string): boolean {
    if (address === "" || address.startsWith("$") || address.split(".").includes("_NATSRPC")) return false;
    this.#peer = address;
    return true;
  }

  #takeFrame(word: string, first: number, second: number, data: Uint8Array): void {
    if (word === "item" || word === "part") {
      this.#takeItem(first, word === "part" ? second : 0, data);
    } else if (word === "credit") {
      this.#credit = Math.max(this.#credit, first);
      this.#creditBytes = Math.max(this.#creditBytes, second);
      this.#wakeWriter?.();
    } else if (word === "alive" || word === "end") {
      if (first !== this.#received) this.#break("lost items");
      else if (word === "end") this.#end();
    } else if (word === "stop") {
      this.#isStopped = true;
      this.#wakeWriter?.();
    } else if (word === "gone") {
      this.#gone();
    } else {
      this.#wakeWriter?.(); // `ack`, or a word of a later version
    }
  }

  #takeItem(number: number, left: number, data: Uint8Array): void {
    const size = this.#receivedBytes + data.length;
    if (number !== this.#received + 1 || number > this.#granted || size > this.#allowed) {
      this.#break("lost items");
      return;
    }
    this.#received = number;
    this.#receivedBytes = size;
    this.#lastItem = Date.now();
    if (this.#begun === undefined && left === 0) {
      this.#buffer.push({ data, bytes: data.length });
    } else {
      this.#takePart(left, data);
    }
    this.#wakeReader?.();
  }

  #takePart(left: number, data: Uint8Array): void {
    if (this.#begun === undefined) {
      const total = left + data.length;
      if (total > MAX_BODY) {
        this.#fail(new RpcError(413, "ReplyTooLargeError", `a value of ${total} bytes: at most ${MAX_BODY} are taken`));
        return;
      }
      this.#begun = new Uint8Array(total);
      this.#filled = 0;
    }
    if (this.#filled + data.length + left !== this.#begun.length) {
      this.#break("parts that do not add up");
      return;
    }
    this.#begun.set(data, this.#filled);
    this.#filled += data.length;
    if (left === 0) {
      this.#buffer.push({ data: this.#begun, bytes: data.length });
      this.#begun = undefined;
    } else {
      this.#taken += 1;
      this.#takenBytes += data.length;
      this.#giveCredit();
    }
  }

  /** Take what is no frame: an error, the one answer, an item of a worker without frames. */
  #takeOther(msg: Msg): void {
    this.#silent = 0;
    const failed = errorOf(msg, this.#known);
    if (failed !== undefined) {
      this.#isAnswered = true;
      this.#fail(failed);
    } else if (!this.#givesStream) {
      this.#answer = msg;
      this.#end();
    } else if (this.#peer !== "") {
      this.#break("a message that is no frame");
    } else if (msg.data.length === 0) {
      this.#end();
    } else {
      this.#isPlain = true;
      this.#frames = 2;
      this.#lastItem = Date.now();
      this.#plainBytes += msg.data.length;
      this.#buffer.push({ data: msg.data, bytes: msg.data.length });
      if (this.#buffer.length > UNTAKEN || this.#plainBytes > UNTAKEN_BYTES) {
        this.#fail(unavailable("stream broken: it is read too slowly"));
      }
      this.#wakeReader?.();
    }
  }

  #take(): Uint8Array | undefined {
    const first = this.#buffer.shift();
    if (first === undefined) return undefined;
    if (this.#isPlain) {
      this.#plainBytes -= first.bytes;
    } else {
      this.#taken += 1;
      this.#takenBytes += first.bytes;
      this.#giveCredit();
    }
    return first.data;
  }

  #giveCredit(): void {
    const items = this.#granted - this.#taken;
    const bytes = this.#allowed - this.#takenBytes;
    if ((items > WINDOW / 2 && bytes > WINDOW_BYTES / 2) || this.#failed || this.#hasEnded) return;
    this.#granted = this.#taken + WINDOW;
    this.#allowed = Math.max(this.#allowed, this.#takenBytes + WINDOW_BYTES);
    this.#say("credit", this.#granted, this.#allowed);
  }

  // what goes out

  async #send(items: Items): Promise<void> {
    try {
      for await (const data of items) {
        if (!(await this.#put(data))) return;
      }
      while (this.#peer === "" || this.#credit === 0) {
        if (!(await this.#mayGoOn())) return;
      }
      this.#isWritten = true;
      this.#publish("end", this.#sent);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Send one item, in parts where it is too large; false where no more are wanted. */
  async #put(data: Uint8Array): Promise<boolean> {
    const largest = Math.min(PART, (this.#connection.info?.max_payload ?? PART) - HEADER_ROOM);
    let start = 0;
    do {
      const least = Math.min(data.length - start, SMALLEST, largest);
      while (this.#peer === "" || this.#sent >= this.#credit || this.#creditBytes - this.#sentBytes < least) {
        if (!(await this.#mayGoOn())) return false;
      }
      if (this.#isOver()) return false;
      const room = Math.min(largest, this.#creditBytes - this.#sentBytes);
      const part = data.subarray(start, start + room);
      start += part.length;
      this.#sent += 1;
      this.#sentBytes += part.length;
      const left = data.length - start;
      this.#connection.publish(this.#peer, part, {
        headers: frameHeaders(left ? `part ${this.#sent} ${left}` : `item ${this.#sent}`),
      });
      if (left) await this.#connection.flush(); // others may write in between
    } while (start < data.length);
    return true;
  }

  #isOver(): boolean {
    return this.#failed !== undefined || this.#hasEnded || this.#isStopped;
  }

  async #mayGoOn(): Promise<boolean> {
    if (!this.#isOver()) await new Promise<void>((resolve) => (this.#wakeWriter = resolve));
    return !this.#isOver();
  }

  /** Send a frame that wants an answer. */
  #say(word: string, ...numbers: number[]): void {
    if (this.#peer !== "") this.#publish(word, ...numbers);
  }

  #publish(word: string, ...numbers: number[]): void {
    const wants = word === "credit" || word === "alive";
    const options: PublishOptions = { headers: frameHeaders([word, ...numbers].join(" ")) };
    if (wants) options.reply = this.#address;
    try {
      this.#connection.publish(this.#peer, new Uint8Array(), options);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  // the clock and the end

  #tick(idleTimeout: number | undefined): void {
    this.#silent += 1;
    if (this.#frames === 0) {
      if (this.#silent > OPENING) this.#fail(unavailable(`no worker answered within ${OPENING} s`));
      return;
    }
    if (this.#frames === 1) {
      this.#sinceFirst += 1;
      if (this.#sinceFirst > 1) {
        this.#fail(unavailable("only one answer of the worker came through: an export needs `response_type: stream`"));
      }
      return;
    }
    if (idleTimeout !== undefined && this.#buffer.length === 0 && Date.now() - this.#lastItem > idleTimeout) {
      this.#fail(new natsErrors.TimeoutError());
    } else if (this.#silent > PRESENCE && !this.#isPlain) {
      this.#fail(unavailable(`nothing was heard of the worker for ${PRESENCE} s`));
    } else if (!this.#isPlain) {
      if (this.#givesStream) this.#say("credit", this.#granted, this.#allowed);
      this.#say("alive", this.#sent);
      if (this.#isWritten) this.#publish("end", this.#sent); // it, too, may be lost
    }
  }

  #gone(): void {
    if (this.#frames === 0) this.#fail(new natsErrors.NoRespondersError(this.#subject));
    else this.#fail(unavailable("the worker is gone"));
  }

  #break(what: string): void {
    this.#fail(unavailable(`stream broken: ${what} came`));
  }

  /** End it with an error, which the reader gets after the items before it. */
  #fail(error: Error): void {
    if (!this.#hasEnded) this.#failed ??= error;
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  #end(): void {
    if (this.#failed === undefined) this.#hasEnded = true;
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  #finish(): void {
    if (!this.#hasEnded && !this.#isAnswered && !this.#connection.isClosed()) {
      this.#failed ??= unavailable("the call was given up");
      if (this.#peer !== "") this.#publish("stop", 0);
      else this.#cancel();
    }
    this.#close();
  }

  #cancel(): void {
    const subject = this.#subject.replace(/\._NATSRPC\.large$/, "");
    this.#connection.publish(`${subject}._NATSRPC.cancel`, this.#address);
  }

  #close(): void {
    clearInterval(this.#ticker);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#wakeWriter?.();
    this.#subscription?.unsubscribe();
  }
}

function frameHeaders(frame: string): MsgHdrs {
  const found = natsHeaders();
  found.set(FRAME, frame);
  return found;
}

/** What the methods above are made of. */
const wire = { ask, decode, encode, encoded, filled, heard, streamed, told, uploaded };
