// Code that readers paste: the same call in curl and in the official SDKs, with their address and model filled in.

export interface Call {
  readonly baseUrl: string;
  readonly model: string;
  readonly prompt: string;
  readonly system?: string;
}

const messages = ({ system, prompt }: Call) => [
  ...(system ? [{ role: "system", content: system }] : []),
  { role: "user", content: prompt },
];

/** Single quotes for the shell. */
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

export function toCurl(call: Call): string {
  const body = JSON.stringify({ model: call.model, messages: messages(call) });
  return `curl ${call.baseUrl}/chat/completions \\
  -H "authorization: Bearer $INTERTIE_KEY" \\
  -H "content-type: application/json" \\
  -d ${quoted(body)}`;
}

export function toPython(call: Call): string {
  const lines = messages(call).map(
    (message) =>
      `        {"role": "${message.role}", "content": ${JSON.stringify(message.content)}},`,
  );
  return `import os
from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(call.baseUrl)}, api_key=os.environ["INTERTIE_KEY"])
answer = client.chat.completions.create(
    model=${JSON.stringify(call.model)},
    messages=[
${lines.join("\n")}
    ],
)
print(answer.choices[0].message.content)`;
}

export function toTypeScript(call: Call): string {
  const lines = messages(call).map(
    (message) => `    { role: "${message.role}", content: ${JSON.stringify(message.content)} },`,
  );
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(call.baseUrl)}, apiKey: process.env.INTERTIE_KEY });
const answer = await client.chat.completions.create({
  model: ${JSON.stringify(call.model)},
  messages: [
${lines.join("\n")}
  ],
});
console.log(answer.choices[0]?.message.content);`;
}

export const SNIPPETS = [
  ["curl", toCurl],
  ["Python", toPython],
  ["TypeScript", toTypeScript],
] as const;
