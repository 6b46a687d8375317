// The playground's conversation: turns, the open stream, stop. Leaving the page stops the stream.

import { useEffect, useRef, useState } from "react";
import { faultOf, send } from "../api.ts";
import { readChat, type ChatEvent, type ChatMessage } from "../chat.ts";

export interface Turn {
  readonly prompt: string;
  readonly text: string;
  readonly state: "open" | "done" | "stopped" | "failed";
  readonly firstTokenMs?: number;
  readonly usage?: { readonly inputTokens: number; readonly outputTokens: number };
  readonly requestId?: string;
  readonly error?: unknown;
}

export interface Ask {
  readonly model: string;
  readonly system: string;
  readonly prompt: string;
  readonly maxTokens: number | undefined;
  readonly temperature: number;
}

export function useChat() {
  const [turns, setTurns] = useState<readonly Turn[]>([]);
  const abort = useRef<AbortController>(undefined);
  useEffect(() => () => abort.current?.abort(), []);
  const amend = (change: (turn: Turn) => Partial<Turn>) =>
    setTurns((all) =>
      all.map((turn, index) => (index === all.length - 1 ? { ...turn, ...change(turn) } : turn)),
    );

  const ask = async (input: Ask) => {
    const controller = new AbortController();
    abort.current = controller;
    const messages = toMessages(turns, input);
    setTurns((all) => [...all, { prompt: input.prompt, text: "", state: "open" }]);
    try {
      await stream(input, messages, controller.signal, amend);
      amend((turn) => ({ state: turn.error === undefined ? "done" : "failed" }));
    } catch (error) {
      amend(() => (controller.signal.aborted ? { state: "stopped" } : { state: "failed", error }));
    }
  };
  return {
    turns,
    ask,
    busy: turns.at(-1)?.state === "open",
    stop: () => abort.current?.abort(),
    clear: () => setTurns([]),
  };
}

function toMessages(turns: readonly Turn[], { system, prompt }: Ask): ChatMessage[] {
  return [
    ...(system === "" ? [] : [{ role: "system", content: system } as const]),
    ...turns
      .filter((turn) => turn.text !== "")
      .flatMap((turn) => [
        { role: "user", content: turn.prompt } as const,
        { role: "assistant", content: turn.text } as const,
      ]),
    { role: "user", content: prompt },
  ];
}

type Amend = (change: (turn: Turn) => Partial<Turn>) => void;

async function stream(
  { model, maxTokens, temperature }: Ask,
  messages: readonly ChatMessage[],
  signal: AbortSignal,
  amend: Amend,
) {
  const startedMs = performance.now();
  const body = { model, messages, temperature, ...(maxTokens ? { max_tokens: maxTokens } : {}) };
  const response = await send("POST", "/playground/chat", { body, signal });
  if (!response.ok || !response.body) throw await faultOf(response);
  const requestId = response.headers.get("x-request-id");
  if (requestId !== null) amend(() => ({ requestId }));
  for await (const event of readChat(response.body))
    amend((turn) => toChange(event, turn, performance.now() - startedMs));
}

function toChange(event: ChatEvent, turn: Turn, elapsedMs: number): Partial<Turn> {
  if (event.type === "text")
    return {
      text: turn.text + event.text,
      ...(turn.firstTokenMs === undefined ? { firstTokenMs: elapsedMs } : {}),
    };
  if (event.type === "usage") return { usage: event };
  if (event.type === "error") return { error: new Error(event.message) };
  return {};
}
