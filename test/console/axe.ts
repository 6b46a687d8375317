// What axe finds on a page in both themes and at each width. All rules run at the first width; the dark theme changes nothing but
// contrast, and another width nothing but sizes: what it shows has the colours and names that were tried already.

import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "playwright-core";

const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const COLOURS = ["color-contrast"];
const SIZES = ["target-size", "scrollable-region-focusable"];

interface Rule {
  readonly id: string;
  readonly nodes: readonly { readonly target: unknown; readonly failureSummary?: string }[];
}
interface Axe {
  run(root: Document, options: object): Promise<{ readonly violations: readonly Rule[] }>;
}
declare global {
  // What the builder leaves in the page.
  var axe: Axe | undefined;
}

export async function violations(page: Page, widths: readonly number[]): Promise<string[]> {
  const found: string[] = [];
  for (const [index, width] of widths.entries()) {
    await page.setViewportSize({ width, height: 900 });
    if (index > 0) {
      found.push(...(await analyse(page, SIZES, `${width}`)));
      continue;
    }
    found.push(...(await analyse(page, WCAG, `light ${width}`)));
    await page.emulateMedia({ colorScheme: "dark" });
    found.push(...(await analyse(page, COLOURS, `dark ${width}`)));
    await page.emulateMedia({ colorScheme: "light" });
  }
  return found;
}

async function analyse(page: Page, rules: readonly string[], view: string): Promise<string[]> {
  const broken = await run(page, rules);
  return broken.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${view}: ${id} at ${String(node.target)}: ${node.failureSummary ?? ""}`),
  );
}

/** The builder brings axe into the page, which is most of its cost; later runs on the same page use what it left there. */
async function run(page: Page, rules: readonly string[]): Promise<readonly Rule[]> {
  // Details of what passes would be most of the answer.
  const options = {
    runOnly: [...rules],
    resultTypes: ["violations" as const],
    iframes: false,
    preload: false,
  };
  if (await page.evaluate(() => globalThis.axe !== undefined))
    return page.evaluate(
      async (asked) => (await globalThis.axe?.run(document, asked))?.violations ?? [],
      options,
    );
  // In legacy mode axe runs in this page; otherwise it opens another one for its report.
  const first = new AxeBuilder({ page }).setLegacyMode(true).options(options);
  return (await first.analyze()).violations;
}
