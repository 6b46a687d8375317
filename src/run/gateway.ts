// The gateway role: opens its parts in order and closes them in reverse.

import type { StartRole } from "./role.ts";

export const startGateway: StartRole = () =>
  Promise.reject(new Error("the gateway is not wired yet"));
