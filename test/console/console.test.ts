// The console in a real browser over the fixture: every page in both themes and at two widths, and what a person does in it.

import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { violations } from "./axe.ts";
import { openBrowser, openContext, watchErrors, watchStrangers } from "./browser.ts";
import { changes } from "./changes.ts";
import { isFailure } from "./fixture-answers.ts";
import { ONE_TIME_LINK, startFixture, type Fixture } from "./fixture-server.ts";
import {
  askInPlayground,
  createKeyByKeyboard,
  firstMinutes,
  openPage,
  signInByKey,
  signInByLink,
} from "./flows.ts";
import { PAGES } from "./pages.ts";

setDefaultTimeout(60_000);
const [DESKTOP, PHONE] = [1_440, 360];
const SHELL_BYTES_MAX = 250_000;

let fixture: Fixture;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let errors: string[];
let strangers: string[];
const linkOf = (server: Fixture) => `${server.url}/start?link=${ONE_TIME_LINK}`;
const heading = (name: string) => page.getByRole("heading", { name, exact: true });
const goTo = (path: string) => page.goto(fixture.url + path);

beforeAll(async () => {
  [fixture, browser] = await Promise.all([startFixture(), openBrowser()]);
  context = await openContext(browser, { theme: "light", width: 1_440 });
  strangers = watchStrangers(context, fixture.url);
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
  errors = watchErrors(page);
});
beforeEach(async () => {
  await page.setViewportSize({ width: DESKTOP, height: 900 });
});
afterAll(async () => {
  await browser.close();
  await fixture.stop();
});

describe("signing in", () => {
  test("a one-time link opens the start page and leaves the address bar", async () => {
    await signInByLink(page, linkOf(fixture));
    expect(page.url()).toBe(`${fixture.url}/start`);
    await page.getByRole("button", { name: "Sign out" }).click();
    await heading("Sign in").waitFor();
  });

  test("a link that was used says so and asks for a key", async () => {
    await goTo("/start?link=used-before");
    await page.getByText("This one-time link has been used").waitFor();
    expect(page.url()).not.toContain("used-before");
  });

  test("a wrong key is refused at its field; a right one leads to the page that was asked for", async () => {
    await signInByKey(page, `${fixture.url}/usage?groupBy=key`, "it_admin_wrong");
    await page.getByRole("alert").getByText("key.unknown").waitFor();
    expect(await page.getByLabel("Admin key").getAttribute("aria-invalid")).toBe("true");
    await page.getByLabel("Admin key").fill(fixture.adminKey);
    await page.getByRole("button", { name: "Sign in" }).click();
    await heading("Usage").waitFor();
    expect(new URL(page.url()).search).toBe("?groupBy=key");
  });

  test("a session that ended leads to sign-in once, and back to the same view", async () => {
    await goTo("/usage?groupBy=engine");
    await heading("Usage").waitFor();
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await context.clearCookies();
    await page.getByRole("link", { name: "Key", exact: true }).click();
    await heading("Sign in").waitFor();
    expect(asked.filter((url) => url.endsWith("/session")).length).toBeLessThan(5);
    page.removeAllListeners("request");
    await page.getByLabel("Admin key").fill(fixture.adminKey);
    await page.getByRole("button", { name: "Sign in" }).click();
    await heading("Usage").waitFor();
    expect(new URL(page.url()).search).toBe("?groupBy=key");
  });

  test("the address to come back to is never another site's", async () => {
    await goTo("/sign-in?next=//evil.example/");
    await page.getByLabel("Admin key").fill(fixture.adminKey);
    await page.getByRole("button", { name: "Sign in" }).click();
    await heading("Overview").waitFor();
    expect(page.url()).toBe(`${fixture.url}/`);
  });
});

