// What axe finds on a page in both themes and at each width. All rules run once; what a width can change is tried at each,
// and what a theme can change, which is contrast, in both.

import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "playwright-core";

const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const SIZES = ["target-size", "color-contrast", "scrollable-region-focusable"];
const COLOURS = ["color-contrast"];

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
    for (const [theme, rules] of [
      ["light", index === 0 ? WCAG : SIZES],
      ["dark", COLOURS],
    ] as const) {
      await page.emulateMedia({ colorScheme: theme });
      for (const { id, nodes } of await analyse(page, rules))
        for (const { target, failureSummary } of nodes)
          found.push(`${theme} ${width}: ${id} at ${String(target)}: ${failureSummary ?? ""}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  return found;
}

/** The builder brings axe into the page, which is most of its cost; later runs on the same page use what it left there. */
async function analyse(page: Page, rules: readonly string[]): Promise<readonly Rule[]> {
  if (!(await page.evaluate(() => globalThis.axe !== undefined))) {
    // In legacy mode axe runs in this page; otherwise it opens another one for its report.
    const first = new AxeBuilder({ page }).setLegacyMode(true).withTags([...rules]);
    return (await first.analyze()).violations;
  }
  return page.evaluate(async (runOnly) => {
    const options = { runOnly: [...runOnly], resultTypes: ["violations"], iframes: false };
    return (await globalThis.axe?.run(document, options))?.violations ?? [];
  }, rules);
}
