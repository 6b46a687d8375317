// The worker role: opens its parts in order and closes them in reverse.

import type { StartRole } from "./role.ts";

export const startWorker: StartRole = () =>
  Promise.reject(new Error("the worker is not wired yet"));
