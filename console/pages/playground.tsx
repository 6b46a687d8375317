// Ask a model through the gateway as any caller would: the answer streams, and the ledger tells what it cost.

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { queries } from "../api.ts";
import { count, duration, money } from "../format.ts";
import { Answer, Empty, FaultNote } from "../ui/answer.tsx";
import { Button } from "../ui/controls.tsx";
import { Input, Select, TextArea, textOf } from "../ui/form.tsx";
import { Page, Section } from "../ui/page.tsx";
import { Snippets } from "../ui/snippets.tsx";
import { useChat, type Turn } from "./use-chat.ts";

const route = getRouteApi("/app/playground");
const DRAFT = "What is a lantern?";

export function PlaygroundPage() {
  const models = useQuery(queries.models());
  return (
    <Page
      title="Playground"
      lede="Each message walks the whole way: limits, routing, ledger. It is billed to this console's project."
    >
      <Answer query={models}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty
              title="No model to ask"
              action={
                <Link className="button primary" to="/upstreams" search={{ add: true }}>
                  Add an upstream
                </Link>
              }
            >
              A model appears with an upstream that serves it.
            </Empty>
          ) : (
            <Chat models={items.map((model) => model.name)} />
          )
        }
      </Answer>
    </Page>
  );
}

function Chat({ models }: { models: readonly string[] }) {
  const { model = models[0] ?? "" } = route.useSearch();
  const navigate = useNavigate({ from: "/playground" });
  const [system, setSystem] = useState("");
  const [draft, setDraft] = useState(DRAFT);
  const chat = useChat();
  const checklist = useQuery(queries.checklist());
  const submit = (fields: FormData) => {
    const prompt = textOf(fields, "prompt");
    if (prompt === "") return;
    setDraft("");
    void chat.ask({
      model,
      system,
      prompt,
      maxTokens: Number(textOf(fields, "maxTokens")) || undefined,
      temperature: Number(textOf(fields, "temperature")),
    });
  };
  const lastPrompt = chat.turns.at(-1)?.prompt ?? (draft || DRAFT);
  return (
    <div className="playground">
      <section className="talk" aria-label="Conversation">
        {chat.turns.length === 0 ? (
          <p className="answer minor">The answer appears here, word by word.</p>
        ) : null}
        {chat.turns.map((turn, index) => (
          <TurnItem key={index} turn={turn} />
        ))}
        <form
          className="compose"
          onSubmit={(event) => {
            event.preventDefault();
            submit(new FormData(event.currentTarget));
          }}
        >
          <TextArea
            label="Message"
            name="prompt"
            data-filter
            rows={3}
            value={draft}
            onChange={(event) => setDraft(event.target.value)}
            onKeyDown={(event) => {
              if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
              event.preventDefault();
              event.currentTarget.form?.requestSubmit();
            }}
            hint="Enter sends, Shift+Enter starts a new line."
          />
          <div className="row">
            <Select
              label="Model"
              name="model"
              value={models.includes(model) ? model : ""}
              onChange={(event) =>
                void navigate({ search: { model: event.target.value }, replace: true })
              }
              options={models.map((name) => [name, name])}
            />
            <Input
              label="Tokens at most"
              name="maxTokens"
              type="number"
              min={1}
              max={100_000}
              defaultValue={256}
            />
            <Input
              label="Temperature"
              name="temperature"
              type="number"
              min={0}
              max={2}
              step={0.1}
              defaultValue={0.7}
            />
            {chat.turns.length > 0 && !chat.busy ? (
              <Button look="quiet" onClick={chat.clear}>
                Clear
              </Button>
            ) : null}
            {chat.busy ? (
              <Button look="danger" onClick={chat.stop}>
                Stop
              </Button>
            ) : (
              <Button look="primary" type="submit">
                Send
              </Button>
            )}
          </div>
          <details>
            <summary>System message</summary>
            <TextArea
              label="System message"
              name="system"
              rows={2}
              value={system}
              onChange={(event) => setSystem(event.target.value)}
            />
          </details>
        </form>
      </section>
      <Section title="The same in code">
        <Snippets
          call={{
            baseUrl: checklist.data?.apiBaseUrl ?? "http://localhost:4100/v1",
            model,
            prompt: lastPrompt,
            system,
          }}
        />
      </Section>
    </div>
  );
}

function TurnItem({ turn }: { turn: Turn }) {
  return (
    <article className="turn">
      <p className="asked">{turn.prompt}</p>
      <div className="answer" aria-busy={turn.state === "open"}>
        {turn.text || (turn.state === "open" ? "…" : "")}
      </div>
      {turn.error ? <FaultNote error={turn.error} /> : null}
      <p className="minor" role="status">
        {turn.state === "stopped" ? "Stopped. " : ""}
        {turn.firstTokenMs === undefined ? null : <>first token {duration(turn.firstTokenMs)} · </>}
        {turn.usage
          ? `${count(turn.usage.inputTokens)} in, ${count(turn.usage.outputTokens)} out · `
          : null}
        {turn.requestId && turn.state !== "open" ? <Cost requestId={turn.requestId} /> : null}
      </p>
    </article>
  );
}

/** Not computed here: read from the ledger, as soon as the gateway's journal has been posted. */
function Cost({ requestId }: { requestId: string }) {
  const request = useQuery({
    ...queries.request(requestId),
    retry: 20,
    retryDelay: 500,
  });
  const attempt = request.data?.attempts.at(-1);
  if (!attempt) return <>{request.isError ? "not posted yet" : "posting …"}</>;
  return (
    <Link to="/requests/$requestId" params={{ requestId }}>
      {money(attempt.amount)}
    </Link>
  );
}
