// `intertie keys …`: make, list and revoke the keys that callers present.

import type { Key, KeyInput, KeyList } from "../../sdk/client.gen.ts";
import { printObject, printRows, type Column } from "./output.ts";
import { findProject, LIMIT_FLAGS, limitsFrom } from "./projects.commands.ts";
import { usageFault, type Command, type Context, type Input } from "./types.ts";

const KINDS = ["live", "test", "admin"] as const;
const ROLES = ["owner", "operator", "developer", "finance", "auditor"] as const;

const stateOf = (key: Key) => {
  if (key.revokedAt) return "revoked";
  return key.expiresAt && Date.parse(key.expiresAt) < Date.now() ? "expired" : "active";
};

const COLUMNS: readonly Column<Key>[] = [
  { title: "id", read: (key) => key.id },
  { title: "name", read: (key) => key.name },
  { title: "kind", read: (key) => (key.role ? `${key.kind} (${key.role})` : key.kind) },
  { title: "state", read: stateOf },
  { title: "created", read: (key) => key.createdAt },
  { title: "expires", read: (key) => key.expiresAt },
];

const DURATION = /^(\d{1,5})([mhd])$/;
const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `90d`, `12h`, or a date. */
function expiryFrom(text: string | undefined, nowMs: number): string | undefined {
  if (text === undefined) return undefined;
  const match = DURATION.exec(text);
  const unit = match?.[2];
  if (match && (unit === "m" || unit === "h" || unit === "d"))
    return new Date(nowMs + Number(match[1]) * UNIT_MS[unit]).toISOString();
  const atMs = Date.parse(text);
  if (Number.isNaN(atMs))
    throw usageFault(
      `--expires: "${text}" is neither a duration (90d, 12h, 30m) nor a date (2027-01-31)`,
    );
  return new Date(atMs).toISOString();
}

const oneOf = <T extends string>(known: readonly T[], text: string | undefined) =>
  known.find((value) => value === text);

async function bodyFrom(context: Context, input: Input): Promise<KeyInput> {
  const kind = oneOf(KINDS, input.text("kind")) ?? "live";
  const project = input.text("project");
  return {
    name: input.text("name") ?? "cli",
    kind,
    limits: limitsFrom(input),
    role: kind === "admin" ? (oneOf(ROLES, input.text("role")) ?? "owner") : undefined,
    projectId: project === undefined ? undefined : (await findProject(context, project)).id,
    expiresAt: expiryFrom(input.text("expires"), Date.now()),
  };
}

const create: Command = {
  words: "keys create",
  summary: "make a key and print it once",
  flags: [
    { name: "name", value: "NAME", summary: "what it is for (default cli)" },
    {
      name: "kind",
      value: "KIND",
      choices: KINDS,
      summary: "live and test call models, admin signs in (default live)",
    },
    { name: "role", value: "ROLE", choices: ROLES, summary: "of an admin key (default owner)" },
    { name: "project", value: "PROJECT", summary: "name or id (default: the admin key's own)" },
    ...LIMIT_FLAGS,
    { name: "expires", value: "WHEN", summary: "90d, 12h, 30m or a date" },
    { name: "token", summary: "print the token alone, for $(…)" },
  ],
  examples: [
    "intertie keys create --name backend --requests-per-minute 600",
    "export KEY=$(intertie keys create --name me --token)",
  ],
  run: async (context, input) => {
    const control = await context.control();
    const created = await control.createKey(await bodyFrom(context, input));
    if (input.on("token")) context.terminal.out(created.token);
    else {
      const pairs = [
        ["key", created.token],
        ["id", created.key.id],
        ["name", created.key.name],
        ["kind", created.key.kind],
      ] as const;
      printObject(context.terminal, pairs, created);
      context.terminal.say("keep the key: it is not stored and will not be shown again");
    }
    return 0;
  },
};

const list: Command = {
  words: "keys list",
  summary: "list keys (never their secrets)",
  examples: ["intertie keys list", "intertie keys list --json"],
  run: async (context) => {
    const control = await context.control();
    const keys: Key[] = [];
    for (let cursor: string | null = ""; cursor !== null;) {
      const page: KeyList = await control.listKeys(cursor === "" ? {} : { cursor });
      keys.push(...page.items);
      cursor = page.next;
    }
    printRows(
      context.terminal,
      keys,
      COLUMNS,
      { items: keys, next: null },
      "no keys yet: intertie keys create --name me",
    );
    return 0;
  },
};

const revoke: Command = {
  words: "keys revoke",
  summary: "revoke a key; every gateway refuses it within 5 seconds",
  args: [{ name: "KEY_ID", required: true }],
  examples: ["intertie keys revoke key_01jd…"],
  run: async (context, input) => {
    const id = input.args[0] ?? "";
    const control = await context.control();
    await control.revokeKey(id);
    if (context.terminal.format === "json")
      context.terminal.out(JSON.stringify({ id, revoked: true }));
    else context.terminal.say(`revoked ${id}`);
    return 0;
  },
};

export const keysCommands: readonly Command[] = [create, list, revoke];
