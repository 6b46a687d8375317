// Who is signed in, what they may do, and one way to change things: call, say so, read again what changed.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { queries } from "../api.ts";
import { toast } from "../ui/toast.tsx";

/** Buttons that the role cannot use are not shown; control decides all the same. */
export function useMay(permission: string): boolean {
  const { data } = useQuery(queries.session());
  return data?.principal.permissions.includes(permission) ?? false;
}

interface Change<I, O> {
  readonly run: (input: I) => Promise<O>;
  /** Paths whose answers are read again afterwards. */
  readonly touches: readonly string[];
  readonly said?: (output: O, input: I) => string;
  readonly after?: (output: O, input: I) => void;
}

export function useChange<I, O>({ run, touches, said, after }: Change<I, O>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: run,
    onSuccess: (output, input) => {
      for (const path of [...touches, "/checklist"])
        void client.invalidateQueries({ queryKey: [path] });
      if (said) toast(said(output, input));
      after?.(output, input);
    },
  });
}
