// The form that adds an upstream, with well-known addresses to start from.

import { useState } from "react";
import { api } from "../api.ts";
import type { Upstream } from "../api.types.ts";
import { useChange } from "../app/access.ts";
import { toast } from "../ui/toast.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Checkbox, Form, Input, Select, TextArea, textOf } from "../ui/form.tsx";

const PRESETS = [
  ["", "another OpenAI-compatible address"],
  ["https://api.openai.com/v1", "OpenAI"],
  ["http://127.0.0.1:8000/v1", "vLLM on this machine"],
  ["http://127.0.0.1:30000/v1", "SGLang on this machine"],
  ["http://127.0.0.1:11434/v1", "Ollama on this machine"],
  ["http://127.0.0.1:8080/v1", "llama.cpp server on this machine"],
] as const;

/** One model a line: `name`, or `public-name = name-there`. */
export function toModelMap(text: string): Record<string, string> {
  const lines = text.split("\n").map((line) => line.trim());
  return Object.fromEntries(
    lines
      .filter(Boolean)
      .map((line) => line.split("=").map((part) => part.trim()))
      .map(([name = "", there]) => [name, there || name]),
  );
}

export function AddUpstream({ onClose }: { onClose: () => void }) {
  const [address, setAddress] = useState("");
  const add = useChange({
    run: api.addUpstream,
    touches: ["/upstreams", "/zones", "/models"],
    after: (upstream: Upstream) => {
      toast(
        `${upstream.name} is added${upstream.models.length > 0 ? ` with ${upstream.models.length} models` : ""}.`,
      );
      onClose();
    },
  });
  const submit = (fields: FormData) =>
    add.mutate({
      name: textOf(fields, "name"),
      baseUrl: address.trim(),
      models: toModelMap(textOf(fields, "models")),
      zone: textOf(fields, "zone") || "external",
      allowPrivateAddress: fields.get("allowPrivateAddress") !== null,
      ...(textOf(fields, "apiKey") ? { apiKey: textOf(fields, "apiKey") } : {}),
    });
  const local = /^https?:\/\/(127\.|localhost|10\.|192\.168\.)/.test(address);
  return (
    <Dialog title="Add upstream" onClose={onClose}>
      <Form
        action="Add upstream"
        busy={add.isPending}
        error={add.error}
        onSubmit={submit}
        onCancel={onClose}
      >
        <Select
          label="Begin from"
          name="preset"
          options={PRESETS}
          onChange={(event) => setAddress(event.target.value)}
        />
        <Input
          label="Address"
          name="baseUrl"
          type="url"
          required
          value={address}
          onChange={(event) => setAddress(event.target.value)}
          placeholder="https://api.example.com/v1"
          hint="Ends before /chat/completions."
          error={add.error}
        />
        <Input
          label="Name"
          name="name"
          required
          pattern="[a-z0-9][a-z0-9\-]{0,62}"
          placeholder="my-vllm"
          hint="Lower-case letters, digits and dashes."
          error={add.error}
        />
        <Input
          label="API key"
          name="apiKey"
          type="password"
          autoComplete="off"
          hint="Sealed before it is stored; never shown again."
          error={add.error}
        />
        <TextArea
          label="Models"
          name="models"
          rows={3}
          spellCheck={false}
          placeholder={"gpt-5-mini\nhouse-model = meta-llama/Llama-3.1-8B"}
          hint="One a line; “public-name = name there” renames. Empty: ask the upstream."
          error={add.error}
        />
        <Input
          label="Zone"
          name="zone"
          defaultValue="external"
          hint="Where its machines stand."
          error={add.error}
        />
        <Checkbox
          key={String(local)}
          label="It is on this machine or a private network"
          name="allowPrivateAddress"
          defaultChecked={local}
          hint="Private addresses are refused otherwise, so that nobody reaches your network through Intertie."
        />
      </Form>
    </Dialog>
  );
}
