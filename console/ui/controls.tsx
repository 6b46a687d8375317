// Small parts every page uses: buttons, copying, badges, choices. All are plain HTML elements with a name and a visible focus.

import { Link } from "@tanstack/react-router";
import { useEffect, useState, type ComponentProps, type ReactNode } from "react";
import { toast } from "./toast.tsx";

type ButtonProps = ComponentProps<"button"> & {
  readonly look?: "primary" | "plain" | "quiet" | "danger";
};

export function Button({ look = "plain", className = "", ...rest }: ButtonProps) {
  return <button type="button" {...rest} className={`button ${look} ${className}`} />;
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      toast("Copied.");
    } catch {
      toast("The browser does not allow copying here: select the text instead.", "bad");
    }
  };
  return (
    <Button look="quiet" onClick={() => void copy()}>
      {copied ? "Copied" : label}
    </Button>
  );
}

export function CodeBlock({ code, label }: { code: string; label: string }) {
  return (
    <figure className="code">
      <figcaption>
        {label}
        <CopyButton text={code} label={`Copy ${label}`} />
      </figcaption>
      {/* A region that scrolls must be reachable by keyboard. */}
      <pre tabIndex={0} aria-label={label}>
        {code}
      </pre>
    </figure>
  );
}

const STATES = {
  up: ["ok", "Up"],
  ok: ["ok", "OK"],
  down: ["bad", "Down"],
  gone: ["bad", "Gone"],
  failed: ["bad", "Failed"],
  late: ["warn", "Late"],
  unknown: ["idle", "Unknown"],
  off: ["idle", "Disabled"],
} as const;
export type StateName = keyof typeof STATES;

/** State is told by word and by shape, never by colour alone. */
export function State({ name, children }: { name: StateName; children?: ReactNode }) {
  const [tone, label] = STATES[name];
  return <Badge tone={tone}>{children ?? label}</Badge>;
}

export function Badge({
  tone,
  children,
}: {
  tone: "ok" | "bad" | "warn" | "idle";
  children: ReactNode;
}) {
  return (
    <span className={`badge ${tone}`}>
      <svg className="mark" viewBox="0 0 10 10" aria-hidden="true">
        {tone === "bad" ? (
          <path d="M5 0.8 9.6 9.2H0.4Z" />
        ) : (
          <circle cx="5" cy="5" r={tone === "idle" ? 3.6 : 4.4} />
        )}
      </svg>
      <span>{children}</span>
    </span>
  );
}

interface Choice {
  readonly label: string;
  readonly active: boolean;
  readonly search: object;
}

/** One of a few, as links: the choice is in the URL, so it can be copied, opened in a tab and undone with Back. */
export function Choices({ label, choices }: { label: string; choices: readonly Choice[] }) {
  return (
    <nav className="choices" aria-label={label}>
      {choices.map((choice) => (
        // Typed search belongs to one route; here it is whichever page shows the choices.
        <Link
          key={choice.label}
          to="."
          search={((old: object) => ({ ...old, ...choice.search })) as never}
          replace
          aria-current={choice.active ? "true" : undefined}
          className={choice.active ? "active" : ""}
          activeProps={{}}
        >
          {choice.label}
        </Link>
      ))}
    </nav>
  );
}

export function Id({ id, children }: { id: string; children?: ReactNode }) {
  return (
    <code className="id" title={id}>
      {children ?? id}
    </code>
  );
}
