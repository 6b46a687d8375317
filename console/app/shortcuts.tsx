// Keyboard: `g` then a letter goes to a page, `/` filters, `j` `k` walk rows, `Enter` opens, `?` shows this list.
// Invariant: keys typed into a field, or with a modifier, are never taken; all single keys can be switched off.

import { useNavigate } from "@tanstack/react-router";
import { useEffect, useEffectEvent, useState } from "react";
import { Dialog } from "../ui/dialog.tsx";
import { changeSettings, readSettings, useSettings } from "../settings.ts";
import { PLACES } from "./places.ts";

const CHORD_MS = 1_500;

function isTyping(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  return (
    target.isContentEditable ||
    /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) ||
    document.querySelector("dialog[open]") !== null
  );
}

/** Hears single keys when they are switched on and nothing is being typed. */
function useKeys(hear: (key: string, event: KeyboardEvent) => boolean): void {
  const onKey = useEffectEvent((event: KeyboardEvent) => {
    if (readSettings().shortcuts && !isTyping(event) && hear(event.key, event))
      event.preventDefault();
  });
  useEffect(() => {
    const listener = (event: KeyboardEvent) => onKey(event);
    document.addEventListener("keydown", listener);
    return () => document.removeEventListener("keydown", listener);
  }, []);
}

export function Shortcuts() {
  const navigate = useNavigate();
  const [help, setHelp] = useState(false);
  /** When `g` was pressed; a time long gone when it was not. */
  const [chordAt, setChordAt] = useState(-Infinity);
  useKeys((key, event) => {
    if (event.timeStamp - chordAt < CHORD_MS) {
      setChordAt(-Infinity);
      const place = PLACES.find((candidate) => candidate.key === key);
      if (place) void navigate({ to: place.path });
      return place !== undefined;
    }
    if (key === "g") setChordAt(event.timeStamp);
    else if (key === "?") setHelp(true);
    else if (key === "/") return focusFilter();
    else return false;
    return true;
  });
  useEffect(() => {
    const open = () => setHelp(true);
    addEventListener("intertie:help", open);
    return () => removeEventListener("intertie:help", open);
  }, []);
  return help ? <Help onClose={() => setHelp(false)} /> : null;
}

function focusFilter(): boolean {
  const filter = document.querySelector<HTMLElement>("[data-filter]");
  filter?.focus();
  return filter !== null;
}

export const openHelp = () => dispatchEvent(new Event("intertie:help"));

export function useRowKeys(
  ids: readonly string[],
  selected: string | undefined,
  onSelect?: (id: string | undefined) => void,
  onOpen?: (id: string) => void,
): void {
  useKeys((key, event) => {
    if (!onSelect) return false;
    const index = selected === undefined ? -1 : ids.indexOf(selected);
    if (key === "Enter") {
      // On a link or a button Enter is theirs.
      if (
        selected === undefined ||
        (event.target instanceof Element && event.target.closest("a, button, summary"))
      )
        return false;
      onOpen?.(selected);
      return true;
    }
    if (key === "Escape" && selected !== undefined) {
      onSelect(undefined);
      return true;
    }
    const next =
      key === "j"
        ? ids[Math.min(index + 1, ids.length - 1)]
        : key === "k"
          ? ids[Math.max(index - 1, 0)]
          : undefined;
    if (next === undefined) return false;
    onSelect(next);
    document
      .querySelector(`[data-row="${CSS.escape(next)}"]`)
      ?.scrollIntoView({ block: "nearest" });
    return true;
  });
}

const KEYS = [
  ["/", "Filter"],
  ["j", "Next row"],
  ["k", "Previous row"],
  ["Enter", "Open the row"],
  ["Esc", "Close"],
  ["?", "This list"],
] as const;

function Help({ onClose }: { onClose: () => void }) {
  const { shortcuts } = useSettings();
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <div className="help">
        <dl>
          {PLACES.map((place) => (
            <div key={place.path}>
              <dt>
                <kbd>g</kbd> <kbd>{place.key}</kbd>
              </dt>
              <dd>{place.name}</dd>
            </div>
          ))}
        </dl>
        <dl>
          {KEYS.map(([key, what]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
      </div>
      <div className="field check">
        <input
          type="checkbox"
          id="shortcuts"
          checked={shortcuts}
          onChange={(event) => changeSettings({ shortcuts: event.target.checked })}
        />
        <label htmlFor="shortcuts">Use single-key shortcuts</label>
      </div>
    </Dialog>
  );
}
