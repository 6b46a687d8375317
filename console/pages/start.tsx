// The first steps: a list that ticks itself from real events, and the first call ready to paste.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { queries } from "../api.ts";
import type { ChecklistId } from "../api.types.ts";
import { Answer } from "../ui/answer.tsx";
import { Page, Section, Time } from "../ui/page.tsx";
import { Snippets } from "../ui/snippets.tsx";

const LIVE_MS = 3_000;

const STEPS: Readonly<
  Record<
    ChecklistId,
    {
      title: string;
      text: string;
      to: "/start" | "/playground" | "/upstreams" | "/keys";
      link: string;
      search?: { add: true };
    }
  >
> = {
  "signed-in": {
    title: "Sign in",
    text: "You have a session in this browser.",
    to: "/start",
    link: "",
  },
  "first-call": {
    title: "Make a first call",
    text: "Paste the call below, or ask in the playground. This ticks when the ledger has the call.",
    to: "/playground",
    link: "Open the playground",
  },
  "key-made": {
    title: "Make a key of your own",
    text: "One key for each program, with its own limits.",
    to: "/keys",
    link: "Create a key",
    search: { add: true },
  },
  "upstream-added": {
    title: "Add an upstream",
    text: "OpenAI, vLLM, SGLang, Ollama, llama.cpp: anything that speaks the OpenAI dialect.",
    to: "/upstreams",
    link: "Add an upstream",
    search: { add: true },
  },
};
const ORDER: readonly ChecklistId[] = ["signed-in", "first-call", "key-made", "upstream-added"];

export function StartPage() {
  const checklist = useQuery({ ...queries.checklist(), refetchInterval: LIVE_MS });
  const models = useQuery(queries.models());
  const model = models.data?.items.find((candidate) => candidate.priced)?.name ?? "tiny-llama";
  return (
    <Page title="Start" lede="Four steps from an empty installation to your own traffic.">
      <Answer query={checklist}>
        {({ items, apiBaseUrl }) => (
          <div className="start">
            <ol className="steps">
              {ORDER.map((id) => {
                const step = STEPS[id];
                const item = items.find((candidate) => candidate.id === id);
                return (
                  <li key={id} className={item?.done ? "done" : ""}>
                    <span className="tick-mark" aria-hidden="true" />
                    <div>
                      <h2>
                        {step.title}{" "}
                        <span className="hidden">{item?.done ? "(done)" : "(to do)"}</span>
                      </h2>
                      <p>
                        {item?.done && item.at ? (
                          <>
                            Done <Time at={item.at} />.
                          </>
                        ) : (
                          step.text
                        )}
                      </p>
                    </div>
                    {step.link && !item?.done ? (
                      <Link className="button plain" to={step.to} search={step.search ?? {}}>
                        {step.link}
                      </Link>
                    ) : null}
                  </li>
                );
              })}
            </ol>
            <Section title="Your first call">
              <p className="lede">
                <code>INTERTIE_KEY</code> is the key that the terminal showed once at the first
                start, or one you{" "}
                <Link to="/keys" search={{ add: true }}>
                  create
                </Link>
                .
              </p>
              <Snippets call={{ baseUrl: apiBaseUrl, model, prompt: "What is a lantern?" }} />
            </Section>
          </div>
        )}
      </Answer>
    </Page>
  );
}
