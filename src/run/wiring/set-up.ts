// What must be there before the roles start: tables; on the very first start a tenant, keys and prices; at each start the embedded
// engine at its address of today. Invariant: rows come from one transaction, and the admin key's file is written before it ends.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Transaction } from "kysely";
import { seedPrices } from "../../billing/prices/service.ts";
import { PriceFile } from "../../billing/prices/types.ts";
import type { Config } from "../../config.ts";
import { migrate } from "../../db/migrate.ts";
import type { DB } from "../../db/schema.gen.ts";
import { insertKey, NO_LIMITS } from "../../identity/keys/service.ts";
import {
  createFirstTenant,
  findFirstTenant,
  type FirstTenant,
} from "../../identity/orgs/service.ts";
import { isFault } from "../../kit/fault.ts";
import type { KeyId } from "../../kit/id.ts";
import { silentLog } from "../../kit/log.ts";
import type { MasterKey } from "../../kit/secret.ts";
import { indexArtifact } from "../../models/artifacts/index-writer.ts";
import { ensureEmbedded } from "../../zones/topology/embedded.service.ts";
import { replaceFile } from "../data-dir.ts";
import { readDefaultModel, type DefaultModel } from "./default-model.ts";
import { keysFrom, openFoundation, type Foundation } from "./foundation.ts";
import { createIdentity } from "./identity.ts";
import { ensureServed } from "./served-model.ts";

export interface SetUp {
  /** The secret of a one-time link. */
  readonly consoleLink: string;
  /** Undefined from the second start on. */
  readonly firstKey: string | undefined;
  readonly model: string;
}

export interface SetUpOptions {
  readonly databaseUrl: string;
  readonly master: MasterKey;
  readonly config: Config;
  readonly adminKeyFile: string;
}

/** The dated list of well-known models' prices that a new installation begins with. */
const PRICE_FILE = join(import.meta.dir, "..", "..", "..", "prices", "2026-11.json");

type Trx = Transaction<DB>;

function newKey(
  foundation: Foundation,
  trx: Trx,
  tenant: FirstTenant,
  kind: "live" | "admin",
  name: string,
) {
  const deps = { ...foundation, hmacKey: foundation.keys.derived("key-hmac") };
  const role = kind === "admin" ? ("owner" as const) : null;
  return insertKey(deps, trx, {
    ...tenant,
    kind,
    role,
    name,
    limits: NO_LIMITS,
    expiresAt: null,
  });
}

async function newAdminKey(
  foundation: Foundation,
  trx: Trx,
  tenant: FirstTenant,
  file: string,
): Promise<KeyId> {
  const { key, token } = await newKey(foundation, trx, tenant, "admin", "this machine");
  replaceFile(file, `${token}\n`);
  await foundation.audit(trx, {
    organisationId: tenant.organisationId,
    actor: "system",
    action: "key.create",
    subject: key.id,
    details: { kind: "admin", name: key.name },
  });
  return key.id as KeyId;
}

async function seedTenant(
  foundation: Foundation,
  trx: Trx,
  options: SetUpOptions,
  model: DefaultModel,
): Promise<{ readonly tenant: FirstTenant; readonly firstKey: string } | undefined> {
  const deps = { ...foundation, credentialKey: foundation.keys.derived("credential") };
  const tenant = await createFirstTenant(deps, trx);
  if (tenant === undefined) return undefined;
  await newAdminKey(foundation, trx, tenant, options.adminKeyFile);
  const { token } = await newKey(foundation, trx, tenant, "live", "first key");
  const shipped = PriceFile.parse(JSON.parse(readFileSync(PRICE_FILE, "utf8")));
  await seedPrices(foundation, trx, tenant.organisationId, shipped);
  await seedPrices(foundation, trx, tenant.organisationId, {
    ...shipped,
    prices: [
      {
        model: model.name,
        effectiveFrom: "2026-01-01T00:00:00Z",
        perMillion: model.perMillion,
        source: "the embedded engine's own price; set another with `intertie prices set`",
      },
    ],
  });
  await foundation.markSnapshotDirty(trx);
  return { tenant, firstKey: token };
}

/** Engine, model and deployment that ship with the product; writes nothing where nothing changed. */
async function ensureOwnEngine(
  foundation: Foundation,
  trx: Trx,
  { organisationId }: FirstTenant,
  config: Config,
  model: DefaultModel,
): Promise<void> {
  const deps = { ...foundation, credentialKey: foundation.keys.derived("credential") };
  const engineId = await ensureEmbedded(deps, trx, organisationId, {
    name: "embedded",
    baseUrl: `http://127.0.0.1:${config.INTERTIE_ENGINE_PORT}/v1`,
    bearer: foundation.keys.engineBearer,
  });
  const served = { ...model, outputTokensMax: null };
  await ensureServed(foundation, trx, organisationId, engineId, served);
}

/** The owner key that this machine keeps; made anew when the file is gone or its key was revoked. */
async function adminKeyId(
  foundation: Foundation,
  tenant: FirstTenant,
  file: string,
): Promise<KeyId> {
  const { keys } = createIdentity(foundation, false);
  try {
    return (await keys.admit(readFileSync(file, "utf8").trim())).id;
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (!missing && !isFault(error)) throw error;
    return foundation.inTransaction((trx) => newAdminKey(foundation, trx, tenant, file));
  }
}

export async function setUp(options: SetUpOptions): Promise<SetUp> {
  const { config } = options;
  const foundation = openFoundation(options.databaseUrl, keysFrom(options.master), silentLog);
  const model = readDefaultModel();
  try {
    await migrate(foundation.database.pool);
    indexArtifact(join(config.dataDir, "artifacts"), model.name, {
      file: model.path,
      digest: model.digest,
      contextTokens: model.contextTokens,
    });
    const { tenant, firstKey } = await foundation.inTransaction(async (trx) => {
      const seeded = await seedTenant(foundation, trx, options, model);
      const tenant = seeded?.tenant ?? (await findFirstTenant(trx));
      if (tenant === undefined) throw new Error("the database has firms, but no project");
      await ensureOwnEngine(foundation, trx, tenant, config, model);
      return { tenant, firstKey: seeded?.firstKey };
    });
    const keyId = await adminKeyId(foundation, tenant, options.adminKeyFile);
    const consoleLink = await createIdentity(foundation, false).sessions.createLink(keyId);
    return { consoleLink, firstKey, model: model.name };
  } finally {
    await foundation.database.close();
  }
}
