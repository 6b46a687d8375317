// Debian's Chromium under playwright-core: one browser a test file, a fresh context for each theme and width.

import { existsSync } from "node:fs";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function openBrowser(): Promise<Browser> {
  const executablePath = PATHS.find(existsSync);
  if (!executablePath) throw new Error("no Chromium: apt-get install chromium");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

export interface View {
  readonly theme: "light" | "dark";
  readonly width: number;
  readonly height?: number;
}

export function openContext(
  browser: Browser,
  { theme, width, height = 900 }: View,
): Promise<BrowserContext> {
  return browser.newContext({
    colorScheme: theme,
    viewport: { width, height },
    reducedMotion: "reduce",
  });
}

/** Everything the pages asked for outside the address they came from. */
export function watchStrangers(context: BrowserContext, url: string): string[] {
  const strangers: string[] = [];
  context.on("request", (request) => {
    if (new URL(request.url()).origin !== url) strangers.push(request.url().slice(0, 200));
  });
  return strangers;
}

/** What the browser's console complained of, refusals of control apart. */
export function watchErrors(page: Page): string[] {
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("Failed to load resource"))
      errors.push(message.text());
  });
  return errors;
}
