// What each page keeps in the URL. A value that is absent or makes no sense is undefined, and the page applies its default;
// defaults are never written into the URL.

import { REQUEST_STATUSES, USAGE_GROUPS } from "./api.types.ts";

type Reader<T> = (value: unknown) => T | undefined;
type Readers = Readonly<Record<string, Reader<unknown>>>;
export type SearchOf<R extends Readers> = { readonly [Name in keyof R]?: ReturnType<R[Name]> };

const text: Reader<string> = (value) => {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value.slice(0, 300) : undefined;
};
const day: Reader<string> = (value) =>
  typeof value === "string" && /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(value))
    ? value
    : undefined;
const instant: Reader<string> = (value) =>
  typeof value === "string" && !Number.isNaN(Date.parse(value))
    ? new Date(value).toISOString()
    : undefined;
const number: Reader<number> = (value) =>
  typeof value === "number" && Number.isInteger(value) && value > 0 ? value : undefined;
const flag: Reader<true> = (value) => value === true || undefined;
const oneOf =
  <const T extends string | number>(options: readonly T[]): Reader<T> =>
  (value) =>
    options.find((option) => option === value);

export function searchOf<R extends Readers>(readers: R) {
  return (raw: Record<string, unknown>): SearchOf<R> => {
    const found = Object.entries(readers).map(([name, read]) => [name, read(raw[name])] as const);
    // Each value was read by the reader of its own name.
    return Object.fromEntries(found.filter(([, value]) => value !== undefined)) as SearchOf<R>;
  };
}

export const WINDOWS_MIN = [15, 60, 360, 1_440] as const;
export const RANGES = ["1d", "7d", "30d", "90d", "month"] as const;
export type Range = (typeof RANGES)[number];

export const searches = {
  overview: searchOf({ minutes: oneOf(WINDOWS_MIN), view: oneOf(["table"]), live: oneOf(["off"]) }),
  requests: searchOf({
    status: oneOf(REQUEST_STATUSES),
    model: text,
    keyId: text,
    projectId: text,
    engineId: text,
    from: instant,
    to: instant,
    find: text,
    row: text,
    rows: number,
    live: oneOf(["off"]),
  }),
  usage: searchOf({ groupBy: oneOf(USAGE_GROUPS), range: oneOf(RANGES), from: day, to: day }),
  keys: searchOf({ add: flag, all: flag, find: text }),
  upstreams: searchOf({ add: flag }),
  prices: searchOf({ add: flag, model: text, find: text }),
  playground: searchOf({ model: text }),
  start: searchOf({ link: text }),
  projects: searchOf({ add: flag, edit: text }),
  signIn: searchOf({ next: text, why: text }),
};
