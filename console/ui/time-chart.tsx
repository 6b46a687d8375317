// A chart over time in plain SVG: bars on top of each other, or lines. One cursor, moved by pointer or arrow keys, reads the values.
// Invariant: whatever the drawing shows is also in words (the cursor's value text), and each column leads to its rows.

import { useNavigate } from "@tanstack/react-router";
import type { KeyboardEvent, PointerEvent } from "react";
import { when } from "../format.ts";
import { useSettings } from "../settings.ts";
import { linePath, roundTop } from "./chart.rules.ts";

export interface Series {
  readonly name: string;
  readonly tone: "one" | "two" | "bad";
  readonly values: readonly (number | null)[];
}

interface ChartProps {
  readonly title: string;
  readonly unit: string;
  readonly kind: "stack" | "lines";
  readonly columns: readonly { readonly from: string; readonly to: string }[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  readonly cursor: number | undefined;
  readonly onCursor: (index: number | undefined) => void;
}

export function TimeChart(props: ChartProps) {
  const { title, unit, kind, columns, series, format, cursor } = props;
  const { timeZone } = useSettings();
  const tops = columns.map((_, index) =>
    kind === "stack"
      ? series.reduce((sum, one) => sum + (one.values[index] ?? 0), 0)
      : Math.max(0, ...series.map((one) => one.values[index] ?? 0)),
  );
  const top = roundTop(Math.max(0, ...tops));
  const shown = cursor ?? columns.length - 1;
  const label = (at: string | undefined) => (at ? when(at, "time", timeZone) : "");
  const readout = series
    .map(
      (one) =>
        `${one.name} ${one.values[shown] === null || one.values[shown] === undefined ? "–" : format(one.values[shown])}`,
    )
    .join(", ");
  return (
    <figure className="chart">
      <figcaption>
        <h2>
          {title} <small>{unit}</small>
        </h2>
        <p className="readout" aria-hidden="true">
          <b>{label(columns[shown]?.from)}</b>
          {series.map((one) => (
            <span key={one.name} className={`key ${one.tone}`}>
              {one.name}{" "}
              {one.values[shown] === null || one.values[shown] === undefined
                ? "–"
                : format(one.values[shown])}
            </span>
          ))}
        </p>
      </figcaption>
      <div className="plot">
        <span className="tick top">{format(top)}</span>
        <span className="tick middle">{format(top / 2)}</span>
        <Drawing
          {...props}
          top={top}
          shown={shown}
          valueText={`${label(columns[shown]?.from)}: ${readout}`}
        />
        <span className="tick from">{label(columns[0]?.from)}</span>
        <span className="tick to">{label(columns.at(-1)?.to)}</span>
      </div>
    </figure>
  );
}

type DrawingProps = ChartProps & {
  readonly top: number;
  readonly shown: number;
  readonly valueText: string;
};

function Drawing({
  title,
  unit,
  kind,
  columns,
  series,
  cursor,
  onCursor,
  top,
  shown,
  valueText,
}: DrawingProps) {
  const navigate = useNavigate();
  const last = columns.length - 1;
  const open = (index: number) => {
    const column = columns[index];
    if (column) void navigate({ to: "/requests", search: { from: column.from, to: column.to } });
  };
  const indexAt = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.max(
      0,
      Math.min(last, Math.floor(((event.clientX - box.left) / box.width) * columns.length)),
    );
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = {
      ArrowLeft: shown - 1,
      ArrowRight: shown + 1,
      Home: 0,
      End: last,
    };
    const next = moves[event.key];
    if (event.key === "Enter") open(shown);
    else if (next !== undefined) onCursor(Math.max(0, Math.min(last, next)));
    else return;
    event.preventDefault();
  };
  return (
    <div
      className="drawing"
      role="slider"
      tabIndex={0}
      aria-label={`${title} ${unit}; Enter opens the requests of the chosen time`}
      aria-valuemin={0}
      aria-valuemax={Math.max(0, last)}
      aria-valuenow={Math.max(0, shown)}
      aria-valuetext={valueText}
      onKeyDown={onKeyDown}
      onPointerMove={(event) => onCursor(indexAt(event))}
      onPointerLeave={() => onCursor(undefined)}
      onClick={() => open(shown)}
    >
      <svg
        viewBox={`0 0 ${Math.max(1, columns.length)} 100`}
        preserveAspectRatio="none"
        aria-hidden="true"
      >
        <path
          className="grid"
          d={`M0 0.5H${columns.length}M0 50H${columns.length}M0 99.7H${columns.length}`}
        />
        {cursor === undefined ? null : (
          <rect className="cursor" x={cursor} y={0} width={1} height={100} />
        )}
        {kind === "stack" ? (
          <Bars series={series} count={columns.length} top={top} />
        ) : (
          series.map((one) => (
            <path key={one.name} className={`line ${one.tone}`} d={linePath(one.values, top)} />
          ))
        )}
      </svg>
    </div>
  );
}

/** One path a series: hundreds of columns stay two elements. */
function Bars({ series, count, top }: { series: readonly Series[]; count: number; top: number }) {
  const base = Array.from({ length: count }, () => 100);
  return series.map((one) => {
    const path = one.values
      .map((value, index) => {
        const height = (100 * (value ?? 0)) / top;
        if (height === 0) return "";
        const bottom = base[index] ?? 100;
        base[index] = bottom - height;
        return `M${index + 0.12} ${bottom.toFixed(2)}v${(-height).toFixed(2)}h0.76v${height.toFixed(2)}Z`;
      })
      .join("");
    return <path key={one.name} className={`bars ${one.tone}`} d={path} />;
  });
}

/** A share of the largest row, beside its figure. */
export function ShareBar({ part, most }: { part: number; most: number }) {
  return (
    <svg className="share" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect width={most === 0 ? 0 : (100 * part) / most} height={6} />
    </svg>
  );
}
