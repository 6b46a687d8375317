// A chart over time in plain SVG: bars on top of each other, or lines. One cursor, moved by pointer or arrow keys, reads the values;
// without it the last whole column is read, because the open one is still growing.
// Invariant: whatever the drawing shows is also in words (the cursor's value text), and each column leads to its rows.

import { useNavigate } from "@tanstack/react-router";
import type { KeyboardEvent, PointerEvent } from "react";
import { share, when, type TimeStyle } from "../format.ts";
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
  readonly times: TimeStyle;
  /** The last column's time is not over yet: it is drawn lighter. */
  readonly isLastOpen: boolean;
  readonly cursor: number | undefined;
  readonly onCursor: (index: number | undefined) => void;
}

export function TimeChart(props: ChartProps) {
  const { title, unit, kind, columns, series, format, times, isLastOpen, cursor } = props;
  const { timeZone } = useSettings();
  const tops = columns.map((_, index) =>
    kind === "stack"
      ? series.reduce((sum, one) => sum + (one.values[index] ?? 0), 0)
      : Math.max(0, ...series.map((one) => one.values[index] ?? 0)),
  );
  const top = roundTop(Math.max(0, ...tops));
  const last = columns.length - 1;
  const shown = cursor ?? Math.max(0, isLastOpen ? last - 1 : last);
  const label = (at: string | undefined) => (at ? when(at, times, timeZone) : "");
  const soFar = isLastOpen && shown === last ? " so far" : "";
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
          <b>
            {label(columns[shown]?.from)}
            {soFar}
          </b>
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
          valueText={`${label(columns[shown]?.from)}${soFar}: ${readout}`}
        />
        <span className="tick base">0</span>
        <span className="tick from">{label(columns[0]?.from)}</span>
        <span className="tick to">
          {label(times === "time" ? columns.at(-1)?.to : columns.at(-1)?.from)}
        </span>
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
  isLastOpen,
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
          <Bars series={series} count={columns.length} top={top} isLastOpen={isLastOpen} />
        ) : (
          series.map((one) => (
            <path key={one.name} className={`line ${one.tone}`} d={linePath(one.values, top)} />
          ))
        )}
      </svg>
    </div>
  );
}

interface BarsProps {
  readonly series: readonly Series[];
  readonly count: number;
  readonly top: number;
  readonly isLastOpen: boolean;
}

/** One path a series, and one for its open column: hundreds of columns stay a few elements. */
function Bars({ series, count, top, isLastOpen }: BarsProps) {
  const base = Array.from({ length: count }, () => 100);
  const bar = (value: number | null, index: number) => {
    const height = (100 * (value ?? 0)) / top;
    if (height === 0) return "";
    const bottom = base[index] ?? 100;
    base[index] = bottom - height;
    return `M${index + 0.12} ${bottom.toFixed(2)}v${(-height).toFixed(2)}h0.76v${height.toFixed(2)}Z`;
  };
  return series.map((one) => {
    const bars = one.values.map(bar);
    const open = isLastOpen ? bars.pop() : "";
    return (
      <g key={one.name}>
        <path className={`bars ${one.tone}`} d={bars.join("")} />
        {open ? <path className={`bars open ${one.tone}`} d={open} /> : null}
      </g>
    );
  });
}

/** A share of the whole, as a bar and in words. */
export function Share({ part, all }: { part: number; all: number }) {
  return (
    <span className="share">
      <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
        <rect className="rail" width={100} height={6} />
        <rect width={all === 0 ? 0 : (100 * part) / all} height={6} />
      </svg>
      {share(part, all)}
    </span>
  );
}
