// Every page with its path and what it keeps in the URL. All but sign-in need a session; a one-time link opens one.
// Invariant: the one-time token leaves the address bar before a page is drawn.

import { QueryCache, QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  Outlet,
  redirect,
  type ErrorComponentProps,
} from "@tanstack/react-router";
import { api, ApiFault, queries } from "./api.ts";
import { Shell } from "./app/shell.tsx";
import { KeysPage } from "./pages/keys.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { PlaygroundPage } from "./pages/playground.tsx";
import { PricesPage } from "./pages/prices.tsx";
import { ProjectsPage } from "./pages/projects.tsx";
import { RequestPage } from "./pages/request.tsx";
import { RequestsPage } from "./pages/requests.tsx";
import { SignInPage } from "./pages/sign-in.tsx";
import { StartPage } from "./pages/start.tsx";
import { SystemPage } from "./pages/system.tsx";
import { UpstreamsPage } from "./pages/upstreams.tsx";
import { UsagePage } from "./pages/usage.tsx";
import { ZonesPage } from "./pages/zones.tsx";
import { searches } from "./search.ts";
import { Empty, FaultNote } from "./ui/answer.tsx";

const isSignedOut = (error: unknown) => error instanceof ApiFault && error.status === 401;

export const queryClient: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    // The first refusal after a session has ended leads to sign-in, by the check before every page; that check's own refusal does not.
    onError: (error) => {
      const { queryKey } = queries.session();
      if (!isSignedOut(error) || queryClient.getQueryData(queryKey) === undefined) return;
      queryClient.removeQueries({ queryKey });
      void router.invalidate();
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      // A refusal stays a refusal; only an unreachable control is worth asking again.
      retry: (failures, error) => failures < 2 && !(error instanceof ApiFault && error.status > 0),
    },
  },
});

const root = createRootRouteWithContext<{ queryClient: QueryClient }>()({
  component: Outlet,
  errorComponent: Failure,
  notFoundComponent: () => (
    <main className="alone">
      <Empty
        title="There is no such page"
        action={
          <a className="button primary" href="/">
            Overview
          </a>
        }
      >
        The address may be mistyped, or the page has moved.
      </Empty>
    </main>
  ),
});

function Failure({ error, reset }: ErrorComponentProps) {
  return (
    <main className="alone">
      <h1>This page could not be shown</h1>
      <FaultNote error={error} onRetry={reset} />
    </main>
  );
}

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: searches.signIn,
  component: SignInPage,
});

/** `/start?link=…`, as `intertie up` prints it. */
function oneTimeToken(location: {
  pathname: string;
  search: { link?: unknown };
}): string | undefined {
  return location.pathname === "/start" && typeof location.search.link === "string"
    ? location.search.link
    : undefined;
}

const app = createRoute({
  getParentRoute: () => root,
  id: "app",
  component: Shell,
  beforeLoad: async ({ location }) => {
    const link = oneTimeToken(location);
    try {
      if (link === undefined) await queryClient.ensureQueryData(queries.session());
      else queryClient.setQueryData(queries.session().queryKey, await api.signIn({ link }));
    } catch (error) {
      if (link !== undefined && error instanceof ApiFault)
        throw redirect({ to: "/sign-in", search: { why: error.code }, replace: true });
      if (!isSignedOut(error)) throw error;
      throw redirect({
        to: "/sign-in",
        search: location.href === "/" ? {} : { next: location.href },
        replace: true,
      });
    }
    if (link !== undefined) throw redirect({ to: "/start", search: {}, replace: true });
  },
});

const below = <const P extends string>(path: P) => ({ getParentRoute: () => app, path });

const pages = [
  createRoute({ ...below("/"), validateSearch: searches.overview, component: OverviewPage }),
  createRoute({ ...below("/start"), validateSearch: searches.start, component: StartPage }),
  createRoute({
    ...below("/requests"),
    validateSearch: searches.requests,
    component: RequestsPage,
  }),
  createRoute({ ...below("/requests/$requestId"), component: RequestPage }),
  createRoute({ ...below("/usage"), validateSearch: searches.usage, component: UsagePage }),
  createRoute({ ...below("/zones"), component: ZonesPage }),
  createRoute({
    ...below("/upstreams"),
    validateSearch: searches.upstreams,
    component: UpstreamsPage,
  }),
  createRoute({
    ...below("/playground"),
    validateSearch: searches.playground,
    component: PlaygroundPage,
  }),
  createRoute({ ...below("/keys"), validateSearch: searches.keys, component: KeysPage }),
  createRoute({
    ...below("/projects"),
    validateSearch: searches.projects,
    component: ProjectsPage,
  }),
  createRoute({ ...below("/prices"), validateSearch: searches.prices, component: PricesPage }),
  createRoute({ ...below("/system"), component: SystemPage }),
] as const;

export const router = createRouter({
  routeTree: root.addChildren([signIn, app.addChildren(pages)]),
  context: { queryClient },
  defaultPreload: "intent",
  defaultErrorComponent: Failure,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
