// Bodies that gateways send: bounded in bytes and time, checked against a schema, refused with the field's path.

import type { z } from "zod";
import { parseJson, readBody } from "../http/json.ts";
import { fieldPath } from "../http/validate.ts";
import { Fault } from "../kit/fault.ts";

const JSON_BYTES_MAX = 16 * 1_048_576;
/** As much as the server takes at all: a segment that did not pass would be stuck for ever. */
const SEGMENT_BYTES_MAX = 64 * 1_048_576;
const WITHIN_MS = 15_000;

export function parseWith<T>(schema: z.ZodType<T>, value: unknown, whole: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = fieldPath(issue?.path ?? []) || whole;
  throw new Fault("request.invalid", {
    message: `${field}: ${issue?.message ?? "not valid"}`,
    field,
  });
}

export async function readJson<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  return parseWith(schema, parseJson(await readBody(request, JSON_BYTES_MAX, WITHIN_MS)), "body");
}

/** The server cuts bodies that are longer than any segment; a body that drips ends at the deadline. */
export async function readSegment(request: Request): Promise<Uint8Array> {
  const late = AbortSignal.timeout(WITHIN_MS);
  const parts: Uint8Array[] = [];
  let byteLength = 0;
  const reader = request.body?.getReader();
  const cut = () => void reader?.cancel().catch(() => {});
  late.addEventListener("abort", cut, { once: true });
  try {
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
      byteLength += next.value.byteLength;
      if (byteLength > SEGMENT_BYTES_MAX)
        throw new Fault("request.too_large", {
          message: `a segment is at most ${SEGMENT_BYTES_MAX} bytes`,
        });
      parts.push(next.value);
    }
  } finally {
    late.removeEventListener("abort", cut);
    cut();
  }
  if (late.aborted)
    throw new Fault("request.timeout", { message: `the body did not arrive in ${WITHIN_MS} ms` });
  return parts.length === 1 && parts[0] ? parts[0] : new Uint8Array(Buffer.concat(parts));
}
