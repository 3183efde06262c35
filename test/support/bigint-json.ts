/** JSON in which IPv6 addresses pass, as text such as "1n". */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part))
}

/** What toJson wrote. */
export function fromJson(text: string): unknown {
  return JSON.parse(text, (_, part: unknown) =>
    typeof part === 'string' && /^\d+n$/.test(part) ? BigInt(part.slice(0, -1)) : part,
  )
}
