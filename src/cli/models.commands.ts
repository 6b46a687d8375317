// `intertie models …`: what callers can ask for, and fetching further models for the embedded engine.

import { setTimeout } from "node:timers/promises";
import type { Model, Pull } from "../../sdk/client.gen.ts";
import { printRows, type Column } from "./output.ts";
import { progressLine } from "./progress.ts";
import { CliFault, EXIT, type Command, type Context } from "./types.ts";

const COLUMNS: readonly Column<Model>[] = [
  { title: "model", read: (model) => model.name },
  { title: "version", read: (model) => model.version },
  { title: "from", read: (model) => model.ownedBy },
  { title: "context", read: (model) => model.contextTokens, align: "right" },
  { title: "upstreams", read: (model) => model.engines.join(" ") },
  { title: "priced", read: (model) => (model.priced ? "yes" : "no: callers are refused") },
];

const POLL_MS = 500;

/** Shows how far it is until it is over, well or not. */
async function follow(context: Context, name: string): Promise<Pull> {
  const control = await context.control();
  const line = progressLine(context.terminal);
  try {
    for (;;) {
      const { items } = await control.listModelPulls();
      const pull = items.find((item) => item.name === name);
      if (pull === undefined)
        throw new CliFault(
          EXIT.failed,
          "pull.unknown",
          `control no longer knows of a pull of ${name}`,
        );
      if (pull.state === "done" || pull.state === "failed") return pull;
      line.show(name, pull.doneBytes, pull.totalBytes ?? undefined, performance.now());
      await setTimeout(POLL_MS, undefined, { signal: context.signal });
    }
  } finally {
    line.end();
  }
}

const list: Command = {
  words: "models list",
  summary: "list the models that callers can ask for",
  examples: ["intertie models list"],
  run: async (context) => {
    const control = await context.control();
    const answer = await control.listModels();
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
    const asked = await control.createModelPull({ name });
    const pull = input.on("no-wait") ? asked : await follow(context, name);
    if (pull.state === "failed")
      throw new CliFault(
        EXIT.failed,
        "pull.failed",
        `${name} could not be fetched: ${pull.detail}`,
        {
          hint: "ask again to go on where it stopped",
        },
      );
    if (context.terminal.format === "json") context.terminal.out(JSON.stringify(pull));
    else
      context.terminal.say(pull.state === "done" ? `${name} is served` : `${name}: ${pull.state}`);
    return EXIT.ok;
  },
};

export const modelsCommands: readonly Command[] = [list, pull];
