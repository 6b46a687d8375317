import { expect, test } from "bun:test";
import fc from "fast-check";
import { completionCommand } from "./completion.command.ts";
import { keysCommands } from "./keys.commands.ts";
import { settingsFrom, upCommand, versionCommand } from "./local.commands.ts";
import { modelsCommands } from "./models.commands.ts";
import { distance, nearest } from "./nearest.rules.ts";
import { csvOf, tableOf } from "./output.ts";
import { inputOf, parse } from "./parse.ts";
import { pricesCommands } from "./prices.commands.ts";
import { projectsCommands } from "./projects.commands.ts";
import { bytesText, progressText } from "./progress.ts";
import { runCli, type CliOptions } from "./run-cli.ts";
import { CliFault, type Command } from "./types.ts";
import { upstreamsCommands } from "./upstreams.commands.ts";
import { usageCommands } from "./usage.commands.ts";

const COMMANDS: readonly Command[] = [
  upCommand(async () => 0),
  ...keysCommands,
  ...projectsCommands,
  ...upstreamsCommands,
  ...pricesCommands,
  ...modelsCommands,
  ...usageCommands,
  versionCommand("1.2.3", "bun"),
];

interface Said {
  code: number;
  out: string;
  say: string;
}

async function type(
  line: readonly string[],
  control?: (request: Request, body: unknown) => Response,
  stdin = "",
): Promise<Said> {
  const said = { code: -1, out: "", say: "" };
  const server = control
    ? Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: async (request) =>
          control(request, request.body === null ? undefined : await request.json()),
      })
    : undefined;
  const options: CliOptions = {
    commands: COMMANDS,
    version: "1.2.3",
    out: (text) => void (said.out += text),
    say: (text) => void (said.say += text),
    stdin: async () => stdin,
    colour: false,
    lively: false,
    signal: new AbortController().signal,
    dataDir: (given) => given ?? ".intertie",
    reach: () => {
      if (!server)
        throw new CliFault(4, "key.missing", "no admin key", { hint: "set INTERTIE_ADMIN_KEY" });
      return { url: server.url.origin, adminKey: "it_admin_x" };
    },
  };
  said.code = await runCli(options, line);
  await server?.stop(true);
  return said;
}

test("flags may stand anywhere, with = or without", () => {
  for (const argv of [
    ["prices", "set", "m", "--input", "1", "--json"],
    ["--json", "prices", "set", "--input=1", "m"],
    ["prices", "--input", "1", "set", "m", "--json"],
  ]) {
    const parsed = parse(COMMANDS, argv);
    if (parsed.kind !== "command") throw new Error("no command");
    expect([
      parsed.command.words,
      parsed.input.args,
      parsed.input.text("input"),
      parsed.input.on("json"),
    ]).toEqual(["prices set", ["m"], "1", true]);
  }
});

test.each([
  [["kyes", "list"], "did you mean `intertie keys`?"],
  [["keys", "craete"], "did you mean `intertie keys create`?"],
  [["keys", "create", "--nmae", "x"], "did you mean --name?"],
  [["keys"], "keys create, keys list, keys revoke"],
  [["keys", "revoke"], "KEY_ID is missing"],
  [["keys", "revoke", "a", "b"], '"b" is one argument too many'],
  [["keys", "create", "--kind", "root"], '"root" is not one of live, test, admin'],
  [["keys", "create", "--name"], "--name needs a value"],
  [["keys", "create", "--requests-per-minute", "-3"], "is no whole number"],
  [["keys", "create", "--name", "a", "--name", "b"], "given twice"],
  [["up", "--port", "70000"], "--port"],
  [["requests", "--status", "bad"], "failures"],
  [["projects", "change", "support"], "at least one limit"],
  [["projects", "change", "support", "--monthly-spend-limit", "lots"], "250 or 99.50"],
  [["requests", "--limit", "0"], "--limit"],
  [["prices", "set", "m"], "--input"],
])("%p is refused as wrong usage and says how", async (line, hint) => {
  const said = await type(line, () => Response.json({}));
  expect(said.code).toBe(2);
  expect(said.out).toBe("");
  expect(said.say).toContain(hint);
});

