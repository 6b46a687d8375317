// Writes docs/api/openapi.json and sdk/client.gen.ts from control's routes: `npm run generate`.
// Invariant: both files follow from the routes alone; generate.test.ts fails when one is out of date.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { format } from "oxfmt";
import { controlOpenApi } from "../src/run/routes.ts";
import { clientText } from "./client-text.ts";

const ROOT = join(import.meta.dir, "..");

export interface GeneratedFile {
  readonly path: string;
  readonly text: string;
}

export async function generateSdk(): Promise<readonly GeneratedFile[]> {
  const document = controlOpenApi();
  const client = await format("client.gen.ts", clientText(document));
  if (client.errors.length > 0)
    throw new AggregateError(
      client.errors.map(({ message }) => new Error(message)),
      "the generated client is no TypeScript",
    );
  return [
    {
      path: join(ROOT, "docs", "api", "openapi.json"),
      text: `${JSON.stringify(document, null, 2)}\n`,
    },
    { path: join(ROOT, "sdk", "client.gen.ts"), text: client.code },
  ];
}

if (import.meta.main) {
  for (const { path, text } of await generateSdk()) {
    writeFileSync(path, text);
    console.log(`wrote ${path}`);
  }
}
