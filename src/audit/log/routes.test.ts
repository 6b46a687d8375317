import { afterAll, beforeAll, expect, test } from "bun:test";
import { generateKeyPairSync, verify } from "node:crypto";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { openAsk, someone } from "../../http/ask.fixture.ts";
import { manualClock, systemDice } from "../../kit/clock.ts";
import { asId, type OrganisationId } from "../../kit/id.ts";
import { auditRoutes } from "./routes.ts";
import { checkpointText } from "./rules.ts";
import { createAuditService, openAudit, type AuditDeps, type AuditService } from "./service.ts";
import { AuditList } from "./types.ts";

const pair = generateKeyPairSync("ed25519");
const clock = manualClock();
const write = openAudit(clock, systemDice);
let database: TestDatabase;
let service: AuditService;
let ask: ReturnType<typeof openAsk>;

beforeAll(async () => {
  database = await openTestDatabase();
  service = createAuditService({
    inTransaction: (work) => database.db.transaction().execute(work),
    clock,
    privateKey: pair.privateKey,
  });
  ask = openAsk(auditRoutes(service));
});
afterAll(() => database.close());

const mine = asId<"org">("org_mine");
const theirs = asId<"org">("org_theirs");
const record = (organisationId: OrganisationId, subject: string) =>
  database.db.transaction().execute((trx) => {
    clock.advance(1);
    const details = { name: subject };
    return write(trx, { organisationId, actor: "key_1", action: "key.create", subject, details });
  });
const list = async (query = "", organisationId = mine) => {
  const as = someone(organisationId, ["audit.read"]);
  const { status, body } = await ask("GET", `/audit${query}`, { as });
  expect(status).toBe(200);
  return AuditList.parse(body);
};

test("200: before anything was numbered there is no entry and no checkpoint", async () => {
  await record(mine, "first");
  expect(await list()).toMatchObject({ items: [], checkpoint: null, next: null });
});

test("200: newest first, page after page, only one's own, under a checkpoint that its signature holds", async () => {
  for (const subject of ["second", "third"]) await record(mine, subject);
  await record(theirs, "not yours");
  await service.sequence();
  const page = await list("?limit=2");
  expect(page.items.map(({ subject }) => subject)).toEqual(["third", "second"]);
  expect(page.items[0]).toMatchObject({
    actor: "key_1",
    action: "key.create",
    details: { name: "third" },
  });
  await record(mine, "while you read");
  await service.sequence();
  const rest = await list(`?limit=2&cursor=${page.next ?? ""}`);
  expect([rest.items.map(({ subject }) => subject), rest.next]).toEqual([["first"], null]);
  expect((await list("", theirs)).items.map(({ subject }) => subject)).toEqual(["not yours"]);

  const { logId, checkpoint } = await list();
  const { size, root, signature } = checkpoint ?? { size: 0, root: "", signature: "" };
  const text = checkpointText(logId, size, Buffer.from(root, "base64"));
  expect(size).toBe(5);
  expect(verify(null, Buffer.from(text), pair.publicKey, Buffer.from(signature, "base64"))).toBe(
    true,
  );
});

test.each([
  ["limit", "limit=0"],
  ["limit", "limit=201"],
  ["cursor", "cursor=-1"],
  ["cursor", "cursor=1e3"],
])("400: %s in %s", async (field, query) => {
  const as = someone(mine, ["audit.read"]);
  expect(await ask("GET", `/audit?${query}`, { as })).toMatchObject({
    status: 400,
    body: { error: { code: "request.invalid", field } },
  });
});

test("401 and 403: it needs a credential and audit.read", async () => {
  expect(await ask("GET", "/audit")).toMatchObject({ status: 401 });
  expect(await ask("GET", "/audit", { as: someone(mine, ["keys.read"]) })).toMatchObject({
    status: 403,
    body: { error: { code: "permission.denied" } },
  });
});

test("500: an entry that was changed from outside is not shown as one that was logged", async () => {
  await database.pool.query(
    `update audit_leaves set entry = jsonb_set(entry, '{actor}', '"key_2"') where index = 0`,
  );
  expect(await ask("GET", "/audit", { as: someone(mine, ["audit.read"]) })).toMatchObject({
    status: 500,
    body: { error: { code: "internal" } },
  });
});

test.each([
  ["a leaf is another", "update audit_leaves set leaf = '\\x00' where index = 1"],
  ["the last leaf is gone", "delete from audit_leaves where index = 4"],
  ["a leaf has no checkpoint", "delete from audit_checkpoints where size = 5"],
])("a log that was changed from outside is never signed again: %s", async (_, change) => {
  const outside = await openTestDatabase();
  const inTransaction: AuditDeps["inTransaction"] = (work) =>
    outside.db.transaction().execute(work);
  const open = () => createAuditService({ inTransaction, clock, privateKey: pair.privateKey });
  const entry = { organisationId: mine, actor: "key_1", action: "a", subject: "s", details: {} };
  try {
    for (let n = 0; n < 5; n += 1) {
      await inTransaction((trx) => write(trx, entry));
      await open().sequence();
    }
    await outside.pool.query(change);
    await inTransaction((trx) => write(trx, entry));
    await expect(open().sequence()).rejects.toThrow("it was changed from outside");
  } finally {
    await outside.close();
  }
});
