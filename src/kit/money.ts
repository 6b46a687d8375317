// Money is bigint pico-units (10^-12) of a currency in code, numeric(38,0) in SQL, decimal strings in JSON; never a float.

export const PICO = 1_000_000_000_000n;

const DECIMAL = /^(-?)(\d{1,26})(?:\.(\d{1,12}))?$/;

/** '0.000123' → 123000000n; undefined when the text is no decimal with at most 12 places. */
export function parseDecimal(text: string): bigint | undefined {
  const match = DECIMAL.exec(text);
  if (!match) return undefined;
  const whole = BigInt(match[2] ?? "0") * PICO;
  const fraction = BigInt((match[3] ?? "").padEnd(12, "0"));
  return match[1] === "-" ? -(whole + fraction) : whole + fraction;
}

/** Exact, shortest: 1500000000000n → '1.5'. */
export function formatDecimal(amountPico: bigint): string {
  const sign = amountPico < 0n ? "-" : "";
  const absolute = amountPico < 0n ? -amountPico : amountPico;
  const fraction = (absolute % PICO).toString().padStart(12, "0").replace(/0+$/, "");
  return `${sign}${absolute / PICO}${fraction === "" ? "" : `.${fraction}`}`;
}

/** For people: two to six places, rounded half away from zero; '<$0.000001' is never shown as zero. */
export function formatUsd(amountPico: bigint): string {
  if (amountPico === 0n) return "$0.00";
  const absolute = amountPico < 0n ? -amountPico : amountPico;
  if (absolute < 1_000_000n) return amountPico < 0n ? ">-$0.000001" : "<$0.000001";
  const places = absolute >= PICO ? 2 : 6;
  const unit = 10n ** BigInt(12 - places);
  const rounded = (absolute + unit / 2n) / unit;
  const scale = 10n ** BigInt(places);
  const text = `${rounded / scale}.${(rounded % scale).toString().padStart(places, "0")}`;
  return `${amountPico < 0n ? "-" : ""}$${text}`;
}
