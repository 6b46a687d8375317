// A stage for walk tests: scripted upstreams behind a gateway, all closed in reverse order after each test.

import { afterEach } from "bun:test";
import { openTestGateway, type TestGateway, type TestOptions } from "./gateway.ts";
import { openFakeUpstream, type FakeUpstream, type Play } from "./upstream.ts";

const closers: (() => unknown)[] = [];

/** Called once a test file. */
export function closeAfterEach(): void {
  afterEach(async () => {
    for (const close of closers.splice(0).toReversed()) await close();
  });
}

/** Something else to close after the test. */
export const later = (close: () => unknown) => void closers.push(close);

export async function upstream(play: Play): Promise<FakeUpstream> {
  const fake = await openFakeUpstream(play);
  closers.push(() => fake.close());
  return fake;
}

export function gateway(
  upstreams: readonly FakeUpstream[],
  options: TestOptions = {},
): TestGateway {
  const opened = openTestGateway(
    upstreams.map((fake) => fake.url),
    options,
  );
  closers.push(() => opened.close());
  return opened;
}

/** What the last settled fact holds, as plain lists. */
export const amounts = (gate: TestGateway): unknown =>
  gate
    .facts()
    .at(-1)
    ?.quantities.map(({ meter, amount, source }) => [meter, amount, source]);

/** Our own code of a refusal; reads the body so that the connection is free again. */
export async function code(response: Response): Promise<string | undefined> {
  await response.arrayBuffer();
  return response.headers.get("x-intertie-fault") ?? undefined;
}

export async function readText(
  response: Response,
  onChunk: (soFar: string) => void,
): Promise<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done) return text;
    text += decoder.decode(value, { stream: true });
    onChunk(text);
  }
}
