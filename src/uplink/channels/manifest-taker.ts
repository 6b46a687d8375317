// Hands manifests to the snapshot holder, and tries again when it was a section's bytes that did not come.
// Invariant: only the newest manifest is tried again, and never one that was refused for itself.

import type { Log } from "../../kit/log.ts";
import type { SnapshotManifest } from "../../snapshot/types.ts";
import type { ChannelDeps, GatewaySession } from "./gateway-session.ts";
import { pause } from "../../kit/pause.ts";
import { backoffMs } from "../rules.ts";
import { Manifest } from "../types.ts";

/** SnapshotHolder.offer: false when the manifest is refused, known, or its sections could not be fetched. */
export type OfferManifest = (manifest: SnapshotManifest) => Promise<boolean>;

export type ManifestTaker = (manifest: unknown, session: GatewaySession) => void;

function readManifest(raw: unknown, log: Log): SnapshotManifest | undefined {
  const parsed = Manifest.safeParse(raw);
  if (parsed.success) return parsed.data;
  log.error("uplink.manifest_unreadable", { reason: parsed.error.issues[0]?.path.join(".") ?? "" });
  return undefined;
}

export function createManifestTaker(deps: ChannelDeps, offer: OfferManifest): ManifestTaker {
  const { client, dice, log } = deps;
  let newest = 0;
  const take = async (manifest: SnapshotManifest, { signal }: GatewaySession) => {
    for (let attempt = 1; !signal.aborted && manifest.sequence === newest; attempt += 1) {
      const failures = client.sectionFailures;
      if ((await offer(manifest)) || client.sectionFailures === failures) return;
      await pause(backoffMs(attempt, dice.next()), signal);
    }
  };
  return (raw, session) => {
    const manifest = readManifest(raw, log);
    if (!manifest) return;
    newest = manifest.sequence;
    take(manifest, session).catch((error: unknown) =>
      log.error("uplink.manifest_failed", { reason: String(error) }),
    );
  };
}