describe("every page has its heading and its data, fits a phone, and axe finds nothing", () => {
  test.each(PAGES.map((one) => [one.name, one] as const))("%s", async (_, one) => {
    errors.length = 0;
    await goTo(one.path(fixture.world));
    await heading(one.heading).waitFor();
    await page.getByText(one.shows).first().waitFor();
    expect(await violations(page, [DESKTOP, PHONE])).toEqual([]);
    const excess = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(excess).toBe(0);
    expect(errors).toEqual([]);
  });

  test("also on the phone with the menu open, and before signing in", async () => {
    await page.setViewportSize({ width: 360, height: 780 });
    await page.getByRole("link", { name: "Overview" }).click();
    await page.getByRole("button", { name: "Menu" }).click();
    await page.getByRole("navigation").getByRole("link", { name: "Zones" }).waitFor();
    expect(await violations(page, [PHONE])).toEqual([]);
    await page.getByRole("navigation").getByRole("link", { name: "Zones" }).click();
    await heading("Zones").waitFor();
    expect(await page.getByRole("link", { name: "Prices" }).isVisible()).toBe(false);
    const stranger = await openContext(browser, { theme: "light", width: 360 });
    const before = page;
    page = await stranger.newPage();
    await goTo("/keys");
    await heading("Sign in").waitFor();
    expect(await violations(page, [PHONE])).toEqual([]);
    await stranger.close();
    page = before;
  });
});

describe("by keyboard alone", () => {
  test("a key is created, its secret is shown once, and the focus comes back visible", async () => {
    await goTo("/");
    await heading("Overview").waitFor();
    const secret = await createKeyByKeyboard(page, "by-keyboard");
    expect(secret).toStartWith("it_live_");
    const focused = page.locator(":focus-visible");
    expect(await focused.innerText()).toBe("Create key");
    expect(await focused.evaluate((node) => getComputedStyle(node).outlineStyle)).toBe("solid");
    await page.getByRole("link", { name: "by-keyboard" }).waitFor();
    expect(await page.content()).not.toContain(secret);
    await page.reload();
    await page.getByRole("link", { name: "by-keyboard" }).waitFor();
    expect(await page.content()).not.toContain(secret);
  });

  test("Escape closes a dialog and gives the focus back to what opened it", async () => {
    await page.getByRole("button", { name: "Revoke by-keyboard" }).focus();
    await page.keyboard.press("Enter");
    await heading("Revoke by-keyboard?").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await page.locator(":focus").getAttribute("aria-label")).toBe("Revoke by-keyboard");
  });

  test("rows are walked with j and k, opened with Enter, closed with Escape; ? lists the keys", async () => {
    await goTo("/requests?rows=20");
    await page.getByRole("row").nth(2).waitFor();
    for (const key of ["j", "j", "k", "j"]) await page.keyboard.press(key);
    const chosen = fixture.world.requests[1]?.requestId ?? "";
    await page.getByRole("complementary", { name: "Chosen request" }).waitFor();
    expect(new URL(page.url()).searchParams.get("row")).toBe(`${chosen}.1`);
    await page.keyboard.press("Escape");
    await page.getByRole("complementary").waitFor({ state: "detached" });
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await heading("Request").waitFor();
    await page.keyboard.press("?");
    await heading("Keyboard").waitFor();
    await page.keyboard.press("Escape");
  });

  test("a chart is read with the arrows and opens its rows", async () => {
    await goTo("/");
    const chart = page.getByRole("slider", { name: /^Requests/ });
    await chart.press("Home");
    const first = await chart.getAttribute("aria-valuetext");
    await chart.press("ArrowRight");
    expect(await chart.getAttribute("aria-valuetext")).not.toBe(first);
    await chart.press("Enter");
    await heading("Requests").waitFor();
    const span = new URL(page.url()).searchParams;
    expect(Date.parse(span.get("to") ?? "") - Date.parse(span.get("from") ?? "")).toBe(60_000);
  });
});

/** Waits until the table has just so many rows. */
async function rowsAre(count: number): Promise<void> {
  expect(count).toBeGreaterThan(0);
  await heading("Requests").waitFor();
  await page.locator(`tbody tr:nth-child(${count}):last-child`).waitFor();
}

