// What stands where data will be: a skeleton while it loads, the fault when it fails, one helpful button when there is none.

import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ApiFault } from "../api.ts";
import { Button } from "./controls.tsx";

interface AnswerProps<T> {
  readonly query: UseQueryResult<T>;
  readonly children: (data: T) => ReactNode;
  readonly rows?: number;
}

export function Answer<T>({ query, children, rows = 4 }: AnswerProps<T>) {
  if (query.data !== undefined)
    return (
      <>
        {query.error ? <FaultNote error={query.error} stale /> : null}
        {children(query.data)}
      </>
    );
  if (query.error) return <FaultNote error={query.error} onRetry={() => void query.refetch()} />;
  return <Skeleton rows={rows} />;
}

export function Skeleton({ rows }: { rows: number }) {
  return (
    <div className="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        <span key={index} />
      ))}
    </div>
  );
}

interface FaultNoteProps {
  readonly error: unknown;
  readonly onRetry?: () => void;
  /** The page still shows what was read before. */
  readonly stale?: boolean;
}

export function FaultNote({ error, onRetry, stale }: FaultNoteProps) {
  const fault = error instanceof ApiFault ? error : undefined;
  const message = error instanceof Error ? error.message : String(error);
  return (
    <div className="fault" role="alert">
      <p>
        <strong>{stale ? "Not up to date: " : ""}</strong>
        {message}
      </p>
      {fault?.hint ? <p>{fault.hint}</p> : null}
      {fault ? (
        <p className="fault-code">
          <code>{fault.code}</code>
          {fault.field ? <span> · field {fault.field}</span> : null}
          {fault.requestId ? <span> · {fault.requestId}</span> : null}
        </p>
      ) : null}
      {onRetry ? <Button onClick={onRetry}>Try again</Button> : null}
    </div>
  );
}

export function Empty({
  title,
  children,
  action,
}: {
  title: string;
  children: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="empty">
      <svg viewBox="0 0 64 24" aria-hidden="true">
        <path d="M10 12h16M38 12h16" />
        <circle cx="6" cy="12" r="4" />
        <circle cx="58" cy="12" r="4" />
        <path d="M28 12h8" className="gap" />
      </svg>
      <h2>{title}</h2>
      <p>{children}</p>
      {action}
    </div>
  );
}
