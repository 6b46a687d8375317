// A backup's form: a folder with manifest.json, tables/*.ndjson and gateways/…, packed as one .tar.gz by the system's tar.
// Invariants: every file is named in the manifest with its digest, and nothing that is not named is ever read back;
// the master key is not in it, only a fingerprint that tells whether a given key belongs to it.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { z } from "zod";
import { deriveKey, hmac, type MasterKey } from "../../kit/secret.ts";

const Digest = z.string().regex(/^[0-9a-f]{64}$/);
/** Relative, no way up: also what protects `restore` from a made-up archive. */
const SafePath = z.string().regex(/^(?!\/)(?!.*(?:^|\/)\.\.(?:\/|$))[\w.\-/]+$/);

export const Manifest = z.strictObject({
  format: z.literal(1),
  version: z.string(),
  takenAt: z.iso.datetime(),
  masterKeyFingerprint: z.string(),
  /** Names of the applied migrations, in order. */
  migrations: z.array(z.string()),
  tables: z.array(
    z.strictObject({ name: z.string().regex(/^[a-z_]+$/), rows: z.int(), file: SafePath }),
  ),
  /** Last value given, as decimal text. */
  sequences: z.record(z.string().regex(/^[a-z_]+$/), z.string().regex(/^\d+$/)),
  files: z.array(z.strictObject({ path: SafePath, bytes: z.int(), sha256: Digest })),
});
export type Manifest = z.infer<typeof Manifest>;

/** Tells keys apart without telling anything about them. */
export function fingerprintOf(master: MasterKey): string {
  return Buffer.from(hmac(deriveKey(master, "signing"), "backup fingerprint"))
    .toString("hex")
    .slice(0, 16);
}

export async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(path)) hash.update(bytes);
  return hash.digest("hex");
}

async function tar(args: readonly string[], doing: string): Promise<void> {
  const child = Bun.spawn(["tar", ...args], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const [code, text] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  if (code !== 0)
    throw new Error(
      `${doing} failed: ${text.trim().split("\n").at(-1) ?? `tar ended with ${code}`}`,
    );
}

export const pack = (folder: string, file: string) =>
  tar(["-czf", file, "-C", folder, "."], `writing ${file}`);
export const unpack = (file: string, folder: string) =>
  tar(["-xzf", file, "-C", folder, "--no-same-owner"], `reading ${file}`);

export const writeManifest = (folder: string, manifest: Manifest) =>
  writeFile(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`, {
    mode: 0o600,
  });

/** Paths of all that is in a folder; throws at a link or device, which no backup of ours holds. */
export async function plainFilesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => {
      const path = relative(folder, join(entry.parentPath, entry.name));
      if (entry.isFile()) return path;
      throw new Error(`the backup is damaged: ${path} is no plain file`);
    });
}

/** In the manifest with its digest, every one of them. */
async function refuseUnnamed(folder: string, { files, tables }: Manifest): Promise<void> {
  const named = new Set([...files.map((file) => file.path), "manifest.json"]);
  const found = [...(await plainFilesIn(folder)), ...tables.map((table) => table.file)];
  const unnamed = found.find((path) => !named.has(path));
  if (unnamed !== undefined)
    throw new Error(`the backup is damaged: its manifest does not name ${unnamed}`);
}

/** Reads the manifest and checks every file against it; throws naming the first that does not fit. */
export async function readManifest(folder: string): Promise<Manifest> {
  const text = await readFile(join(folder, "manifest.json"), "utf8").catch(() => {
    throw new Error("this is no Intertie backup: there is no manifest in it");
  });
  const parsed = Manifest.safeParse(JSON.parse(text));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new Error(
      `the backup's manifest is not one that this version reads: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`,
    );
  }
  await refuseUnnamed(folder, parsed.data);
  for (const file of parsed.data.files) {
    const digest = await digestOfFile(join(folder, file.path)).catch(() => "missing");
    if (digest !== file.sha256)
      throw new Error(
        `the backup is damaged: ${file.path} is ${digest === "missing" ? "missing" : "not what was written"}`,
      );
  }
  return parsed.data;
}
