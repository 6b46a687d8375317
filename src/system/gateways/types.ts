// Gateways: processes that opened a session with control, and how often they did.
// Invariant: an epoch is given once; of two processes under one gateway's name, the one with the lower epoch is fenced.

export interface GatewayIdentity {
  readonly gateway: string;
  readonly cell: string;
  /** Where control reaches it, for the playground. */
  readonly address: string;
  readonly productVersion: string;
}
