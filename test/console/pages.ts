// Every page of the console in a telling state: its path, its heading and a piece of its data. The browser test and the pictures walk this list.

import { isFailure } from "./fixture-answers.ts";
import type { World } from "./fixtures.ts";

export interface PageCase {
  readonly name: string;
  readonly path: (world: World) => string;
  readonly heading: string;
  /** Text that only stands there when the data has come. */
  readonly shows: string;
}

const at = (
  name: string,
  path: string | ((world: World) => string),
  heading: string,
  shows: string,
): PageCase => ({ name, path: typeof path === "string" ? () => path : path, heading, shows });

const requestId = (world: World) =>
  world.requests.find((row) => row.status === "ok")?.requestId ?? "";
const failedId = (world: World) => world.requests.find(isFailure)?.requestId ?? "";

export const PAGES: readonly PageCase[] = [
  at("overview", "/", "Overview", "Spend by model"),
  at("overview-table", "/?view=table&minutes=15", "Overview", "First token p50"),
  at("start", "/start", "Start", "Make a first call"),
  at("requests", "/requests?rows=20", "Requests", "local / embedded"),
  at(
    "requests-peek",
    (world) => `/requests?rows=20&row=${requestId(world)}.1`,
    "Requests",
    "Posted to the ledger",
  ),
  at("request", (world) => `/requests/${requestId(world)}`, "Request", "Answered by"),
  at("request-failed", (world) => `/requests/${failedId(world)}`, "Request", "No price applied."),
  at("request-unknown", "/requests/req_absent", "Request", "there is no request req_absent"),
  at("usage", "/usage", "Usage", "gpt-5-mini"),
  at("usage-key", "/usage?groupBy=key&range=7d", "Usage", "checkout-service"),
  at("zones", "/zones", "Zones", "connection refused"),
  at("upstreams", "/upstreams", "Upstreams", "none: refused"),
  at("upstream-add", "/upstreams?add=true", "Add upstream", "Ends before /chat/completions."),
  at("playground", "/playground", "Playground", "The same in code"),
  at("keys", "/keys?all=true", "Keys", "nightly-evals"),
  at("key-add", "/keys?add=true", "Create key", "What will use it."),
  at("projects", "/projects", "Projects", "of $6.00 this month"),
  at("prices", "/prices", "Prices", "in force"),
  at(
    "price-add",
    "/prices?add=true&model=tiny-llama",
    "Set a price",
    "Where the figure comes from.",
  ),
  at("system", "/system", "System", "Latest changes"),
  at("nowhere", "/no-such-page", "There is no such page", "The address may be mistyped"),
];
