// JSON from outside: bounded in bytes and depth, no key twice, no `__proto__`. Refused before it is parsed.
// Invariant: one pass over the text finds all three; JSON.parse alone judges the grammar.

import { Fault, isFault } from "../kit/fault.ts";

const DEPTH_MAX = 32;

/** The index just after the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

function keyAt(text: string, start: number, end: number): string {
  const raw = text.slice(start, end);
  if (!raw.includes("\\")) return raw.slice(1, -1);
  try {
    return String(JSON.parse(raw));
  } catch {
    return raw;
  }
}

function judgeKey(keys: Set<string>, key: string): void {
  if (key === "__proto__") {
    throw new Fault("request.json_prototype", { message: "the key `__proto__` is not allowed" });
  }
  if (keys.has(key)) {
    throw new Fault("request.json_duplicate_key", {
      message: `the key \`${key.slice(0, 100)}\` is there twice`,
      field: key.slice(0, 100),
    });
  }
  keys.add(key);
}

function judgeShape(text: string): void {
  // One entry an open bracket: the keys seen so far in an object, nothing in an array.
  const open: (Set<string> | undefined)[] = [];
  let keyComes = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '"') {
      const end = endOfString(text, at);
      const keys = open.at(-1);
      if (keys && keyComes) judgeKey(keys, keyAt(text, at, end));
      keyComes = false;
      at = end - 1;
    } else if (character === "{" || character === "[") {
      open.push(character === "{" ? new Set() : undefined);
      keyComes = character === "{";
      if (open.length > DEPTH_MAX) {
        throw new Fault("request.json_depth", {
          message: `JSON is nested deeper than ${DEPTH_MAX} levels`,
        });
      }
    } else if (character === "}" || character === "]") open.pop();
    else if (character === ",") keyComes = open.at(-1) !== undefined;
  }
}

export function parseJson(text: string): unknown {
  judgeShape(text);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fault("request.json", { message: "the body is not valid JSON", cause });
  }
}

const tooLarge = (bytesMax: number) =>
  new Fault("request.too_large", { message: `the body is larger than ${bytesMax} bytes` });

/** Reads at most `bytesMax`, within `withinMs`; a caller that drips is let go. */
export async function readBody(
  request: Request,
  bytesMax: number,
  withinMs: number,
): Promise<string> {
  if (Number(request.headers.get("content-length") ?? 0) > bytesMax) throw tooLarge(bytesMax);
  if (!request.body) return "";
  const reader = request.body.getReader();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      reject(
        new Fault("request.timeout", { message: `the body did not arrive in ${withinMs} ms` }),
      ),
    withinMs,
  );
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) return text + decoder.decode();
      bytes += value.byteLength;
      if (bytes > bytesMax) throw tooLarge(bytesMax);
      text += decoder.decode(value, { stream: true });
    }
  } catch (error) {
    void reader.cancel().catch(() => {});
    if (isFault(error)) throw error;
    if (error instanceof TypeError) {
      throw new Fault("request.json", { message: "the body is not valid UTF-8", cause: error });
    }
    throw new Fault("request.cut", {
      message: "the caller left before its body was whole",
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}
