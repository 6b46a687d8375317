// What one reader prefers in this browser: theme, the reporting time zone, single-key shortcuts.
// Invariant: a page's state is never here (it is in the URL); these only say how any page is shown.

import { useSyncExternalStore } from "react";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export interface Settings {
  readonly theme: Theme;
  readonly timeZone: string;
  /** WCAG 2.1.4: shortcuts of a single key can be switched off. */
  readonly shortcuts: boolean;
}

const STORED_AS = "intertie.settings";
const DEFAULTS: Settings = { theme: "system", timeZone: "UTC", shortcuts: true };
const listeners = new Set<() => void>();
let current = read();

function isTimeZone(name: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: name }));
  } catch {
    return false;
  }
}

function read(): Settings {
  try {
    const stored: Record<string, unknown> = JSON.parse(localStorage.getItem(STORED_AS) ?? "{}");
    const { timeZone, shortcuts } = stored;
    return {
      theme: THEMES.find((theme) => theme === stored["theme"]) ?? DEFAULTS.theme,
      timeZone: typeof timeZone === "string" && isTimeZone(timeZone) ? timeZone : DEFAULTS.timeZone,
      shortcuts: typeof shortcuts === "boolean" ? shortcuts : DEFAULTS.shortcuts,
    };
  } catch {
    return DEFAULTS;
  }
}

export function changeSettings(change: Partial<Settings>): void {
  current = { ...current, ...change };
  try {
    localStorage.setItem(STORED_AS, JSON.stringify(current));
  } catch {
    // A browser that stores nothing still gets the change for this visit.
  }
  applyTheme();
  for (const listener of listeners) listener();
}

/** `system` leaves the choice to prefers-color-scheme. */
export function applyTheme(): void {
  if (current.theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = current.theme;
}

export function useSettings(): Settings {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}

export const readSettings = () => current;

/** The zones a reader is likely to want come first. */
export function timeZones(): string[] {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return [...new Set(["UTC", own, current.timeZone, ...Intl.supportedValuesOf("timeZone")])];
}
