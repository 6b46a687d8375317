// Control's end of one gateway's stream: newline-delimited JSON, written as fast as the gateway takes it.
// Invariant: at most one chunk is under way; everything else waits in the outbox, which is bounded.

import { openOutbox } from "./outbox.state.ts";
import type { DownMessage } from "./types.ts";

export interface DownStream {
  readonly response: Response;
  put(message: DownMessage, nowMs: number): void;
  /** How long the gateway has not taken what waits for it. */
  stalledMs(nowMs: number): number;
  close(): void;
}

const utf8 = new TextEncoder();

/** `onGone`: the gateway let go of the stream. */
export function openDownStream(onGone: () => void): DownStream {
  const outbox = openOutbox();
  const state = { open: true, wake: () => {}, close: () => {} };
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    for (;;) {
      const lines = state.open ? outbox.take() : "";
      if (lines !== "") return controller.enqueue(utf8.encode(lines));
      if (!state.open) return;
      await new Promise<void>((resolve) => (state.wake = resolve));
    }
  };
  const end = () => {
    state.open = false;
    state.wake();
  };
  const body = new ReadableStream<Uint8Array>(
    {
      start: (controller) => void (state.close = () => controller.close()),
      pull,
      cancel: () => {
        end();
        onGone();
      },
    },
    { highWaterMark: 0 },
  );
  return {
    response: new Response(body, {
      headers: { "content-type": "application/x-ndjson", "cache-control": "no-store" },
    }),
    put: (message, nowMs) => {
      outbox.put(message, nowMs);
      state.wake();
    },
    stalledMs: (nowMs) => nowMs - (outbox.waitingSinceMs() ?? nowMs),
    close: () => {
      if (!state.open) return;
      end();
      state.close();
    },
  };
}
