// The upstream of the house walks: what an answer costs and when it ends is written in the question.
// Invariant: a request counts as open until its last bytes are about to be written, so `mostOpen` never says more than was true.

import {
  answerText,
  DONE,
  eventText,
  FINISH_EVENT,
  openFakeUpstream,
  usageText,
  type Play,
  type Reply,
} from "../fakes/upstream.ts";

export interface Question {
  readonly input: number;
  readonly output: number;
  readonly stream?: boolean;
  /** The answer ends (a stream: goes on after its first word) once this gate is opened. */
  readonly gate?: string;
  /** How long the upstream thinks. */
  readonly thinkMs?: number;
  /** Whose openness is counted together. */
  readonly crowd?: string;
}

export interface HouseUpstream {
  readonly url: string;
  /** Ids of the requests that arrived, by the gateway's own name for them. */
  readonly arrived: ReadonlySet<string>;
  /** Of one crowd. */
  readonly open: (crowd: string) => number;
  readonly mostOpen: (crowd: string) => number;
  openGate(name: string): void;
  close(): void;
}

const usageOf = ({ input, output }: Question) => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
});

/** Only this test's own callers ask, so the body has our shape. */
function questionIn(body: string): Question {
  const { messages } = JSON.parse(body) as { messages: readonly { content: string }[] };
  return JSON.parse(messages[0]?.content ?? "") as Question;
}

async function stream(reply: Reply, question: Question, until: Promise<unknown>): Promise<void> {
  reply.head();
  await reply.chunk(eventText("word "));
  await until;
  for (let word = 1; word < question.output; word += 1) await reply.chunk(eventText("word "));
  await reply.chunk(FINISH_EVENT);
}

export async function openHouseUpstream(): Promise<HouseUpstream> {
  const arrived = new Set<string>();
  const gates = new Map<string, PromiseWithResolvers<void>>();
  const gateOf = (name: string) => {
    const gate = gates.get(name) ?? Promise.withResolvers<void>();
    gates.set(name, gate);
    return gate;
  };
  const open = new Map<string, number>();
  const mostOpen = new Map<string, number>();
  const count = (crowd: string, change: number) => {
    const now = (open.get(crowd) ?? 0) + change;
    open.set(crowd, now);
    mostOpen.set(crowd, Math.max(mostOpen.get(crowd) ?? 0, now));
  };
  const play: Play = async (reply, heard) => {
    if (heard.body === "") return reply.whole(200, '{"object":"list","data":[]}');
    const question = questionIn(heard.body);
    arrived.add(heard.headers["x-request-id"] ?? "");
    const { crowd = "" } = question;
    count(crowd, 1);
    const gate = question.gate === undefined ? Promise.resolve() : gateOf(question.gate).promise;
    const until = Promise.all([gate, Bun.sleep(question.thinkMs ?? 0)]);
    await (question.stream === true ? stream(reply, question, until) : until);
    count(crowd, -1);
    const usage = usageOf(question);
    if (question.stream !== true) return reply.whole(200, answerText({ usage }));
    await reply.chunk(usageText(usage) + DONE);
    reply.end();
  };
  const fake = await openFakeUpstream(play);
  return {
    url: fake.url,
    arrived,
    open: (crowd) => open.get(crowd) ?? 0,
    mostOpen: (crowd) => mostOpen.get(crowd) ?? 0,
    openGate: (name) => gateOf(name).resolve(),
    close: fake.close,
  };
}
