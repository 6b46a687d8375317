// The frame of a page: its title takes focus when the route changes, and the corner holds what can be done.

import { useEffect, useRef, type ReactNode } from "react";
import { money, toPico, when } from "../format.ts";
import { useSettings } from "../settings.ts";

interface PageProps {
  readonly title: string;
  readonly children: ReactNode;
  /** One line: what this page answers. */
  readonly lede?: ReactNode;
  readonly actions?: ReactNode;
  /** Milliseconds or ISO: when the shown figures were read. */
  readonly asOf?: string | number | undefined;
}

let firstPage = true;

export function Page({ title, lede, actions, asOf, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Intertie`;
    // Arriving from outside, the browser's own order stands (address bar, skip link, …).
    if (!firstPage) heading.current?.focus({ preventScroll: true });
    firstPage = false;
  }, [title]);
  return (
    <>
      <header className="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          {lede ? <p className="lede">{lede}</p> : null}
        </div>
        <div className="page-corner">
          {asOf ? <AsOf at={asOf} /> : null}
          {actions}
        </div>
      </header>
      {children}
    </>
  );
}

function AsOf({ at }: { at: string | number }) {
  const { timeZone } = useSettings();
  return (
    <p className="as-of">
      as of <time dateTime={new Date(at).toISOString()}>{when(at, "clock", timeZone)}</time>
    </p>
  );
}

export type TimeName = "clock" | "moment" | "day" | "time";

export function Time({ at, style = "moment" }: { at: string; style?: TimeName }) {
  const { timeZone } = useSettings();
  return (
    <time dateTime={at} title={`${when(at, "full", timeZone)}`}>
      {when(at, style, timeZone)}
    </time>
  );
}

/** What is shown may be rounded; the exact amount of the ledger is in its title. */
export function Money({ amount, show }: { amount: string; show?: (amountPico: bigint) => string }) {
  return <span title={`$${amount}`}>{show ? show(toPico(amount)) : money(amount)}</span>;
}

export function Section({
  title,
  corner,
  children,
}: {
  title: string;
  corner?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className="section">
      <header>
        <h2>{title}</h2>
        {corner}
      </header>
      {children}
    </section>
  );
}
