// The form that sets a new price version: a model, the instant it begins, dollars per million of each meter.

import { api } from "../api.ts";
import { useChange } from "../app/access.ts";
import { instantOf, wallTimeOf } from "../days.ts";
import { words } from "../format.ts";
import { useSettings } from "../settings.ts";
import { Dialog } from "../ui/dialog.tsx";
import { Form, Input, textOf } from "../ui/form.tsx";

const COMMON = ["input_tokens", "output_tokens", "cached_input_tokens"];
const RARE = [
  "cache_write_tokens",
  "reasoning_tokens",
  "requests",
  "audio_input_tokens",
  "audio_output_tokens",
  "images",
  "characters",
  "seconds",
];

export function SetPrice({ model, onClose }: { model: string | undefined; onClose: () => void }) {
  const { timeZone } = useSettings();
  const set = useChange({
    run: api.setPrice,
    touches: ["/prices", "/models"],
    said: (price) => `${price.model} has a new price.`,
    after: onClose,
  });
  const submit = (fields: FormData) =>
    set.mutate({
      model: textOf(fields, "model"),
      effectiveFrom: new Date(instantOf(textOf(fields, "effectiveFrom"), timeZone)).toISOString(),
      perMillion: Object.fromEntries(
        [...COMMON, ...RARE]
          .map((meter) => [meter, textOf(fields, `perMillion.${meter}`)])
          .filter(([, amount]) => amount !== ""),
      ),
      source: textOf(fields, "source"),
    });
  const meter = (name: string) => (
    <Input
      key={name}
      label={words(name)}
      name={`perMillion.${name}`}
      inputMode="decimal"
      pattern="\d{1,9}(\.\d{1,6})?"
      placeholder="2.50"
      error={set.error}
    />
  );
  return (
    <Dialog title="Set a price" onClose={onClose}>
      <Form
        action="Set price"
        busy={set.isPending}
        error={set.error}
        onSubmit={submit}
        onCancel={onClose}
      >
        <Input
          label="Model"
          name="model"
          required
          defaultValue={model}
          hint="As callers send it."
          error={set.error}
        />
        <Input
          label="In force from"
          name="effectiveFrom"
          type="datetime-local"
          required
          defaultValue={wallTimeOf(Date.now(), timeZone)}
          hint={`Time of ${timeZone}. Requests before it keep their price.`}
          error={set.error}
        />
        <fieldset className="row">
          <legend>Dollars per million</legend>
          {COMMON.map(meter)}
        </fieldset>
        <details>
          <summary>Other meters</summary>
          <fieldset className="row">
            <legend className="hidden">Other meters, dollars per million</legend>
            {RARE.map(meter)}
          </fieldset>
        </details>
        <Input
          label="Source"
          name="source"
          maxLength={500}
          placeholder="https://…/pricing, read 2026-11-24"
          hint="Where the figure comes from."
          error={set.error}
        />
      </Form>
    </Dialog>
  );
}
