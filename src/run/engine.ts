// The engine role: opens its parts in order and closes them in reverse.

import type { StartRole } from "./role.ts";

export const startEngine: StartRole = () =>
  Promise.reject(new Error("the engine is not wired yet"));
