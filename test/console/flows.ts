// What a person does in the console, from sign-in to a paid answer. Given a page, an address and a credential, so that the same
// steps run over the fixture and over a whole stack. Each step ends when the console shows that it is done.

import type { Locator, Page } from "playwright-core";

const heading = (page: Page, name: string) => page.getByRole("heading", { name, exact: true });

export async function signInByLink(page: Page, link: string): Promise<void> {
  await page.goto(link);
  await heading(page, "Start").waitFor();
}

export async function signInByKey(page: Page, url: string, key: string): Promise<void> {
  await page.goto(url);
  await heading(page, "Sign in").waitFor();
  await page.getByLabel("Admin key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

export async function openPage(page: Page, name: string): Promise<void> {
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
  await heading(page, name).waitFor();
}

/** Presses Tab until the element has the focus; the way there is part of what is tried. */
export async function tabTo(page: Page, element: Locator, tabsMax = 60): Promise<void> {
  for (let tabs = 0; tabs < tabsMax; tabs += 1) {
    if (await element.evaluate((node) => node === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`${String(element)} cannot be reached by ${tabsMax} times Tab`);
}

/** Creates a live key without a pointer and returns its secret. */
export async function createKeyByKeyboard(page: Page, name: string): Promise<string> {
  await page.locator("body").press("g");
  await page.keyboard.press("k");
  await heading(page, "Keys").waitFor();
  await tabTo(page, page.getByRole("button", { name: "Create key" }));
  await page.keyboard.press("Enter");
  await heading(page, "Create key").waitFor();
  await page.keyboard.type(name);
  await page.keyboard.press("Enter");
  await heading(page, `Key ${name}`).waitFor();
  const secret = await page.getByRole("dialog").locator("pre").innerText();
  await tabTo(page, page.getByRole("button", { name: "I have kept it" }));
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  return secret.trim();
}

export interface Asked {
  readonly answer: string;
  readonly requestPath: string;
}

/** Sends a message and waits for the whole answer and its line in the ledger. */
export async function askInPlayground(page: Page, prompt: string): Promise<Asked> {
  await openPage(page, "Playground");
  await page.getByLabel("Message", { exact: true }).fill(prompt);
  await page.getByRole("button", { name: "Send" }).click();
  const turn = page.getByRole("article").last();
  const cost = turn.getByRole("link", { name: /\$/ });
  await cost.waitFor();
  return {
    answer: await turn.locator(".answer").innerText(),
    requestPath: (await cost.getAttribute("href")) ?? "",
  };
}

export async function openRequest(page: Page, path: string): Promise<string> {
  await page.getByRole("link", { name: /\$/ }).last().click();
  await page.waitForURL((url) => url.pathname === path);
  const verdict = page.locator(".verdict");
  await verdict.waitFor();
  return verdict.innerText();
}

/** The whole way on a fresh installation: link, key, answer, ledger. */
export async function firstMinutes(
  page: Page,
  link: string,
  keyName: string,
): Promise<Asked & { secret: string }> {
  await signInByLink(page, link);
  const secret = await createKeyByKeyboard(page, keyName);
  const asked = await askInPlayground(page, "What is a lantern?");
  await openRequest(page, asked.requestPath);
  return { ...asked, secret };
}
