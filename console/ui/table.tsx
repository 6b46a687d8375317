// One table for all lists: a caption, aligned figures, rows that j, k and Enter walk through.

import type { ReactNode } from "react";
import { useRowKeys } from "../app/shortcuts.tsx";

export interface Column<T> {
  readonly head: string;
  readonly cell: (row: T) => ReactNode;
  readonly align?: "end";
  /** Left out where the width is a phone's. */
  readonly wide?: boolean;
}

interface TableProps<T> {
  readonly caption: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly rowId: (row: T) => string;
  readonly selected?: string | undefined;
  readonly onSelect?: (id: string) => void;
  readonly onOpen?: (id: string) => void;
  /** Cells of a last row; one a column. */
  readonly total?: readonly ReactNode[];
}

const classOf = (column: Column<never>) =>
  [column.align === "end" ? "end" : "", column.wide ? "wide" : ""].join(" ").trim() || undefined;

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
    <div className="table" role="region" aria-label={caption} tabIndex={0}>
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
