import { afterAll, expect, test } from "bun:test";
import { callPinned, judgeAddress, resolveTarget } from "./egress.ts";

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/moved") return Response.redirect("http://169.254.169.254/", 302);
    if (pathname === "/large") return new Response("x".repeat(2_000_000));
    return Response.json({ host: request.headers.get("host") });
  },
});
afterAll(() => server.stop(true));

test("addresses are judged, also where IPv6 hides an IPv4 one", () => {
  const kinds = {
    "8.8.8.8": "public",
    "2606:4700::1111": "public",
    "127.0.0.1": "private",
    "10.1.2.3": "private",
    "192.168.1.1": "private",
    "172.31.0.1": "private",
    "100.64.0.1": "private",
    "::1": "private",
    "fd12::1": "private",
    "::ffff:10.0.0.1": "private",
    "::ffff:7f00:1": "private",
    "169.254.169.254": "never",
    "::ffff:169.254.169.254": "never",
    "fd00:ec2::254": "never",
    "fe80::1": "never",
    "0.0.0.0": "never",
    "::": "never",
    "224.0.0.1": "never",
    "255.255.255.255": "never",
    "64:ff9b::a00:1": "never",
    "2002:a00:1::": "never",
    localhost: "never",
  } as const;
  for (const [address, kind] of Object.entries(kinds))
    expect(`${address} ${judgeAddress(address)}`).toBe(`${address} ${kind}`);
});

const target = (url: string, allowPrivateAddress: boolean) => ({ url, allowPrivateAddress });

test("one bad address among many refuses the name; metadata is refused whatever is allowed", async () => {
  const mixed = async () => ["8.8.8.8", "10.0.0.1"];
  expect(resolveTarget(target("https://a.example", false), mixed)).rejects.toMatchObject({
    code: "upstream.forbidden_address",
    field: "baseUrl",
  });
  const metadata = async () => ["169.254.169.254"];
  expect(resolveTarget(target("http://a.example", true), metadata)).rejects.toMatchObject({
    code: "upstream.forbidden_address",
  });
  const open = async () => ["8.8.8.8"];
  expect(resolveTarget(target("http://a.example", true), open)).rejects.toThrow("https is needed");
  await expect(resolveTarget(target("http://a.example", true), mixed)).rejects.toThrow(
    "https is needed",
  );
  expect(await resolveTarget(target("https://a.example", false), open)).toBe("8.8.8.8");
});

test("the connection goes to the checked address, with the name in the Host header", async () => {
  const url = `http://models.example:${server.port}/v1/models`;
  const answer = await callPinned({ ...target(url, true), withinMs: 1000 }, async () => [
    "127.0.0.1",
  ]);
  expect(JSON.parse(answer.text)).toEqual({ host: `models.example:${server.port}` });
});

test("redirects are not followed, large answers are cut, a closed port is unreachable", async () => {
  const at = (path: string) => ({ ...target(`${server.url.origin}${path}`, true), withinMs: 1000 });
  expect((await callPinned(at("/moved"))).status).toBe(302);
  expect(callPinned(at("/large"))).rejects.toMatchObject({ code: "upstream.too_large" });
  expect(
    callPinned({ ...target("http://127.0.0.1:9", true), withinMs: 1000 }),
  ).rejects.toMatchObject({ code: "upstream.unreachable" });
});

test("a resolver that never answers is a timeout, not a wait without end", async () => {
  const stuck = () => new Promise<never>(() => {});
  const call = { ...target("https://a.example/v1", false), withinMs: 20 };
  await expect(callPinned(call, stuck)).rejects.toMatchObject({ code: "upstream.timeout" });
});
