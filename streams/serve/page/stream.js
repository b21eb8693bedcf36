// The stream of server-sent events over fetch(), because EventSource cannot send a token.
import { request } from "./api.js";

const FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 10_000, SILENCE_MS = 25_000;

/**
 * Follow the stream for ever, and go on after the last message when a connection ends.
 * onMessage(kind, data): a message. onState(name): connecting, connected or disconnected.
 */
export async function follow(onMessage, onState) {
  let lastId = "", wait = FIRST_WAIT_MS;
  onState("connecting");
  for (;;) {
    const stop = new AbortController();
    let silence;
    const alive = () => { clearTimeout(silence); silence = setTimeout(() => stop.abort(), SILENCE_MS); };
    try {
      alive();
      const headers = { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
      const answer = await request("/v1/live", { headers, signal: stop.signal });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      onState("connected");
      wait = FIRST_WAIT_MS;
      for await (const message of messages(answer.body, alive)) {
        lastId = message.id || lastId;
        onMessage(message.event, JSON.parse(message.data));
      }
    } catch {
      onState("disconnected");
      wait = Math.min(2 * wait, LONGEST_WAIT_MS);
    } finally {
      clearTimeout(silence);
    }
    await new Promise(done => setTimeout(done, wait));
  }
}

async function* messages(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const message = parsed(block);
      if (message.data) yield message;
    }
  }
}

/** The fields of a message. A line that begins with a colon is a comment. */
export function parsed(block) {
  const fields = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (name) fields[name] = value;
  }
  return fields;
}
