// The control role: opens its parts in order and closes them in reverse.

import type { StartRole } from "./role.ts";

export const startControl: StartRole = () =>
  Promise.reject(new Error("the control is not wired yet"));
