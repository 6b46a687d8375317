// Commands that need no running control: up, run, backup, restore, version. What they do is injected: it lives in run/.
// Invariant: each flag of `up` is the same setting as one environment variable, so that both pass one schema.

import { usageFault, type Command, type FlagSpec, type Input } from "./types.ts";

/** Flag → the setting of config.ts that it overrides. */
const SETTINGS: Readonly<Record<string, string>> = {
  port: "INTERTIE_GATEWAY_PORT",
  "control-port": "INTERTIE_CONTROL_PORT",
  "engine-port": "INTERTIE_ENGINE_PORT",
  gateways: "INTERTIE_GATEWAYS",
  host: "INTERTIE_HOST",
  "tls-cert": "INTERTIE_TLS_CERT",
  "tls-key": "INTERTIE_TLS_KEY",
  "behind-proxy": "INTERTIE_BEHIND_PROXY",
  "data-dir": "INTERTIE_DATA_DIR",
};

const FLAGS: readonly FlagSpec[] = [
  {
    name: "port",
    value: "PORT",
    summary: "gateway: where programs call (default 4100; 0 takes a free one)",
  },
  { name: "control-port", value: "PORT", summary: "control: console and admin API (default 4110)" },
  {
    name: "engine-port",
    value: "PORT",
    summary: "the embedded engine, loopback only (default 4120)",
  },
  { name: "gateways", value: "N", summary: "gateway processes (default: one per core)" },
  { name: "host", value: "ADDRESS", summary: "address to listen on (default 127.0.0.1)" },
  { name: "tls-cert", value: "FILE", summary: "certificate chain in PEM, needed beyond loopback" },
  { name: "tls-key", value: "FILE", summary: "its private key" },
  {
    name: "behind-proxy",
    summary: "a proxy in front speaks TLS: listen beyond loopback without it",
  },
];

const NUMBERS: Readonly<Record<string, readonly [number, number]>> = {
  port: [0, 65_535],
  "control-port": [0, 65_535],
  "engine-port": [0, 65_535],
  gateways: [1, 256],
};

export function settingsFrom(input: Input): Record<string, string> {
  for (const [flag, [min, max]] of Object.entries(NUMBERS)) {
    const text = input.text(flag);
    const value = Number(text);
    if (text !== undefined && (!/^\d+$/.test(text) || value < min || value > max)) {
      throw usageFault(`--${flag}: "${text}" is no whole number from ${min} to ${max}`);
    }
  }
  const given = Object.entries(SETTINGS).filter(([flag]) => input.on(flag));
  return Object.fromEntries(
    given.map(([flag, name]) => [name, flag === "behind-proxy" ? "1" : (input.text(flag) ?? "")]),
  );
}

export function upCommand(
  start: (settings: Readonly<Record<string, string>>, json: boolean) => Promise<number>,
): Command {
  return {
    words: "up",
    summary: "start everything on this machine: Postgres, control, worker, engine, gateways",
    flags: FLAGS,
    examples: [
      "intertie up",
      "intertie up --port 8080 --gateways 1",
      "intertie up --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem",
    ],
    run: (context, input) => start(settingsFrom(input), context.terminal.format === "json"),
  };
}

/** One role alone, as `up` starts them; configured by the environment only. For several machines or another supervisor. */
export function runRoleCommand(start: (role: string) => Promise<number>): Command {
  return {
    words: "run",
    summary:
      "start one role alone (control, worker, engine, gateway), configured by the environment",
    args: [{ name: "ROLE", required: true }],
    examples: ["INTERTIE_CONTROL_URL=https://control.example INTERTIE_SLOT=0 intertie run gateway"],
    run: (_context, input) => start(input.args[0] ?? ""),
  };
}

export function backupCommand(
  backup: (options: {
    readonly dataDir: string;
    readonly file: string;
    readonly say: (text: string) => void;
  }) => Promise<{ readonly file: string }>,
): Command {
  return {
    words: "backup",
    summary:
      "write one consistent copy of the database and the journals; works while everything runs",
    flags: [
      { name: "to", value: "FILE", summary: "where to (default intertie-backup-TIME.tar.gz here)" },
    ],
    examples: ["intertie backup --to /backups/intertie.tar.gz"],
    run: async ({ dataDir, terminal }, input) => {
      const file =
        input.text("to") ??
        `intertie-backup-${new Date().toISOString().replace(/[-:]|\.\d+/g, "")}.tar.gz`;
      const made = await backup({ dataDir, file, say: terminal.say });
      terminal.out(terminal.format === "json" ? JSON.stringify(made) : made.file);
      terminal.say(
        "the master key is NOT in it: keep a copy of the key file elsewhere, without it the backup cannot be used",
      );
      return 0;
    },
  };
}

export function restoreCommand(
  restore: (options: {
    readonly dataDir: string;
    readonly file: string;
    readonly keyFile: string | undefined;
    readonly say: (text: string) => void;
  }) => Promise<unknown>,
): Command {
  return {
    words: "restore",
    summary: "fill an empty data folder (or an empty DATABASE_URL) from a backup",
    flags: [
      { name: "from", value: "FILE", summary: "the backup" },
      { name: "key-file", value: "FILE", summary: "the master key that belongs to it" },
    ],
    examples: [
      "intertie restore --from intertie-backup.tar.gz --key-file master.key --data-dir restored",
    ],
    run: async ({ dataDir, terminal }, input) => {
      const file = input.text("from");
      if (file === undefined) throw usageFault("restore: --from FILE is missing");
      const made = await restore({
        dataDir,
        file,
        keyFile: input.text("key-file"),
        say: terminal.say,
      });
      if (terminal.format === "json") terminal.out(JSON.stringify(made));
      else
        terminal.say(
          `restored into ${dataDir}: start it with \`intertie up --data-dir ${dataDir}\``,
        );
      return 0;
    },
  };
}

export function versionCommand(version: string, runtime: string): Command {
  return {
    words: "version",
    summary: "print the version",
    examples: ["intertie version"],
    run: async ({ terminal }) => {
      terminal.out(terminal.format === "json" ? JSON.stringify({ version, runtime }) : version);
      return 0;
    },
  };
}