describe("what is seen is in the address", () => {
  test("filters survive a reload, and back brings the earlier view again", async () => {
    await goTo("/usage");
    await page.getByRole("link", { name: "gpt-5-mini" }).click();
    await heading("Requests").waitFor();
    await page.getByLabel("Outcome").selectOption("failures");
    await page.getByLabel("Find").fill("openai");
    await page.waitForURL(/find=openai/);
    const { from = "", to = "" } = Object.fromEntries(new URL(page.url()).searchParams);
    const expected = fixture.world.requests.filter(
      (row) => row.model === "gpt-5-mini" && isFailure(row) && row.at >= from && row.at < to,
    ).length;
    await rowsAre(expected);
    await page.reload();
    await rowsAre(expected);
    expect(await page.getByLabel("Find").inputValue()).toBe("openai");
    expect(await page.getByLabel("Outcome").inputValue()).toBe("failures");
    await page.goBack();
    await heading("Usage").waitFor();
    await page.goForward();
    await heading("Requests").waitFor();
    expect(await page.getByLabel("Find").inputValue()).toBe("openai");
  });

  test("a number leads to exactly its rows", async () => {
    await goTo("/usage?range=7d&groupBy=key");
    const cells = page.getByRole("row", { name: /checkout-service/ }).getByRole("cell");
    const failed = await cells.nth(4).innerText();
    await cells.nth(4).getByRole("link").click();
    await rowsAre(Number(failed));
  });

  test("times are told in one reporting zone, chosen once for all pages", async () => {
    await goTo("/requests?rows=20");
    const time = page.locator("tbody time").first();
    const utc = await time.innerText();
    await page.getByLabel("Reporting time zone").selectOption("Asia/Tokyo");
    expect(await time.innerText()).not.toBe(utc);
    await page.getByLabel("Reporting time zone").selectOption("UTC");
    expect(await time.innerText()).toBe(utc);
  });
});

/** Lets the page's clock run ahead until the element is there, or gone; the network keeps its own time in between. */
async function passUntil(live: Page, element: Locator, state: "visible" | "hidden"): Promise<void> {
  const isSo = () =>
    element.waitFor({ state, timeout: 300 }).then(
      () => true,
      () => false,
    );
  while (!(await isSo())) await live.clock.fastForward(2_000);
}

describe("live", () => {
  test("rows do not move under the pointer: what is new waits behind a button", async () => {
    const live = await context.newPage();
    await live.clock.install();
    await live.goto(`${fixture.url}/requests?rows=20`);
    const first = live.locator("tbody tr").first();
    await first.hover();
    const before = await first.getAttribute("data-row");
    const newest = fixture.world.requests[0];
    if (!newest) throw new Error("the fixture has no requests");
    fixture.world.requests.unshift({
      ...newest,
      requestId: "req_brand_new",
      at: new Date().toISOString(),
    });
    await live.clock.fastForward(4_500);
    await live.getByRole("button", { name: "Show 1 new" }).waitFor();
    expect(await first.getAttribute("data-row")).toBe(before);
    await live.getByRole("button", { name: "Show 1 new" }).click();
    expect(await first.getAttribute("data-row")).toBe("req_brand_new.1");
    await live.close();
  });

  test("when control is away the page says so, keeps what it had, and goes on by itself", async () => {
    const live = await context.newPage();
    await live.clock.install();
    await live.goto(`${fixture.url}/`);
    await live.getByRole("heading", { name: "Spend by model" }).waitFor();
    await live.route("**/api/v1/**", (route) => route.abort());
    const away = live.getByText("control.unreachable").first();
    await passUntil(live, away, "visible");
    expect(await live.locator(".totals").isVisible()).toBe(true);
    await live.unroute("**/api/v1/**");
    await passUntil(live, away, "hidden");
    await live.close();
  });
});

