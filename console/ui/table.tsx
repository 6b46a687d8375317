// One table for all lists: a caption, aligned figures, rows that j, k and Enter walk through.

import type { MouseEvent, ReactNode } from "react";
import { useRowKeys } from "../app/shortcuts.tsx";

export interface Column<T> {
  readonly head: string;
  readonly cell: (row: T) => ReactNode;
  readonly align?: "end";
  /** Left out where the width is a phone's; `most`: also where another column stands beside the table. */
  readonly wide?: true | "most";
}

interface TableProps<T> {
  readonly caption: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly rowId: (row: T) => string;
  readonly selected?: string | undefined;
  readonly onSelect?: (id: string | undefined) => void;
  readonly onOpen?: (id: string) => void;
  /** Cells of a last row; one a column. */
  readonly total?: readonly ReactNode[];
}

const classOf = (column: Column<never>) =>
  [
    column.align === "end" ? "end" : "",
    column.wide ? "wide" : "",
    column.wide === "most" ? "most" : "",
  ]
    .join(" ")
    .trim() || undefined;

/** A click on a row chooses it, unless it was meant for a link in it or ended a selection of text. */
function isOnRow(event: MouseEvent): boolean {
  return (
    event.target instanceof Element &&
    event.target.closest("a, button") === null &&
    getSelection()?.isCollapsed !== false
  );
}

export function Table<T>({
  caption,
  columns,
  rows,
  rowId,
  selected,
  onSelect,
  onOpen,
  total,
}: TableProps<T>) {
  useRowKeys(rows.map(rowId), selected, onSelect, onOpen);
  return (
    <div
      className={onSelect ? "table choosable" : "table"}
      role="region"
      aria-label={caption}
      tabIndex={0}
    >
      <table>
        <caption className="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.head} scope="col" className={classOf(column)}>
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const id = rowId(row);
            return (
              <tr
                key={id}
                data-row={id}
                aria-selected={onSelect ? id === selected : undefined}
                className={id === selected ? "selected" : undefined}
                onClick={onSelect ? (event) => isOnRow(event) && onSelect(id) : undefined}
              >
                {columns.map((column) => (
                  <td key={column.head} className={classOf(column)}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
        {total ? (
          <tfoot>
            <tr>
              {columns.map((column, index) => (
                <td key={column.head} className={classOf(column)}>
                  {total[index]}
                </td>
              ))}
            </tr>
          </tfoot>
        ) : null}
      </table>
    </div>
  );
}
