// Form parts: a label, a hint and control's complaint about exactly this field, tied together for screen readers.

import { useId, type ComponentProps, type ReactNode } from "react";
import { ApiFault } from "../api.ts";
import { FaultNote } from "./answer.tsx";
import { Button } from "./controls.tsx";

interface FieldProps {
  readonly label: string;
  readonly name: string;
  readonly hint?: ReactNode;
  readonly error?: unknown;
}

/** Control names a field by its path (`limits.requestsPerMinute`, `models[0]`); a form field answers for all below it. */
function complaint(error: unknown, name: string): string | undefined {
  if (!(error instanceof ApiFault) || error.field === undefined) return undefined;
  return error.field === name ||
    error.field.startsWith(`${name}.`) ||
    error.field.startsWith(`${name}[`)
    ? error.message
    : undefined;
}

type InputProps = FieldProps & Omit<ComponentProps<"input">, "name">;

export function Input({ label, name, hint, error, ...rest }: InputProps) {
  const id = useId();
  const wrong = complaint(error, name);
  return (
    <Frame id={id} label={label} hint={hint} wrong={wrong}>
      <input
        {...rest}
        id={id}
        name={name}
        aria-invalid={wrong ? true : undefined}
        aria-describedby={`${id}-hint`}
      />
    </Frame>
  );
}

type TextProps = FieldProps & Omit<ComponentProps<"textarea">, "name">;

export function TextArea({ label, name, hint, error, ...rest }: TextProps) {
  const id = useId();
  const wrong = complaint(error, name);
  return (
    <Frame id={id} label={label} hint={hint} wrong={wrong}>
      <textarea
        {...rest}
        id={id}
        name={name}
        aria-invalid={wrong ? true : undefined}
        aria-describedby={`${id}-hint`}
      />
    </Frame>
  );
}

type SelectProps = FieldProps &
  Omit<ComponentProps<"select">, "name"> & {
    readonly options: readonly (readonly [value: string, label: string])[];
  };

export function Select({ label, name, hint, error, options, ...rest }: SelectProps) {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} wrong={complaint(error, name)}>
      <select {...rest} id={id} name={name} aria-describedby={`${id}-hint`}>
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </Frame>
  );
}

export function Checkbox({ label, name, hint, ...rest }: InputProps) {
  const id = useId();
  return (
    <div className="field check">
      <input {...rest} type="checkbox" id={id} name={name} aria-describedby={`${id}-hint`} />
      <label htmlFor={id}>{label}</label>
      <p id={`${id}-hint`} className="hint">
        {hint}
      </p>
    </div>
  );
}

interface FrameProps {
  readonly id: string;
  readonly label: string;
  readonly hint: ReactNode;
  readonly wrong: string | undefined;
  readonly children: ReactNode;
}

function Frame({ id, label, hint, wrong, children }: FrameProps) {
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children}
      <p id={`${id}-hint`} className="hint">
        {wrong ? <strong className="wrong">{wrong} </strong> : null}
        {hint}
      </p>
    </div>
  );
}

interface FormProps {
  readonly onSubmit: (fields: FormData) => void;
  readonly action: string;
  readonly busy: boolean;
  readonly error: unknown;
  readonly onCancel?: () => void;
  readonly children: ReactNode;
}

export function Form({ onSubmit, action, busy, error, onCancel, children }: FormProps) {
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit(new FormData(event.currentTarget));
      }}
    >
      {children}
      {error ? <FaultNote error={error} /> : null}
      <footer>
        {onCancel ? <Button onClick={onCancel}>Cancel</Button> : null}
        <Button look="primary" type="submit" disabled={busy}>
          {busy ? "Working …" : action}
        </Button>
      </footer>
    </form>
  );
}

/** The text of a form field, trimmed; '' when it is empty or absent. */
export function textOf(fields: FormData, name: string): string {
  const value = fields.get(name);
  return typeof value === "string" ? value.trim() : "";
}

export function limitsOf(fields: FormData) {
  const limit = (name: string) =>
    textOf(fields, name) === "" ? null : Number(textOf(fields, name));
  return {
    requestsPerMinute: limit("limits.requestsPerMinute"),
    tokensPerMinute: limit("limits.tokensPerMinute"),
    concurrentStreams: limit("limits.concurrentStreams"),
  };
}

const LIMITS = [
  ["requestsPerMinute", "Requests a minute"],
  ["tokensPerMinute", "Tokens a minute"],
  ["concurrentStreams", "Streams at once"],
] as const;

export function LimitFields({
  limits,
  error,
}: {
  limits?: Readonly<Record<(typeof LIMITS)[number][0], number | null>>;
  error: unknown;
}) {
  return (
    <fieldset className="row">
      <legend>Limits (empty: none of its own)</legend>
      {LIMITS.map(([name, label]) => (
        <Input
          key={name}
          label={label}
          name={`limits.${name}`}
          type="number"
          min={1}
          step={1}
          inputMode="numeric"
          defaultValue={limits?.[name] ?? ""}
          error={error}
        />
      ))}
    </fieldset>
  );
}
