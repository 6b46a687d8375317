// What Postgres and the socket below it say when something fails, told apart by code, never by message text.

/** SQLSTATE 23505; with a constraint's name, only of that one. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return (
    hasCode(error, "23505") &&
    (constraint === undefined || ("constraint" in error && error.constraint === constraint))
  );
}

/** SQLSTATE 22023: a value that Postgres has no meaning for, such as a time zone's name. */
export function isInvalidParameter(error: unknown): boolean {
  return hasCode(error, "22023");
}

const GONE = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ENOTFOUND",
  "ETIMEDOUT",
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now
  "53300", // too_many_connections
  "08000",
  "08003",
  "08006",
]);

/** The database cannot be reached now; the same call may succeed later. */
export function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ("code" in error && typeof error.code === "string") return GONE.has(error.code);
  // pg's pool and client throw these two without a code.
  return /^(timeout exceeded when trying to connect|Connection terminated)/.test(error.message);
}

function hasCode(error: unknown, code: string): error is Error & { readonly code: string } {
  return error instanceof Error && "code" in error && error.code === code;
}
