// The gateway's end of the stream: lines in, one message each; kept open, watched, opened again when it breaks.
// Invariants: half a line is never a message; a stream that falls silent is let go long before control lets go of us.

import { errorText } from "../../kit/log.ts";
import { mayRetry, type ChannelDeps, type GatewaySession } from "./gateway-session.ts";
import { pause } from "../../kit/pause.ts";
import { backoffMs } from "../rules.ts";
import { DOWN_TYPES, DownMessage, PATHS } from "../types.ts";

/** A manifest and the recalls of a whole fleet's keys fit many times. */
const LINE_CHARS_MAX = 4 * 1_048_576;
/** Beats that may fail to come before the stream is taken for dead. */
const BEATS_MISSED_MAX = 4;

/** Whole lines of a chunk; the rest waits for the next. Throws when a line has no end. */
export function splitLines(rest: string, chunk: string): { lines: string[]; rest: string } {
  const parts = (rest + chunk).split("\n");
  const open = parts.pop() ?? "";
  if (open.length > LINE_CHARS_MAX) throw new Error("a line of the stream does not end");
  return { lines: parts.filter((line) => line !== ""), rest: open };
}

/** Undefined: a message of a later version, to be ignored. Throws when it is none at all. */
export function parseDown(line: string): DownMessage | undefined {
  const parsed: unknown = JSON.parse(line);
  const type = typeof parsed === "object" && parsed && "type" in parsed ? parsed.type : undefined;
  return DOWN_TYPES.has(type) ? DownMessage.parse(parsed) : undefined;
}

/** Resolves when control ends the stream; rejects when it breaks or falls silent. */
async function readStream(
  { client }: ChannelDeps,
  session: GatewaySession,
  deliver: (message: DownMessage) => void,
): Promise<void> {
  const silent = new AbortController();
  const watchdog = setTimeout(
    () => silent.abort(new Error("the stream fell silent")),
    session.heartbeatMs * BEATS_MISSED_MAX,
  );
  try {
    const { body } = await client.send({
      method: "GET",
      path: PATHS.stream,
      epoch: session.epoch,
      signal: AbortSignal.any([session.signal, silent.signal]),
    });
    const decoder = new TextDecoder();
    let rest = "";
    // fetch's body is iterable at run time; the DOM's types do not say so.
    for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
      watchdog.refresh();
      const split = splitLines(rest, decoder.decode(chunk, { stream: true }));
      rest = split.rest;
      for (const message of split.lines.map(parseDown)) if (message) deliver(message);
    }
  } finally {
    clearTimeout(watchdog);
  }
}

/** Until the session ends. Control sends the newest manifest first on each stream, so nothing is lost between two. */
export async function runStream(
  deps: ChannelDeps,
  session: GatewaySession,
  deliver: (message: DownMessage) => void,
): Promise<void> {
  for (let attempt = 1; !session.signal.aborted; attempt += 1) {
    const heard = (message: DownMessage) => {
      attempt = 0;
      deliver(message);
    };
    try {
      await readStream(deps, session, heard);
    } catch (error) {
      if (!mayRetry(session, error)) return;
      deps.log.info("uplink.stream_broke", { attempt, reason: errorText(error) });
    }
    await pause(backoffMs(Math.max(1, attempt), deps.dice.next()), session.signal);
  }
}
