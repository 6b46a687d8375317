// `intertie projects …`: where keys belong; their limits and what they may spend a month. Also how other commands name a project and limits.

import type { Project } from "../../sdk/client.gen.ts";
import { printObject, printRows, type Column } from "./output.ts";
import { usageFault, type Command, type Context, type FlagSpec, type Input } from "./types.ts";

export const LIMIT_FLAGS: readonly FlagSpec[] = [
  { name: "requests-per-minute", value: "N", summary: "limit over all gateways, or none" },
  { name: "tokens-per-minute", value: "N", summary: "limit over all gateways, or none" },
  { name: "concurrent-streams", value: "N", summary: "limit over all gateways, or none" },
];
const SPEND_FLAG: FlagSpec = {
  name: "monthly-spend-limit",
  value: "DOLLARS",
  summary: "a UTC month's most, such as 250 or 99.50, or none; strict",
};

/** Undefined: not given; null: `none`. */
function limitFrom(input: Input, flag: string): number | null | undefined {
  const text = input.text(flag);
  if (text === undefined) return undefined;
  if (text === "none") return null;
  if (!/^[1-9]\d{0,14}$/.test(text))
    throw usageFault(`--${flag}: "${text}" is no whole number above 0, and not "none"`);
  return Number(text);
}

export const limitsFrom = (input: Input) => ({
  requestsPerMinute: limitFrom(input, "requests-per-minute"),
  tokensPerMinute: limitFrom(input, "tokens-per-minute"),
  concurrentStreams: limitFrom(input, "concurrent-streams"),
});

function spendFrom(input: Input): string | null | undefined {
  const text = input.text(SPEND_FLAG.name);
  if (text === undefined) return undefined;
  if (text === "none") return null;
  const plain = text.replace(/^\$/, "");
  if (!/^\d{1,15}(\.\d{1,12})?$/.test(plain))
    throw usageFault(`--${SPEND_FLAG.name}: "${text}" is no amount such as 250 or 99.50`);
  return plain;
}

/** By id or by name. */
export async function findProject(context: Context, wanted: string): Promise<Project> {
  const control = await context.control();
  const { items } = await control.listProjects();
  const found = items.find((project) => project.id === wanted || project.name === wanted);
  if (found) return found;
  throw usageFault(
    `there is no project "${wanted}"`,
    `known: ${items.map((project) => project.name).join(", ")}`,
  );
}

const limitText = (limit: number | null) => (limit === null ? "none" : String(limit));

const COLUMNS: readonly Column<Project>[] = [
  { title: "name", read: (project) => project.name },
  { title: "$ a month", read: (project) => project.monthlySpendLimit ?? "none", align: "right" },
  {
    title: "requests/min",
    read: (project) => limitText(project.limits.requestsPerMinute),
    align: "right",
  },
  {
    title: "tokens/min",
    read: (project) => limitText(project.limits.tokensPerMinute),
    align: "right",
  },
  {
    title: "streams",
    read: (project) => limitText(project.limits.concurrentStreams),
    align: "right",
  },
  { title: "id", read: (project) => project.id },
];

function print(context: Context, project: Project): void {
  const pairs = COLUMNS.map((column) => [column.title, String(column.read(project))] as const);
  printObject(context.terminal, pairs, project);
}

const list: Command = {
  words: "projects list",
  summary: "list projects with their limits",
  examples: ["intertie projects list"],
  run: async (context) => {
    const control = await context.control();
    const answer = await control.listProjects();
    printRows(context.terminal, answer.items, COLUMNS, answer, "no projects yet");
    return 0;
  },
};

const create: Command = {
  words: "projects create",
  summary: "make a project",
  args: [{ name: "NAME", required: true }],
  flags: [SPEND_FLAG, ...LIMIT_FLAGS],
  examples: [
    "intertie projects create support --monthly-spend-limit 250",
    "intertie keys create --project support --name chat-widget",
  ],
  run: async (context, input) => {
    const control = await context.control();
    const body = {
      name: input.args[0] ?? "",
      limits: limitsFrom(input),
      monthlySpendLimit: spendFrom(input),
    };
    print(context, await control.createProject(body));
    return 0;
  },
};

const change: Command = {
  words: "projects change",
  summary: "change a project's limits; what is not given stays, none takes a limit away",
  args: [{ name: "PROJECT", required: true }],
  flags: [SPEND_FLAG, ...LIMIT_FLAGS],
  examples: [
    "intertie projects change default --monthly-spend-limit 99.50",
    "intertie projects change support --requests-per-minute 600 --concurrent-streams none",
  ],
  run: async (context, input) => {
    const body = { limits: limitsFrom(input), monthlySpendLimit: spendFrom(input) };
    const given = [body.monthlySpendLimit, ...Object.values(body.limits)];
    if (given.every((value) => value === undefined))
      throw usageFault("projects change: give at least one limit", "see its --help");
    const project = await findProject(context, input.args[0] ?? "");
    const control = await context.control();
    print(context, await control.changeProject(project.id, body));
    return 0;
  },
};

export const projectsCommands: readonly Command[] = [list, create, change];
