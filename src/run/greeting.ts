// What `intertie up` prints when everything is ready: at most 14 lines, or one JSON line. Pure.
// Invariant: the first key is in it on the very first start only; nothing else ever shows it again.

export interface Greeting {
  readonly version: string;
  readonly dataDir: string;
  readonly exposure: "loopback" | "tls" | "behind-proxy";
  readonly apiUrl: string;
  readonly consoleLink: string;
  /** Undefined from the second start on. */
  readonly firstKey: string | undefined;
  readonly model: string;
  readonly readyMs: number;
}

const EXPOSURES = {
  loopback: "this machine only",
  tls: "open to the network, with TLS",
  "behind-proxy": "behind a proxy",
} as const;

function curlLine(greeting: Greeting): string {
  const key = greeting.firstKey ?? "$(npx intertie keys create --name curl --token)";
  const body = JSON.stringify({
    model: greeting.model,
    messages: [{ role: "user", content: "What is a lantern?" }],
  });
  return `curl -s ${greeting.apiUrl}/chat/completions -H "authorization: Bearer ${key}" -H "content-type: application/json" -d '${body}'`;
}

export function greetingText(greeting: Greeting): string {
  const key =
    greeting.firstKey === undefined
      ? "shown at the first start; make another: npx intertie keys create --name me"
      : `${greeting.firstKey}   (shown only now: keep it)`;
  return [
    `Intertie ${greeting.version} is ready (${(greeting.readyMs / 1000).toFixed(1)} s, ${EXPOSURES[greeting.exposure]})`,
    "",
    `  API      ${greeting.apiUrl}`,
    `  Console  ${greeting.consoleLink}   (opens once, within 30 minutes)`,
    `  Key      ${key}`,
    "",
    "  Try it",
    `  ${curlLine(greeting)}`,
    "",
    "  Then     npx intertie requests · npx intertie --help",
    `  Data     ${greeting.dataDir}   (Ctrl-C stops everything and keeps it)`,
    "",
  ].join("\n");
}

export function greetingJson(greeting: Greeting): string {
  return `${JSON.stringify({ ready: true, ...greeting, curl: curlLine(greeting) })}\n`;
}
