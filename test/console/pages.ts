// Every page of the console in a telling state, by name. The browser test and the pictures walk this list.

import type { World } from "./fixtures.ts";

type Path = (world: World) => string;
const requestId = (world: World) =>
  world.requests.find((row) => row.status === "ok")?.requestId ?? "";
const failedId = (world: World) =>
  world.requests.find((row) => row.status !== "ok")?.requestId ?? "";

export const PAGES: readonly (readonly [name: string, path: Path])[] = [
  ["overview", () => "/"],
  ["overview-table", () => "/?view=table&minutes=15"],
  ["start", () => "/start"],
  ["requests", () => "/requests"],
  ["requests-peek", (world) => `/requests?row=${requestId(world)}.1`],
  ["request", (world) => `/requests/${requestId(world)}`],
  ["request-failed", (world) => `/requests/${failedId(world)}`],
  ["request-unknown", () => "/requests/req_absent"],
  ["usage", () => "/usage"],
  ["zones", () => "/zones"],
  ["upstreams", () => "/upstreams"],
  ["upstream-add", () => "/upstreams?add=true"],
  ["playground", () => "/playground"],
  ["keys", () => "/keys?all=true"],
  ["key-add", () => "/keys?add=true"],
  ["projects", () => "/projects"],
  ["prices", () => "/prices"],
  ["price-add", () => "/prices?add=true&model=tiny-llama"],
  ["system", () => "/system"],
  ["nowhere", () => "/no-such-page"],
];
