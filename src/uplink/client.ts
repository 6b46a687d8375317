// The gateway's calls to control over HTTP: credential, epoch, deadline, and refusals told apart from a control that is away.
// Invariant: nothing is sent before the address was judged (loopback or https), and redirects are not followed.

import type { z } from "zod";
import { nearTls } from "../kit/loopback.ts";
import { bearerOf, judgeControlUrl } from "./rules.ts";
import { EPOCH_HEADER, GATEWAY_HEADER, PATHS, Refusal } from "./types.ts";

/** Control answered, and said no. Anything else that is thrown means that the outcome is unknown. */
export class UplinkRefusal extends Error {
  readonly status: number;
  /** A code of kit/fault.ts, or one that only a later control knows. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(`${code}: ${message}`);
    this.name = "UplinkRefusal";
    this.status = status;
    this.code = code;
  }
}

/** Control is busy or has lost its database: the same again can go through. */
export const isPassing = (error: unknown) =>
  !(error instanceof UplinkRefusal) || error.status >= 500 || error.status === 408;

export interface UplinkCall {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly epoch?: number;
  /** JSON text, or a segment's bytes. */
  readonly body?: string | Uint8Array;
  readonly signal: AbortSignal;
}

export interface UplinkClient {
  readonly gateway: string;
  /** Throws `UplinkRefusal`, or whatever the network said. The body is still to be read, under the same signal. */
  send(call: UplinkCall): Promise<Response>;
  json<T>(schema: z.ZodType<T>, call: UplinkCall): Promise<T>;
  /** For SnapshotHolderDeps. Needs no session. */
  fetchSection(digest: string): Promise<Uint8Array>;
  /** How many sections could not be fetched so far: tells a refused manifest from one that deserves another try. */
  readonly sectionFailures: number;
}

export interface UplinkClientDeps {
  /** INTERTIE_CONTROL_URL or the loopback default. */
  readonly controlUrl: string;
  /** Derived from the master key for `uplink`. */
  readonly key: Uint8Array;
  readonly gateway: string;
}

const SECTION_WITHIN_MS = 10_000;

async function toRefusal(response: Response): Promise<UplinkRefusal> {
  const parsed = Refusal.safeParse(await response.json().catch(() => undefined));
  const { code, message } = parsed.data?.error ?? { code: "unknown", message: "no reason given" };
  return new UplinkRefusal(response.status, code, message);
}

class HttpClient implements UplinkClient {
  readonly gateway: string;
  readonly #origin: string;
  readonly #credential: Readonly<Record<string, string>>;
  sectionFailures = 0;

  constructor(deps: UplinkClientDeps) {
    this.gateway = deps.gateway;
    this.#origin = judgeControlUrl(deps.controlUrl);
    this.#credential = {
      authorization: `Bearer ${bearerOf(deps.key, deps.gateway)}`,
      [GATEWAY_HEADER]: deps.gateway,
    };
  }

  async send(call: UplinkCall): Promise<Response> {
    const { method, path, epoch, body, signal } = call;
    const type = typeof body === "string" ? "application/json" : "application/octet-stream";
    const response = await fetch(`${this.#origin}${path}`, {
      method,
      headers: {
        ...this.#credential,
        ...(epoch === undefined ? {} : { [EPOCH_HEADER]: String(epoch) }),
        ...(body === undefined ? {} : { "content-type": type }),
      },
      // A journal's bytes are never shared memory, which is all that the type leaves open.
      ...(body === undefined ? {} : { body: body as string | Uint8Array<ArrayBuffer> }),
      redirect: "manual",
      ...nearTls(this.#origin),
      signal,
    });
    if (response.ok) return response;
    throw await toRefusal(response);
  }

  async json<T>(schema: z.ZodType<T>, call: UplinkCall): Promise<T> {
    return schema.parse(await (await this.send(call)).json());
  }

  fetchSection = async (digest: string): Promise<Uint8Array> => {
    try {
      const signal = AbortSignal.timeout(SECTION_WITHIN_MS);
      const path = `${PATHS.sections}${digest}`;
      return await (await this.send({ method: "GET", path, signal })).bytes();
    } catch (error) {
      this.sectionFailures += 1;
      throw error;
    }
  };
}

/** Throws when the address of control is neither loopback nor https. */
export function createUplinkClient(deps: UplinkClientDeps): UplinkClient {
  return new HttpClient(deps);
}
