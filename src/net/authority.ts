/** A host and a port as a URL has them: "172.18.10.96:2379", "[fd00:18::96]:2379" (RFC 3986 section 3.2). */
export function authorityOf(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