test("any arguments end in a code, never in a crash", async () => {
  const word = fc.oneof(
    fc.constantFrom(
      "keys",
      "create",
      "up",
      "--json",
      "-o",
      "--",
      "-",
      "--help",
      "--name=",
      "usage",
    ),
    fc.string({ maxLength: 8 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(word, { maxLength: 6 }), async (line) => {
      const { code } = await type(line);
      expect([0, 1, 2, 4]).toContain(code);
    }),
    { numRuns: 300 },
  );
});

test("help goes to stdout, for the whole and for one command", async () => {
  expect((await type(["--help"])).out).toContain("upstreams add");
  expect((await type([])).code).toBe(0);
  const one = await type(["keys", "create", "-h"]);
  expect([one.code, one.say]).toEqual([0, ""]);
  expect(one.out).toContain("--expires WHEN");
  expect(one.out).toContain("Examples");
  for (const command of COMMANDS) expect(command.examples.length).toBeGreaterThan(0);
});

test("the token alone, for $(…): nothing else on stdout", async () => {
  const seen: unknown[] = [];
  const said = await type(
    ["keys", "create", "--name", "me", "--requests-per-minute", "60", "--token"],
    (request, body) => {
      seen.push([
        request.method,
        new URL(request.url).pathname,
        request.headers.get("authorization"),
        body,
      ]);
      return Response.json(
        {
          key: { id: "key_1", name: "me", kind: "live", createdAt: "2026-01-01T00:00:00Z" },
          token: "it_live_x",
        },
        { status: 201 },
      );
    },
  );
  expect(said).toEqual({ code: 0, out: "it_live_x\n", say: "" });
  expect(seen).toEqual([
    [
      "POST",
      "/api/v1/keys",
      "Bearer it_admin_x",
      {
        name: "me",
        kind: "live",
        limits: { requestsPerMinute: 60 },
      },
    ],
  ]);
});

test("an upstream's API key comes from stdin, never from a flag", async () => {
  const bodies: unknown[] = [];
  const said = await type(
    [
      "upstreams",
      "add",
      "openai",
      "https://api.openai.com/v1",
      "--api-key-stdin",
      "--model",
      "fast=gpt-4o-mini",
      "--json",
    ],
    (_request, body) => {
      bodies.push(body);
      return Response.json(
        {
          id: "engine_1",
          name: "openai",
          kind: "openai",
          baseUrl: "https://api.openai.com/v1",
          zone: "external",
          enabled: true,
          hasCredential: true,
          models: ["fast"],
          state: "unknown",
          probe: null,
        },
        { status: 201 },
      );
    },
    "sk-secret\n",
  );
  expect(bodies).toEqual([
    {
      name: "openai",
      baseUrl: "https://api.openai.com/v1",
      apiKey: "sk-secret",
      models: { fast: "gpt-4o-mini" },
      allowPrivateAddress: false,
    },
  ]);
  expect(JSON.parse(said.out)).toMatchObject({ id: "engine_1" });
  expect((await type(["upstreams", "add", "a", "b", "--api-key", "sk"])).say).toContain(
    "--api-key-",
  );
});

test.each([
  [401, "key.unknown", 4],
  [403, "permission.denied", 4],
  [402, "budget.exhausted", 3],
  [400, "request.invalid", 1],
  [503, "database.unavailable", 1],
])("an answer %p %p ends with exit code %p", async (status, code, exit) => {
  const failure = {
    error: { code, message: "no", field: "limits.x", hint: "do this", requestId: "req_1" },
  };
  const said = await type(["keys", "list"], () => Response.json(failure, { status }));
  expect(said.code).toBe(exit);
  expect(said.say).toContain("limits.x: no\n  do this\n  request req_1");
  const asJson = await type(["keys", "list", "--json"], () => Response.json(failure, { status }));
  expect(JSON.parse(asJson.say)).toEqual(failure);
  expect(asJson.out).toBe("");
});

test("a message that begins with its field is not given it twice", async () => {
  const error = { code: "request.invalid", message: "limits.x: no", field: "limits.x" };
  const said = await type(["keys", "list"], () => Response.json({ error }, { status: 400 }));
  expect(said.say).toContain("intertie: limits.x: no\n");
});

test("no key, no control, another version's answer", async () => {
  expect((await type(["usage"])).code).toBe(4);
  const wrong = await type(["usage"], () => Response.json({ rows: "many" }));
  expect([wrong.code, wrong.say.includes("rows")]).toEqual([1, true]);
});

test("tables align, CSV quotes and defuses formulas", () => {
  const columns = [
    { title: "name", read: (row: { a: string; n: number }) => row.a },
    { title: "n", read: (row: { a: string; n: number }) => row.n, align: "right" as const },
  ];
  expect(
    tableOf(
      [
        { a: "x", n: 1 },
        { a: "long", n: 100 },
      ],
      columns,
    ),
  ).toBe("name    n\nx       1\nlong  100");
  expect(csvOf([{ a: '=cmd(),"x"', n: -1 }], columns)).toBe('name,n\n"\'=cmd(),""x""",-1');
});

test("the nearest word is symmetric in edits and never far off", () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 8 }),
      fc.string({ maxLength: 8 }),
      (a, b) => distance(a, b) === distance(b, a) && (a !== b || distance(a, b) === 0),
    ),
  );
  expect(nearest("lsit", ["list", "test"])).toBe("list");
  expect(nearest("zzz", ["keys"])).toBeUndefined();
});

test("up's flags are settings", () => {
  const input = inputOf(
    [],
    new Map([
      ["port", ["0"]],
      ["gateways", ["2"]],
      ["behind-proxy", [""]],
    ]),
  );
  expect(settingsFrom(input)).toEqual({
    INTERTIE_GATEWAY_PORT: "0",
    INTERTIE_GATEWAYS: "2",
    INTERTIE_BEHIND_PROXY: "1",
  });
});

test("progress shows share, rate and time left", () => {
  expect(progressText("m", 50e6, 100e6, 10e6)).toContain(
    "50 %  50.0 MB of 100.0 MB  10.0 MB/s  5 s left",
  );
  expect(progressText("m", 5e6, undefined, 0)).toBe("m  5.0 MB");
  expect(bytesText(2.5e9)).toBe("2.50 GB");
});

test.each(["bash", "zsh", "fish"])("completion for %s knows every command", async (shell) => {
  const printed: string[] = [];
  const terminal = {
    format: "table",
    colour: false,
    lively: false,
    out: (text: string) => void printed.push(text),
    say: () => {},
    stdin: async () => "",
  } as const;
  const input = inputOf([shell], new Map());
  const control = () => Promise.reject(new Error("not used"));
  await completionCommand(() => COMMANDS).run(
    { terminal, dataDir: "", control, signal: new AbortController().signal },
    input,
  );
  for (const word of ["keys", "revoke", "upstreams", "--expires"])
    expect(printed.join("")).toContain(shell === "fish" ? word.replace("--", "") : word);
});
