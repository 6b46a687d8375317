// Sections: the bytes that travel and lie on disk. One JSON document a section, named by the SHA-256 of its bytes.
// Invariant: decode(encode(x)) = x; bigints travel as decimal strings in the two places that have them.

import { createHash } from "node:crypto";
import type { Meter } from "../billing/metering/types.ts";
import type { PriceVersion } from "../billing/prices/types.ts";
import type { SectionName, SnapshotData, SnapshotTenant } from "./types.ts";

type Wire<T, K extends keyof T, V> = Omit<T, K> & { readonly [key in K]: V };
type WireTenant = Wire<SnapshotTenant, "monthlySpendLimitPico", string | null>;
type WirePrice = Wire<PriceVersion, "picoPerUnit", Readonly<Record<string, string>>>;

const utf8 = new TextEncoder();

export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const toWireTenant = (tenant: SnapshotTenant): WireTenant => ({
  ...tenant,
  monthlySpendLimitPico: tenant.monthlySpendLimitPico?.toString() ?? null,
});

const fromWireTenant = (tenant: WireTenant): SnapshotTenant => ({
  ...tenant,
  monthlySpendLimitPico:
    tenant.monthlySpendLimitPico === null ? null : BigInt(tenant.monthlySpendLimitPico),
});

const toWirePrice = (price: PriceVersion): WirePrice => ({
  ...price,
  picoPerUnit: Object.fromEntries(
    Object.entries(price.picoPerUnit).map(([meter, pico]) => [meter, pico.toString()]),
  ),
});

const fromWirePrice = (price: WirePrice): PriceVersion => ({
  ...price,
  // The meters were checked when the price was written; the section's digest is signed.
  picoPerUnit: Object.fromEntries(
    Object.entries(price.picoPerUnit).map(([meter, text]) => [meter, BigInt(text)]),
  ) as Partial<Record<Meter, bigint>>,
});

export function encodeSection<N extends SectionName>(name: N, data: SnapshotData): Uint8Array {
  if (name === "tenants") return utf8.encode(JSON.stringify(data.tenants.map(toWireTenant)));
  if (name === "prices") return utf8.encode(JSON.stringify(data.prices.map(toWirePrice)));
  return utf8.encode(JSON.stringify(data[name]));
}

/** Only for bytes whose digest a signed manifest names: the shape is not checked again. Throws on broken JSON. */
export function decodeSection<N extends SectionName>(name: N, bytes: Uint8Array): SnapshotData[N] {
  const parsed: unknown = JSON.parse(new TextDecoder().decode(bytes));
  // Each cast restates what encodeSection wrote for that name; the compiler cannot follow a generic index here.
  if (name === "tenants")
    return (parsed as WireTenant[]).map(fromWireTenant) as unknown as SnapshotData[N];
  if (name === "prices")
    return (parsed as WirePrice[]).map(fromWirePrice) as unknown as SnapshotData[N];
  return parsed as SnapshotData[N];
}
