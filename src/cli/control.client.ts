// The CLI's door to the control API: one request, one parsed answer, every failure a CliFault with its exit code.
// Invariant: an answer is checked against a schema before a command reads it, so a newer control cannot crash an older CLI silently.

import { z } from "zod";
import { CliFault, EXIT, type ExitCode } from "./types.ts";

export interface ControlClient {
  readonly url: string;
  call<S extends z.ZodType>(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    path: string,
    answer: S,
    body?: unknown,
  ): Promise<z.output<S>>;
}

const Failure = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    field: z.string().nullish(),
    hint: z.string().nullish(),
    requestId: z.string().nullish(),
  }),
});

const TIMEOUT_MS = 30_000;

function exitFor(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.auth;
  return status === 402 ? EXIT.refused : EXIT.failed;
}

function faultFrom(status: number, text: string): CliFault {
  const parsed = Failure.safeParse(jsonOf(text));
  if (!parsed.success)
    return new CliFault(
      exitFor(status),
      "control.answer",
      `control answered ${status} without saying why`,
    );
  const { code, message, field, hint, requestId } = parsed.data.error;
  return new CliFault(exitFor(status), code, message, {
    field: field ?? undefined,
    hint: hint ?? undefined,
    requestId: requestId ?? undefined,
  });
}

function jsonOf(text: string): unknown {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function openControlClient(options: {
  readonly url: string;
  readonly adminKey: string;
  readonly signal: AbortSignal;
}): ControlClient {
  const base = options.url.replace(/\/+$/, "");
  return {
    url: base,
    call: async (method, path, answer, body) => {
      const response = await fetch(`${base}/api/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${options.adminKey}`,
          accept: "application/json",
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.any([options.signal, AbortSignal.timeout(TIMEOUT_MS)]),
      }).catch((error: unknown) => {
        throw new CliFault(
          EXIT.failed,
          "control.unreachable",
          `control does not answer at ${base} (${error instanceof Error ? error.message : String(error)})`,
          {
            hint: "is it running? `intertie up` starts it, `intertie doctor` says what is wrong",
          },
        );
      });
      const text = await response.text();
      if (!response.ok) throw faultFrom(response.status, text);
      const parsed = answer.safeParse(jsonOf(text));
      if (parsed.success) return parsed.data;
      const issue = parsed.error.issues[0];
      throw new CliFault(
        EXIT.failed,
        "control.answer",
        `control's answer to ${method} ${path} is not what this version knows: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`,
        {
          hint: "are the CLI and the server of the same version? `intertie version`",
        },
      );
    },
  };
}
