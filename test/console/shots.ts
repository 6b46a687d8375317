// Pictures of every page over the fixture, to look at: desktop and phone, light and dark.
//   bun test/console/shots.ts OUT_DIR [PAGE…]

import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { openBrowser, openContext, watchErrors, type View } from "./browser.ts";
import { ONE_TIME_LINK, startFixture } from "./fixture-server.ts";
import { PAGES } from "./pages.ts";

const VIEWS: Readonly<Record<string, View>> = {
  light: { theme: "light", width: 1_440 },
  dark: { theme: "dark", width: 1_440 },
  phone: { theme: "light", width: 360, height: 780 },
  "phone-dark": { theme: "dark", width: 360, height: 780 },
};
const [out = "dist/shots", ...wanted] = process.argv.slice(2);
mkdirSync(resolve(out), { recursive: true });
const fixture = await startFixture();
const browser = await openBrowser();
for (const [viewName, view] of Object.entries(VIEWS)) {
  const context = await openContext(browser, view);
  const page = await context.newPage();
  const errors = watchErrors(page);
  await page.goto(`${fixture.url}/start?link=${ONE_TIME_LINK}`);
  await page.getByRole("heading", { level: 1, name: "Start" }).waitFor();
  for (const { name, path } of PAGES.filter(
    (one) => wanted.length === 0 || wanted.includes(one.name),
  )) {
    await page.goto(fixture.url + path(fixture.world));
    await page.waitForLoadState("networkidle");
    await page.screenshot({
      path: join(out, `${name}-${viewName}.png`),
      fullPage: viewName.startsWith("phone"),
    });
  }
  for (const error of errors) console.log(viewName, error.slice(0, 300));
  await context.close();
}
await browser.close();
await fixture.stop();
