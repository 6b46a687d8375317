// The snippets as tabs.

import { useId, useState } from "react";
import { SNIPPETS, type Call } from "../snippets.ts";
import { CodeBlock } from "./controls.tsx";

export function Snippets({ call }: { call: Call }) {
  const [shown, setShown] = useState<string>(SNIPPETS[0][0]);
  const name = useId();
  return (
    <div className="snippets">
      <fieldset className="segmented">
        <legend className="hidden">Language</legend>
        {SNIPPETS.map(([label]) => (
          <label key={label}>
            <input
              type="radio"
              name={name}
              checked={shown === label}
              onChange={() => setShown(label)}
            />
            {label}
          </label>
        ))}
      </fieldset>
      {SNIPPETS.filter(([label]) => label === shown).map(([label, write]) => (
        <CodeBlock key={label} label={label} code={write(call)} />
      ))}
    </div>
  );
}
