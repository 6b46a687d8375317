// `intertie models …`: what callers can ask for, and fetching further models for the embedded engine.

import { z } from "zod";
import { progressLine } from "./progress.ts";
import { printRows, type Column } from "./output.ts";
import { CliFault, EXIT, type Command, type Context } from "./types.ts";

const Model = z.looseObject({
  name: z.string(),
  version: z.string().nullish(),
  ownedBy: z.string().nullish(),
  contextTokens: z.number().nullish(),
  priced: z.boolean().nullish(),
});
type Model = z.infer<typeof Model>;

const Models = z.looseObject({ items: z.array(Model) });
const Pull = z.looseObject({
  name: z.string(),
  state: z.string(),
  receivedBytes: z.number().nullish(),
  totalBytes: z.number().nullish(),
  error: z.string().nullish(),
});
type Pull = z.infer<typeof Pull>;
const Pulls = z.looseObject({ items: z.array(Pull) });

const COLUMNS: readonly Column<Model>[] = [
  { title: "model", read: (model) => model.name },
  { title: "version", read: (model) => model.version },
  { title: "from", read: (model) => model.ownedBy },
  { title: "context", read: (model) => model.contextTokens, align: "right" },
];

const POLL_MS = 500;
const DONE = new Set(["done", "ready", "serving"]);
const FAILED = new Set(["failed", "refused"]);

async function follow(context: Context, name: string): Promise<Pull> {
  const control = await context.control();
  const line = progressLine(context.terminal);
  for (;;) {
    const { items } = await control.call("GET", "/models/pulls", Pulls);
    const pull = items.find((item) => item.name === name);
    if (pull === undefined)
      throw new CliFault(
        EXIT.failed,
        "pull.unknown",
        `control no longer knows of a pull of ${name}`,
      );
    if (DONE.has(pull.state) || FAILED.has(pull.state)) {
      line.end();
      return pull;
    }
    line.show(name, pull.receivedBytes ?? 0, pull.totalBytes ?? undefined, performance.now());
    await new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, POLL_MS);
      context.signal.addEventListener(
        "abort",
        () => (clearTimeout(timer), reject(new Error("interrupted"))),
        { once: true },
      );
    });
  }
}

const list: Command = {
  words: "models list",
  summary: "list the models that callers can ask for",
  examples: ["intertie models list"],
  run: async (context) => {
    const control = await context.control();
    const answer = await control.call("GET", "/models", Models);
    printRows(context.terminal, answer.items, COLUMNS, answer, "no models yet");
    return 0;
  },
};

const pull: Command = {
  words: "models pull",
  summary:
    "fetch a model for the embedded engine; its digest is pinned, an interrupted pull goes on where it was",
  args: [{ name: "NAME", required: true }],
  flags: [{ name: "no-wait", summary: "return at once, the pull goes on in the background" }],
  examples: ["intertie models pull smollm2-135m"],
  run: async (context, input) => {
    const name = input.args[0] ?? "";
    const control = await context.control();
    await control.call("POST", "/models/pulls", z.unknown(), { name });
    if (input.on("no-wait")) return EXIT.ok;
    const done = await follow(context, name);
    if (FAILED.has(done.state))
      throw new CliFault(EXIT.failed, "pull.failed", done.error ?? `${name} could not be fetched`);
    if (context.terminal.format === "json") context.terminal.out(JSON.stringify(done));
    else context.terminal.say(`${name} is served`);
    return EXIT.ok;
  },
};

export const modelsCommands: readonly Command[] = [list, pull];
