// The pictures of the README and of docs/console.md, over the fixture.
//   bun test/console/pictures.ts [OUT_DIR]

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { openBrowser, openContext, type View } from "./browser.ts";
import { ONE_TIME_LINK, startFixture, type Fixture } from "./fixture-server.ts";
import { askInPlayground, signInByLink } from "./flows.ts";

const OUT = process.argv[2] ?? join(import.meta.dir, "../../docs/images");
const desktop = (theme: View["theme"]): View => ({ theme, width: 1_440, height: 900 });

interface Picture {
  readonly name: string;
  readonly view: View;
  readonly prepare: (page: Page, fixture: Fixture) => Promise<unknown>;
}

const open = (path: string, shows: string) => async (page: Page, fixture: Fixture) => {
  await page.goto(fixture.url + path);
  await page.getByText(shows).first().waitFor();
};

const PICTURES: readonly Picture[] = [
  {
    name: "console-overview",
    view: desktop("light"),
    prepare: open("/", "Spend by model"),
  },
  {
    name: "console-request",
    view: desktop("light"),
    prepare: async (page, fixture) => {
      const row = fixture.world.requests.find(
        ({ model, status }) => model === "gpt-5-mini" && status === "ok",
      );
      await open(`/requests?row=${row?.requestId ?? ""}.1`, "Posted to the ledger")(page, fixture);
    },
  },
  {
    name: "console-playground",
    view: desktop("dark"),
    prepare: (page) => askInPlayground(page, "What is a lantern?"),
  },
  {
    name: "console-phone",
    view: { theme: "dark", width: 390, height: 844 },
    prepare: open("/", "Spend by model"),
  },
];

mkdirSync(OUT, { recursive: true });
const fixture = await startFixture();
const browser = await openBrowser();
for (const { name, view, prepare } of PICTURES) {
  const context = await openContext(browser, view);
  const page = await context.newPage();
  await signInByLink(page, `${fixture.url}/start?link=${ONE_TIME_LINK}`);
  await prepare(page, fixture);
  await page.waitForLoadState("networkidle");
  await page.screenshot({ path: join(OUT, `${name}.png`) });
  await context.close();
}
await browser.close();
await fixture.stop();
