// One request on its own page: it opens by its id even when it is outside the last 1,000.

import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { queries } from "../api.ts";
import { Answer } from "../ui/answer.tsx";
import { CopyButton, Id } from "../ui/controls.tsx";
import { Page } from "../ui/page.tsx";
import { RequestChain } from "../ui/request-chain.tsx";

const route = getRouteApi("/app/requests/$requestId");

export function RequestPage() {
  const { requestId } = route.useParams();
  const request = useQuery(queries.request(requestId));
  return (
    <Page
      title="Request"
      lede={<Id id={requestId} />}
      actions={<CopyButton text={location.href} label="Copy link" />}
    >
      <Answer query={request}>{(detail) => <RequestChain detail={detail} />}</Answer>
    </Page>
  );
}
