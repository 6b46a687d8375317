// One request from question to ledger, as a line with a node for each step: asked, routed, attempted, counted, priced, posted.

import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { AttemptDetail, RequestDetail } from "../api.types.ts";
import { count, duration, money, tail, usd, toPico, words } from "../format.ts";
import { Badge, Id } from "./controls.tsx";
import { Time } from "./page.tsx";

const CAUSES: Readonly<Record<string, string>> = {
  ok: "OK",
  refused_upstream: "Refused upstream",
  failed: "Failed",
  cut: "Cut",
  caller_left: "Caller left",
  interrupted: "Interrupted",
};

export function Outcome({ status, httpStatus }: { status: string; httpStatus: number }) {
  const tone = status === "ok" ? "ok" : status === "caller_left" ? "idle" : "bad";
  return (
    <Badge tone={tone}>
      {CAUSES[status] ?? words(status)}
      {httpStatus > 0 && httpStatus !== 200 ? ` ${httpStatus}` : ""}
    </Badge>
  );
}

export function RequestChain({ detail }: { detail: RequestDetail }) {
  const last = detail.attempts.at(-1);
  if (!last) return null;
  const amount = detail.attempts.reduce((sum, attempt) => sum + toPico(attempt.amount), 0n);
  const more = detail.attempts.length - 1;
  return (
    <article className="request">
      <p className="verdict">
        {last.status === "ok" ? "Answered by " : `${CAUSES[last.status] ?? words(last.status)} at `}
        <strong>{last.model}</strong>@{last.version} in <strong>{last.zone}</strong>
        {more > 0 ? ` after ${more} earlier attempt${more === 1 ? "" : "s"}` : ""},{" "}
        {duration(last.durationMs)}, <strong>{usd(amount)}</strong>.
      </p>
      <ol className="chain">
        <Asked attempt={last} />
        {detail.attempts.map((attempt) => (
          <Attempt key={attempt.attempt} attempt={attempt} />
        ))}
        <Counted attempts={detail.attempts} />
        <Priced attempts={detail.attempts} />
        <Posted attempts={detail.attempts} />
      </ol>
    </article>
  );
}

function Step({
  title,
  tone = "",
  children,
}: {
  title: string;
  tone?: string;
  children: ReactNode;
}) {
  return (
    <li className={tone}>
      <h3>{title}</h3>
      {children}
    </li>
  );
}

function Asked({ attempt }: { attempt: AttemptDetail }) {
  return (
    <Step title="Asked">
      <p>
        <Time at={attempt.at} /> · {attempt.endpoint}
        {attempt.streamed ? ", streamed" : ""} · model{" "}
        <Link to="/requests" search={{ model: attempt.model }}>
          {attempt.model}
        </Link>
      </p>
      <p>
        with key{" "}
        <Link to="/requests" search={{ keyId: attempt.keyId }}>
          {attempt.keyName}
        </Link>{" "}
        of project {attempt.project}
      </p>
    </Step>
  );
}

function Attempt({ attempt }: { attempt: AttemptDetail }) {
  return (
    <Step
      title={`Attempt ${attempt.attempt}: ${words(attempt.attemptKind)}`}
      tone={attempt.status === "ok" ? "" : "bad"}
    >
      <p>
        {attempt.zone} / <strong>{attempt.engine}</strong> ·{" "}
        <Outcome status={attempt.status} httpStatus={attempt.httpStatus} />
      </p>
      <p>
        first token {duration(attempt.firstByteMs)} · total {duration(attempt.durationMs)}
        {attempt.upstreamRequestId ? (
          <>
            {" "}
            · upstream calls it{" "}
            <Id id={attempt.upstreamRequestId}>{tail(attempt.upstreamRequestId)}</Id>
          </>
        ) : null}
      </p>
    </Step>
  );
}

function Counted({ attempts }: { attempts: readonly AttemptDetail[] }) {
  const quantities = attempts.flatMap((attempt) => attempt.quantities);
  return (
    <Step title="Counted">
      {quantities.length === 0 ? <p>Nothing: no token was read or written.</p> : null}
      <ul className="facts">
        {quantities.map((quantity, index) => (
          <li key={index}>
            <b>{count(quantity.amount)}</b> {words(quantity.meter)} <small>{quantity.source}</small>
          </li>
        ))}
      </ul>
    </Step>
  );
}

function Priced({ attempts }: { attempts: readonly AttemptDetail[] }) {
  const priced = attempts.filter((attempt) => attempt.priceVersionId !== null);
  const first = priced[0];
  return (
    <Step title="Priced">
      {first ? (
        <p>
          by price version{" "}
          <Id id={first.priceVersionId ?? ""}>{tail(first.priceVersionId ?? "")}</Id> of{" "}
          <Link to="/prices" search={{ model: first.model }}>
            {first.model}
          </Link>
        </p>
      ) : (
        <p>No price applied.</p>
      )}
      <ul className="facts">
        {priced.flatMap((attempt) =>
          attempt.priceLines.map((line) => (
            <li key={`${attempt.attempt} ${line.meter}`}>
              {count(line.quantity)} × ${line.perMillion} per million {words(line.meter)} ={" "}
              <b>{money(line.amount)}</b>
            </li>
          )),
        )}
      </ul>
    </Step>
  );
}

function Posted({ attempts }: { attempts: readonly AttemptDetail[] }) {
  return (
    <Step title="Posted to the ledger">
      {attempts.map(({ attempt, posting, amount }) => (
        <p key={attempt}>
          <b>{money(amount)}</b> at <Id id={posting.gateway}>{tail(posting.gateway)}</Id> lane{" "}
          {posting.lane}, segment {posting.sequence}, record {posting.index}{" "}
          <Id id={posting.segmentDigest}>sha256 {posting.segmentDigest.slice(0, 8)}…</Id>
        </p>
      ))}
    </Step>
  );
}
