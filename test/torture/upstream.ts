// The upstream of the torture run: what an answer costs follows from the question, so that anybody can say what should be billed.
// Invariant: every request that arrived is remembered by the id the gateway gave it.

export interface Wish {
  readonly input: number;
  readonly output: number;
  readonly streamed: boolean;
}

export const wishText = ({ input, output }: Wish) => `${input} ${output}`;

interface Question {
  readonly stream?: boolean;
  readonly messages: readonly { readonly content: string }[];
}

export interface TortureUpstream {
  readonly url: string;
  /** Ids of the requests that arrived, retries included. */
  readonly arrived: ReadonlySet<string>;
  close(): Promise<void>;
}

const event = (body: unknown) => `data: ${JSON.stringify(body)}\n\n`;
const usageOf = ({ input, output }: Wish) => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
});

/** One word a token, with a breath between them, so that kills hit the middle of answers. */
async function* words(wish: Wish, pauseMs: () => number): AsyncGenerator<string> {
  for (let index = 0; index < wish.output; index += 1) {
    await Bun.sleep(pauseMs());
    yield event({ id: "c", choices: [{ index: 0, delta: { content: "word " } }] });
  }
  yield event({ id: "c", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
  yield event({ id: "c", choices: [], usage: usageOf(wish) });
  yield "data: [DONE]\n\n";
}

function streamOf(texts: AsyncGenerator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    pull: async (controller) => {
      const { done, value } = await texts.next();
      if (done === true) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    cancel: () => void texts.return(undefined),
  });
}

/** `dice`: uniform in [0, 1). */
export function openTortureUpstream(dice: () => number): TortureUpstream {
  const arrived = new Set<string>();
  const pauseMs = () => (dice() < 0.5 ? 0 : Math.floor(dice() * 12));
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: async (request) => {
      if (request.method === "GET") return Response.json({ object: "list", data: [] });
      const id = request.headers.get("x-request-id");
      if (id !== null) arrived.add(id);
      // Only the torture's own callers ask here.
      const { stream = false, messages } = (await request.json()) as Question;
      const [input = 0, output = 0] = (messages[0]?.content ?? "").split(" ").map(Number);
      const wish: Wish = { input, output, streamed: stream };
      if (stream)
        return new Response(streamOf(words(wish, pauseMs)), {
          headers: { "content-type": "text/event-stream" },
        });
      await Bun.sleep(pauseMs());
      return Response.json({
        id: "c",
        object: "chat.completion",
        choices: [
          { index: 0, message: { role: "assistant", content: "word" }, finish_reason: "stop" },
        ],
        usage: usageOf(wish),
      });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}/v1`,
    arrived,
    close: () => server.stop(true),
  };
}
