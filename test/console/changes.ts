// What the console changes, as cases of console.test.ts: an upstream from a refusal to its removal, a key, and who may not.

import { expect, test } from "bun:test";
import type { BrowserContext, Page } from "playwright-core";
import type { Fixture } from "./fixture-server.ts";

export interface Stage {
  readonly fixture: Fixture;
  readonly context: BrowserContext;
  /** Signed in. */
  readonly page: Page;
}

export function changes(stage: () => Stage): void {
  test("an upstream: refused at its field, added, tested, disabled, removed", async () => {
    const { fixture, page } = stage();
    await page.goto(`${fixture.url}/upstreams?add=true`);
    await page.getByLabel("Address").fill("http://10.0.0.9:8000/v1");
    await page.getByLabel("Name", { exact: true }).fill("new-vllm");
    await page.getByLabel("It is on this machine").uncheck();
    await page.getByRole("dialog").getByRole("button", { name: "Add upstream" }).click();
    await page.getByRole("alert").getByText("upstream.forbidden_address").waitFor();
    expect(await page.getByLabel("Address").getAttribute("aria-invalid")).toBe("true");
    await page.getByLabel("It is on this machine").check();
    await page.getByRole("dialog").getByRole("button", { name: "Add upstream" }).click();
    await page.getByRole("button", { name: "Test new-vllm" }).click();
    await page.getByRole("status").getByText("new-vllm: answered in 12 ms").waitFor();
    await page.getByRole("button", { name: "Disable new-vllm" }).click();
    await page.getByRole("button", { name: "Enable new-vllm" }).waitFor();
    await page.getByRole("button", { name: "Remove new-vllm" }).click();
    await page.getByRole("button", { name: "Remove upstream" }).click();
    await page.getByRole("link", { name: "new-vllm" }).waitFor({ state: "detached" });
  });

  test("a key: revoked after the consequence was said", async () => {
    const { fixture, page } = stage();
    await page.goto(`${fixture.url}/keys`);
    await page.getByRole("button", { name: "Revoke checkout-service" }).click();
    await page.getByText("Every gateway refuses it within 5 seconds.").waitFor();
    await page.getByRole("button", { name: "Revoke key" }).click();
    await page.getByRole("link", { name: "checkout-service" }).waitFor({ state: "detached" });
  });

  test("a role without the right sees no button that would be refused", async () => {
    const { fixture, context } = stage();
    const auditor = await context.newPage();
    await auditor.route("**/api/v1/session", async (route) => {
      const session = await (await route.fetch()).json();
      const permissions = session.principal.permissions.filter((name: string) =>
        name.endsWith(".read"),
      );
      await route.fulfill({
        json: { ...session, principal: { ...session.principal, permissions } },
      });
    });
    for (const [path, shows] of [
      ["/keys", "admin, owner"],
      ["/upstreams", "http://127.0.0.1:4120/v1"],
      ["/prices", "own engine"],
      ["/projects", "no limit"],
    ] as const) {
      await auditor.goto(fixture.url + path);
      await auditor.getByText(shows).first().waitFor();
      const buttons = await auditor.locator("main").getByRole("button").allInnerTexts();
      expect(buttons).toEqual([]);
    }
    await auditor.close();
  });
}
