import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { generateSdk } from "./generate.ts";

const files = await generateSdk();

test.each(files.map(({ path, text }) => [basename(path), path, text] as const))(
  "%s is up to date with control's routes",
  (_name, path, text) => {
    const same = readFileSync(path, "utf8") === text;
    if (!same) throw new Error(`${path} is out of date: run \`npm run generate\` and commit it`);
    expect(same).toBe(true);
  },
);
