// Sign-in with an admin key. The key goes to control once and comes back as a cookie that scripts cannot read.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { api, queries } from "../api.ts";
import { Brand } from "../app/shell.tsx";
import { Form, Input, textOf } from "../ui/form.tsx";
import { Page } from "../ui/page.tsx";

const route = getRouteApi("/sign-in");

const REASONS: Readonly<Record<string, string>> = {
  "link.used":
    "This one-time link has been used or is older than 30 minutes. Sign in with an admin key, or restart Intertie for a new link.",
  "session.expired": "Your session has ended.",
};

export function SignInPage() {
  const { next, why } = route.useSearch();
  const router = useRouter();
  const client = useQueryClient();
  const signIn = useMutation({
    mutationFn: (key: string) => api.signIn({ key }),
    onSuccess: (session) => {
      client.setQueryData(queries.session().queryKey, session);
      // Only a path of this console: never an address that a crafted link names.
      router.history.push(next?.startsWith("/") && !next.startsWith("//") ? next : "/");
    },
  });
  return (
    <main className="alone">
      <Brand />
      <Page title="Sign in" lede="With an admin key: it begins with it_admin_.">
        {why ? (
          <p className="note" role="status">
            {REASONS[why] ?? `The link was refused (${why}). Sign in with an admin key.`}
          </p>
        ) : null}
        <Form
          action="Sign in"
          busy={signIn.isPending}
          error={signIn.error}
          onSubmit={(fields) => signIn.mutate(textOf(fields, "key"))}
        >
          <Input
            label="Admin key"
            name="key"
            type="password"
            autoComplete="current-password"
            required
            autoFocus
            spellCheck={false}
            error={signIn.error}
            hint={
              <>
                No key at hand? <code>intertie keys create --kind admin</code> on the server makes
                one.
              </>
            }
          />
        </Form>
      </Page>
    </main>
  );
}