describe("the playground", () => {
  test("shows words as they come, then what the ledger says they cost", async () => {
    const release = fixture.holdChats();
    await openPage(page, "Playground");
    await page.getByRole("button", { name: "Send" }).click();
    const answer = page.locator(".turn .answer");
    await page.getByText("there was a lighthouse keeper").waitFor();
    expect(await answer.getAttribute("aria-busy")).toBe("true");
    release();
    await page.getByRole("article").getByRole("link", { name: /\$/ }).waitFor();
    expect((await answer.innerText()).trim()).toEndWith("every ship had a name.");
    expect(await page.getByRole("article").innerText()).toContain("5 in, 16 out");
  });

  test("stops when told to, and tells a refusal with its code", async () => {
    fixture.holdChats();
    await page.getByLabel("Message", { exact: true }).fill("and then");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("article").last().getByText("lighthouse").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Stopped.").waitFor();
    await page.getByLabel("Model").selectOption("qwen3-4b");
    await page.getByLabel("Message", { exact: true }).fill("again");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("model.unpriced").waitFor();
    fixture.holdChats()();
  });
});

describe("changing things", () => changes(() => ({ fixture, context, page })));

test("an empty installation says on every page what to do first", async () => {
  const empty = await startFixture({ empty: true });
  const fresh = await openContext(browser, { theme: "dark", width: DESKTOP });
  const before = page;
  page = await fresh.newPage();
  await signInByLink(page, linkOf(empty));
  for (const [name, title, action] of [
    ["Overview", "No requests in this window", "Make the first call"],
    ["Requests", "No requests yet", "Open the playground"],
    ["Usage", "Nothing was used in these days", "Show 90 days"],
    ["Zones", "No zones", "Add an upstream"],
    ["Upstreams", "No upstreams", "Add upstream"],
    ["Playground", "No model to ask", "Add an upstream"],
    ["Keys", "No keys yet", "Create key"],
    ["Projects", "No projects", "Create project"],
    ["Prices", "No prices yet", "Set a price"],
  ] as const) {
    await openPage(page, name);
    await heading(title).waitFor();
    expect(await page.locator(".empty").getByText(action).count()).toBe(1);
  }
  expect(await violations(page, [PHONE])).toEqual([]);
  page = before;
  await fresh.close();
  await empty.stop();
});

test("the first minutes as one flow, and nothing was ever asked of another address", async () => {
  const { secret, answer, requestPath } = await firstMinutes(
    page,
    linkOf(fixture),
    "first-minutes",
  );
  expect(secret).toStartWith("it_live_");
  expect(answer).toContain("lighthouse");
  expect(requestPath).toStartWith("/requests/req_");
  expect(await askInPlayground(page, "and then?")).toMatchObject({ requestPath });
  expect(strangers).toEqual([]);
});

test("what a first visit loads is at most 250 KB, compressed and kept", async () => {
  const visitor = await openContext(browser, { theme: "light", width: 1_440 });
  const first = await visitor.newPage();
  const loaded: Promise<readonly [string, number, string]>[] = [];
  first.on("requestfinished", (request) => {
    if (request.url().includes("/api/")) return;
    loaded.push(
      (async () => {
        const response = await request.response();
        const { responseBodySize } = await request.sizes();
        const kept = (await response?.headerValue("cache-control")) ?? "";
        return [request.resourceType(), responseBodySize, kept] as const;
      })(),
    );
  });
  await first.goto(`${fixture.url}/sign-in`);
  await first.getByRole("heading", { name: "Sign in" }).waitFor();
  await first.evaluate(() => document.fonts.ready.then(() => undefined));
  const parts = await Promise.all(loaded);
  expect(parts.map(([type]) => type)).toEqual(
    expect.arrayContaining(["document", "script", "stylesheet", "font"]),
  );
  const bytes = parts.reduce((sum, [, size]) => sum + size, 0);
  expect(bytes).toBeGreaterThan(100_000);
  expect(bytes).toBeLessThanOrEqual(SHELL_BYTES_MAX);
  for (const [type, , kept] of parts)
    expect([type, kept]).toEqual([
      type,
      type === "document" ? "no-store" : "public, max-age=31536000, immutable",
    ]);
  await visitor.close();
});
