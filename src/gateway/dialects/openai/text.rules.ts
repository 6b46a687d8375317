// How much a piece of a stream says, in bytes of text, without parsing it: for streams that end before they tell their usage. Pure.
// Invariant: only texts of a choice count; a text that looks like JSON is escaped, so it is never taken for one.

const DELTA = Buffer.from('"delta"');
const TEXT = Buffer.from('"text"');
const SAID = ["content", "text", "arguments", "refusal", "reasoning", "reasoning_content"].map(
  (key) => Buffer.from(key),
);
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const SPACE = 0x20;
const LETTER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
/** Most of what is written as `\u2026` takes three bytes in UTF-8. */
const ESCAPED_BYTES = 3;

/** From one place to the next; kept between calls so that nothing is allocated for an event. */
interface Cursor {
  at: number;
}

/** `at` is after the opening quote, and then after the closing one. Answers the text's bytes with its escapes undone. */
function stringBytes(bytes: Buffer, cursor: Cursor): number {
  let { at } = cursor;
  let length = 0;
  for (; at < bytes.length && bytes[at] !== QUOTE; at += 1, length += 1) {
    if (bytes[at] !== BACKSLASH) continue;
    at += 1;
    if (bytes[at] !== LETTER_U) continue;
    at += 4;
    length += ESCAPED_BYTES - 1;
  }
  cursor.at = at + 1;
  return length;
}

/** Without making a string of each key: this runs for every event. */
function isSaid(bytes: Buffer, start: number, end: number): boolean {
  for (const key of SAID) {
    if (key.length !== end - start) continue;
    let same = 0;
    while (same < key.length && bytes[start + same] === key[same]) same += 1;
    if (same === key.length) return true;
  }
  return false;
}

function skipSpace(bytes: Buffer, cursor: Cursor): void {
  while (bytes[cursor.at] === SPACE) cursor.at += 1;
}

/** The object that opens at the cursor: what the texts in it say, at any depth (tool calls). */
function objectBytes(bytes: Buffer, cursor: Cursor): number {
  let said = 0;
  let depth = 0;
  let counts = false;
  while (cursor.at < bytes.length) {
    const byte = bytes[cursor.at];
    cursor.at += 1;
    if (byte === OPEN_BRACE) depth += 1;
    else if (byte === CLOSE_BRACE) depth -= 1;
    if (depth === 0) return said;
    if (byte !== QUOTE) continue;
    const start = cursor.at;
    const length = stringBytes(bytes, cursor);
    const end = cursor.at - 1;
    skipSpace(bytes, cursor);
    if (bytes[cursor.at] === COLON) counts = isSaid(bytes, start, end);
    else if (counts) said += length;
  }
  return said;
}

/** After a key: the value's first byte, -1 where it was no key after all. */
function valueAfter(bytes: Buffer, cursor: Cursor): number {
  skipSpace(bytes, cursor);
  if (bytes[cursor.at] !== COLON) return -1;
  cursor.at += 1;
  skipSpace(bytes, cursor);
  return bytes[cursor.at] ?? -1;
}

function bytesAfter(bytes: Buffer, key: Buffer, opens: number): number {
  const cursor: Cursor = { at: 0 };
  let said = 0;
  for (let at = bytes.indexOf(key); at >= 0; at = bytes.indexOf(key, cursor.at)) {
    cursor.at = at + key.length;
    if (valueAfter(bytes, cursor) !== opens) continue;
    if (opens === OPEN_BRACE) {
      said += objectBytes(bytes, cursor);
    } else {
      cursor.at += 1;
      said += stringBytes(bytes, cursor);
    }
  }
  return said;
}

/** Whole events: of chat, `delta`; of completions, `text`. */
export function textBytesOf(bytes: Buffer): number {
  return bytesAfter(bytes, DELTA, OPEN_BRACE) || bytesAfter(bytes, TEXT, QUOTE);
}
