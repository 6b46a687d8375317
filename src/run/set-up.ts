// Stand-in.
import type { Config } from "../config.ts";
import type { MasterKey } from "../kit/secret.ts";
import { migrate } from "../db/migrate.ts";
import { openDatabase } from "../db/database.ts";
export interface SetUp {
  readonly consoleLink: string;
  readonly firstKey: string | undefined;
  readonly model: string;
}
export async function setUp(o: {
  databaseUrl: string;
  master: MasterKey;
  config: Config;
  adminKeyFile: string;
}): Promise<SetUp> {
  const d = openDatabase(o.databaseUrl);
  await migrate(d.pool);
  await d.close();
  return { consoleLink: "x", firstKey: "it_live_x", model: "intertie-tiny" };
}
