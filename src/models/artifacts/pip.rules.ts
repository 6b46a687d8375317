// What pip's configuration says about its index, and what an index page says about a file. Pure.
// Invariant: later settings win as in pip: global, user and site files, the named file, then the environment.

import { z } from "zod";

export type Surroundings = Readonly<Record<string, string | undefined>>;

export interface PipSettings {
  /** In the order to ask; empty when pip was told to use no index. */
  readonly indexUrls: readonly string[];
  /** A file of trusted certificates. */
  readonly cert: string | undefined;
  readonly proxy: string | undefined;
}

const DEFAULT_INDEX = "https://pypi.org/simple";
const SECTIONS = ["global", "download"] as const;

/** The files in pip's own order; those that are missing count for nothing. `platform`: as `process.platform` names it. */
export function pipFiles(env: Surroundings, platform: string): readonly string[] {
  const named = env["PIP_CONFIG_FILE"];
  if (named === "/dev/null") return [];
  const home = env["HOME"] ?? "";
  const mac = platform === "darwin";
  const global = mac
    ? ["/Library/Application Support/pip/pip.conf"]
    : (env["XDG_CONFIG_DIRS"] ?? "/etc/xdg").split(":").map((folder) => `${folder}/pip/pip.conf`);
  const user = mac
    ? [`${home}/Library/Application Support/pip/pip.conf`, `${home}/.config/pip/pip.conf`]
    : [`${env["XDG_CONFIG_HOME"] ?? `${home}/.config`}/pip/pip.conf`];
  const site = env["VIRTUAL_ENV"];
  return [
    ...global,
    "/etc/pip.conf",
    `${home}/.pip/pip.conf`,
    ...user,
    ...(site === undefined ? [] : [`${site}/pip.conf`]),
    ...(named === undefined ? [] : [named]),
  ];
}

/** INI as pip reads it: `name = value`, values go on in indented lines, `#` and `;` begin comments. */
function parseIni(text: string): Map<string, Map<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  let last: string | undefined;
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*([#;]|$)/.test(line)) continue;
    const head = /^\[([^\]]+)\]/.exec(line);
    const pair = /^([^\s=:][^=:]*?)\s*[=:]\s*(.*)$/.exec(line);
    if (head?.[1] !== undefined) {
      section = sections.get(head[1]) ?? new Map<string, string>();
      sections.set(head[1], section);
      last = undefined;
    } else if (/^\s/.test(line) && last !== undefined) {
      section.set(last, `${section.get(last) ?? ""} ${line.trim()}`.trim());
    } else if (pair?.[1] !== undefined) {
      last = pair[1].toLowerCase().replaceAll("_", "-");
      section.set(last, pair[2] ?? "");
    }
  }
  return sections;
}

const isTrue = (text: string | undefined) => /^(1|y|yes|t|true|on)$/i.test(text ?? "");

/** `files`: contents, the one that wins last. */
export function pipSettings(files: readonly string[], env: Surroundings): PipSettings {
  const found = new Map<string, string>();
  const parsed = files.map(parseIni);
  for (const section of SECTIONS) {
    for (const file of parsed) {
      for (const [name, value] of file.get(section) ?? []) found.set(name, value);
    }
  }
  const get = (name: string) =>
    env[`PIP_${name.toUpperCase().replaceAll("-", "_")}`] ?? found.get(name);
  const split = (text: string | undefined) => (text ?? "").split(/\s+/).filter((url) => url !== "");
  const indexUrls = [get("index-url") ?? DEFAULT_INDEX, ...split(get("extra-index-url"))];
  return {
    indexUrls: isTrue(get("no-index")) ? [] : indexUrls,
    cert: get("cert"),
    proxy: get("proxy"),
  };
}

const SimplePage = z.looseObject({
  files: z.array(z.looseObject({ filename: z.string(), url: z.string() })),
});

/** The address of a file on a project's page of the simple API, JSON (PEP 691) or HTML (PEP 503). */
export function findOnPage(
  page: { readonly url: string; readonly type: string; readonly text: string },
  file: string,
): string | undefined {
  if (page.type.includes("json")) {
    const parsed = SimplePage.safeParse(JSON.parse(page.text));
    const found = parsed.data?.files.find(({ filename }) => filename === file);
    return found && new URL(found.url, page.url).href;
  }
  for (const [, href] of page.text.matchAll(/<a\s[^>]*href\s*=\s*["']([^"']+)["']/gi)) {
    const url = new URL((href ?? "").replaceAll("&amp;", "&"), page.url);
    if (url.pathname.endsWith(`/${file}`)) return url.href;
  }
  return undefined;
}
