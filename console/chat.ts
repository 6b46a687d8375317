// Reads a streamed chat answer: server-sent events with OpenAI chunks, until [DONE] or the end.
// Invariant: an event cut in two by the network is read once and whole.

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export type ChatEvent =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "usage"; readonly inputTokens: number; readonly outputTokens: number }
  | { readonly type: "finish"; readonly reason: string }
  | { readonly type: "error"; readonly message: string };

interface Chunk {
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens?: number; readonly completion_tokens?: number } | null;
  readonly error?: { readonly message?: string };
}

export async function* readChat(body: ReadableStream<Uint8Array>): AsyncGenerator<ChatEvent> {
  let rest = "";
  for await (const text of body.pipeThrough(
    new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>,
  )) {
    const events = (rest + text).split(/\r?\n\r?\n/);
    rest = events.pop() ?? "";
    for (const event of events) yield* toEvents(event);
  }
  yield* toEvents(rest);
}

function* toEvents(event: string): Generator<ChatEvent> {
  const data = event
    .split(/\r?\n/)
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(5).trimStart())
    .join("\n");
  if (data === "" || data === "[DONE]") return;
  const chunk: Chunk = JSON.parse(data);
  if (chunk.error) yield { type: "error", message: chunk.error.message ?? "the stream was cut" };
  const choice = chunk.choices?.[0];
  if (choice?.delta?.content) yield { type: "text", text: choice.delta.content };
  if (choice?.finish_reason) yield { type: "finish", reason: choice.finish_reason };
  if (chunk.usage)
    yield {
      type: "usage",
      inputTokens: chunk.usage.prompt_tokens ?? 0,
      outputTokens: chunk.usage.completion_tokens ?? 0,
    };
}
