import { expect, test } from "bun:test";
import { asId } from "../../kit/id.ts";
import type { SnapshotEngine } from "../../snapshot/types.ts";
import { openEgress } from "./egress.ts";

const engineAt = (baseUrl: string, more: Partial<SnapshotEngine> = {}): SnapshotEngine => ({
  id: asId("engine_a"),
  ref: 1,
  name: "a",
  kind: "openai",
  baseUrl,
  credentialSealed: null,
  allowPrivateAddress: false,
  zoneId: asId("zone_a"),
  zoneRef: 1,
  zoneName: "z",
  zoneJurisdiction: "ZZ",
  ...more,
});

test("the connection goes to the address that was judged, under the engine's own name", async () => {
  const egress = openEgress(
    () => 0,
    () => Promise.resolve(["93.184.216.34"]),
  );
  expect(await egress.destination(engineAt("https://models.example:8443/v1/"))).toEqual({
    origin: "https://93.184.216.34:8443",
    path: "/v1",
    host: "models.example:8443",
    serverName: "models.example",
  });
});

test("a name is asked for once in 30 s, and judged anew afterwards", async () => {
  let nowMs = 0;
  const answers = ["93.184.216.34", "169.254.169.254"];
  let asked = 0;
  const egress = openEgress(
    () => nowMs,
    () => Promise.resolve([answers[asked++] ?? ""]),
  );
  const engine = engineAt("https://models.example/v1");
  const first = await egress.destination(engine);
  nowMs = 29_999;
  expect(egress.destination(engine)).toBe(first);
  nowMs = 30_000;
  const again = Promise.resolve(egress.destination(engine));
  await expect(again).rejects.toMatchObject({ code: "upstream.forbidden_address" });
  expect(asked).toBe(2);
});

test.each([
  ["http://127.0.0.1:4120/v1", { kind: "embedded" as const }, true],
  ["http://127.0.0.1:4120/v1", {}, false],
  ["http://[::ffff:169.254.169.254]/v1", { kind: "embedded" as const }, false],
  ["http://169.254.169.254/v1", { allowPrivateAddress: true }, false],
  ["http://10.0.0.5/v1", { allowPrivateAddress: true }, true],
])("%s as %p: called %p", async (baseUrl, more, called) => {
  const egress = openEgress(() => 0);
  const outcome = await Promise.resolve(egress.destination(engineAt(baseUrl, more))).then(
    () => true,
    () => false,
  );
  expect(outcome).toBe(called);
});

test.each([
  ["https://inside.example/v1", "10.0.0.5", false],
  ["https://metadata.example/v1", "169.254.169.254", true],
  ["http://open.example/v1", "93.184.216.34", true],
])("%s at %s is never called", async (baseUrl, address, allowPrivateAddress) => {
  const egress = openEgress(
    () => 0,
    () => Promise.resolve([address]),
  );
  const found = Promise.resolve(egress.destination(engineAt(baseUrl, { allowPrivateAddress })));
  await expect(found).rejects.toMatchObject({ code: "upstream.forbidden_address" });
});
