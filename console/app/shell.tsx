// The frame around every page: skip link, navigation, the reporting zone, theme, help, and where messages appear.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { api, queries } from "../api.ts";
import { changeSettings, THEMES, timeZones, useSettings } from "../settings.ts";
import { Button } from "../ui/controls.tsx";
import { Toasts } from "../ui/toast.tsx";
import { PLACES } from "./places.ts";
import { openHelp, Shortcuts } from "./shortcuts.tsx";

const THEME_NAMES = { system: "Auto", light: "Light", dark: "Dark" } as const;

export function Shell() {
  const [open, setOpen] = useState(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  useEffect(() => setOpen(false), [path]);
  return (
    <div className={open ? "shell nav-open" : "shell"}>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="bar">
        <Brand />
        <Button
          look="quiet"
          className="menu"
          aria-expanded={open}
          aria-controls="side"
          onClick={() => setOpen(!open)}
        >
          Menu
        </Button>
      </header>
      <div className="side" id="side">
        <Navigation />
        <Preferences />
      </div>
      <main id="main" tabIndex={-1}>
        <Outlet />
      </main>
      <Toasts />
      <Shortcuts />
    </div>
  );
}

export function Brand() {
  return (
    <Link to="/" className="brand" aria-label="Intertie, overview">
      <svg viewBox="0 0 30 20" aria-hidden="true">
        <path d="M5 3v14M25 3v14M5 10h20" />
        <circle cx="15" cy="10" r="3.2" />
      </svg>
      Intertie
    </Link>
  );
}

function Navigation() {
  const checklist = useQuery(queries.checklist());
  const left = checklist.data?.items.filter((item) => !item.done).length ?? 0;
  const groups = Map.groupBy(PLACES, (place) => place.group);
  return (
    <nav aria-label="Pages" className="pages">
      {[...groups].map(([group, places]) => (
        <div key={group}>
          {group === "" ? null : <h2>{group}</h2>}
          <ul>
            {places.map((place) => (
              <li key={place.path}>
                <Link
                  to={place.path}
                  activeOptions={{ exact: place.path === "/", includeSearch: false }}
                >
                  {place.name}
                  {place.path === "/start" && left > 0 ? (
                    <span className="left">{left} to do</span>
                  ) : null}
                </Link>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}

function Preferences() {
  const { theme, timeZone } = useSettings();
  const navigate = useNavigate();
  const client = useQueryClient();
  const session = useQuery(queries.session());
  const signOut = async () => {
    await api.signOut();
    client.clear();
    await navigate({ to: "/sign-in" });
  };
  return (
    <section className="preferences" aria-label="Preferences">
      <label htmlFor="zone">Reporting time zone</label>
      <select
        id="zone"
        value={timeZone}
        onChange={(event) => changeSettings({ timeZone: event.target.value })}
      >
        {timeZones().map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <fieldset className="segmented themes">
        <legend className="hidden">Theme</legend>
        {THEMES.map((name) => (
          <label key={name}>
            <input
              type="radio"
              name="theme"
              checked={theme === name}
              onChange={() => changeSettings({ theme: name })}
            />
            {THEME_NAMES[name]}
          </label>
        ))}
      </fieldset>
      <div className="row">
        <Button look="quiet" onClick={openHelp}>
          Keyboard <kbd>?</kbd>
        </Button>
        <Button look="quiet" onClick={() => void signOut()}>
          Sign out
        </Button>
      </div>
      {session.data ? <p className="who">Signed in as {session.data.principal.role}</p> : null}
    </section>
  );
}
