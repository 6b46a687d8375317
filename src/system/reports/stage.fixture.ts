// For this room's tests: its routes over given reads, asked by somebody of an organisation, at 10:17:20 of the fixture's day.
// Invariant: an answer is taken apart by its own schema, so a test that reads one also checks its shape.

import { expect } from "bun:test";
import { openAsk, someone } from "../../http/ask.fixture.ts";
import { manualClock } from "../../kit/clock.ts";
import type { OrganisationId } from "../../kit/id.ts";
import { reportRoutes } from "./routes.ts";
import { createReportService, type ReportDeps } from "./service.ts";
import { Overview, RequestDetail, RequestPage, Usage } from "./types.ts";

type Values = Readonly<Record<string, string | number>>;

export const DAY = { from: "2026-11-24T00:00:00Z", to: "2026-11-25T00:00:00Z" };
export const NOW_MS = Date.parse("2026-11-24T10:17:20Z");

export const query = (values: Values) =>
  `?${new URLSearchParams(Object.entries(values).map(([name, value]) => [name, String(value)]))}`;

export function openStage(deps: Omit<ReportDeps, "clock">) {
  const clock = manualClock(NOW_MS);
  const ask = openAsk(reportRoutes(createReportService({ ...deps, clock })));
  const asReader = (organisationId: OrganisationId) => {
    const as = someone(organisationId, ["usage.read", "requests.read"]);
    const get = (path: string) => ask("GET", path, { as });
    const answer = async (path: string) => {
      const { status, body } = await get(path);
      expect([status, body]).toEqual([200, expect.anything()]);
      return body;
    };
    return {
      get,
      overview: async (minutes: number) =>
        Overview.parse(await answer(`/overview?minutes=${minutes}`)),
      usage: async (values: Values) =>
        Usage.parse(await answer(`/usage${query({ ...DAY, ...values })}`)),
      requests: async (values: Values = {}) =>
        RequestPage.parse(await answer(`/requests${query(values)}`)),
      request: async (id: string) => RequestDetail.parse(await answer(`/requests/${id}`)),
    };
  };
  return { ask, asReader };
}
