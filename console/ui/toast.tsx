// Short messages about what was just done, in a live region that screen readers announce.
// Invariant: a toast only repeats what the page also shows; nothing that must be read is only in a toast.

import { useSyncExternalStore } from "react";

interface Toast {
  readonly id: number;
  readonly text: string;
  readonly tone: "ok" | "bad";
}

const SHOWN_MS = 6_000;
const listeners = new Set<() => void>();
let toasts: readonly Toast[] = [];
let lastId = 0;

function show(next: readonly Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

export function toast(text: string, tone: Toast["tone"] = "ok"): void {
  lastId += 1;
  const id = lastId;
  show([...toasts.slice(-2), { id, text, tone }]);
  setTimeout(() => show(toasts.filter((other) => other.id !== id)), SHOWN_MS);
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map((item) => (
        <p key={item.id} className={`toast ${item.tone}`}>
          {item.text}
        </p>
      ))}
    </div>
  );
}
