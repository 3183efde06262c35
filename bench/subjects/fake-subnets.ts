/** A subnet behind a host that does not exist. */
export interface FakeSubnet {
  /** The first three bytes of a /24: "100.64.7". */
  readonly subnet: string
  readonly mac: string
  /** One for each subnet; nothing is ever sent there, and the lab's gateway would refuse it. */
  readonly publicIp: string
}

/** As many subnets of 100.64.0.0/10 (RFC 6598), each behind a host of its own in 172.24.0.0/14. At most 16,384. */
export function fakeSubnets(count: number): FakeSubnet[] {
  return Array.from({ length: count }, (_, index) => {
    const [high, low] = [index >> 8, index & 255]
    const bytes = [high, low].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
    return {
      subnet: `100.${64 + high}.${low}`,
      mac: `02:01:00:00:${bytes}`,
      publicIp: `172.${24 + (high >> 6)}.${high & 63}.${low}`,
    }
  })
}
