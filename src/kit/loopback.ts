// Which hosts are this very machine and nobody else: what a plain connection may carry secrets to. Pure.

/** A name or an address, also as URLs write it (`[::1]`). Numbers in other spellings are not: URL parsers have undone those. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/.test(host);
}

/** For fetch: on loopback nobody is in between, and no certificate names 127.0.0.1, so there TLS need not prove a name. */
export function nearTls(url: string | URL): {
  readonly tls?: { readonly rejectUnauthorized: false };
} {
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" && isLoopback(hostname)
    ? { tls: { rejectUnauthorized: false } }
    : {};
}
