// The mock upstream: answers the OpenAI dialect at once, or streams events with a fixed pause, on several ports.
// Invariant: the model's name says what to do (`mock`, `mock-stream-E` = E events a chunk), so every proxy sends the same bytes.

const PORTS = Number(process.argv[2] ?? "8");
/** Chunks a stream has, and the pause between them: 32 streams give 1,600 chunks/s, far below saturation. */
const CHUNKS = 100;
const PAUSE_MS = 20;

const WORDS =
  "The lantern at the end of the quay burned all night and nobody asked who had lit it or why it never went out. ".repeat(
    6,
  );
const USAGE = { prompt_tokens: 210, completion_tokens: 140, total_tokens: 350 };
const ANSWER = JSON.stringify({
  id: "chatcmpl-mock",
  object: "chat.completion",
  created: 1_764_000_000,
  model: "mock",
  choices: [
    {
      index: 0,
      message: { role: "assistant", content: WORDS },
      finish_reason: "stop",
      logprobs: null,
    },
  ],
  usage: USAGE,
});

function eventText(content: string): string {
  const choices = [{ index: 0, delta: { content }, finish_reason: null, logprobs: null }];
  return `data: ${JSON.stringify({ id: "chatcmpl-mock", object: "chat.completion.chunk", created: 1_764_000_000, model: "mock", choices })}\n\n`;
}

/** What was sent so far: streams that are cut off by the end of a round count with what they had. */
const sentInAll = { streams: 0, chunks: 0 };

const utf8 = new TextEncoder();
const EVENT = eventText(" lantern");
const TAIL = `data: ${JSON.stringify({ id: "chatcmpl-mock", object: "chat.completion.chunk", created: 1_764_000_000, model: "mock", choices: [], usage: USAGE })}\n\ndata: [DONE]\n\n`;

function streamOf(eventsPerChunk: number): ReadableStream<Uint8Array> {
  const chunk = utf8.encode(EVENT.repeat(eventsPerChunk));
  let sent = 0;
  sentInAll.streams += 1;
  return new ReadableStream({
    async pull(controller) {
      if (sent > 0) await Bun.sleep(PAUSE_MS);
      if (sent < CHUNKS) {
        controller.enqueue(chunk);
        sent += 1;
        sentInAll.chunks += 1;
        return;
      }
      controller.enqueue(utf8.encode(TAIL));
      controller.close();
    },
  });
}

async function answer(request: Request): Promise<Response> {
  if (request.url.endsWith("/sent")) return Response.json(sentInAll);
  if (request.method === "GET")
    return Response.json({ object: "list", data: [{ id: "mock", object: "model" }] });
  const body = await request.text();
  const events = /"model":\s*"mock-stream-(\d+)"/.exec(body)?.[1];
  if (events === undefined)
    return new Response(ANSWER, { headers: { "content-type": "application/json" } });
  return new Response(streamOf(Number(events)), {
    headers: { "content-type": "text/event-stream" },
  });
}

const servers = Array.from({ length: PORTS }, () =>
  Bun.serve({ hostname: "127.0.0.1", port: 0, idleTimeout: 0, fetch: answer }),
);
process.stdout.write(`${JSON.stringify({ ports: servers.map((server) => server.port) })}\n`);
