import type { Network } from './journal.ts'

/** A network of this host as whoever asked for it still has it, whatever the journal says. */
export interface KnownNetwork {
  readonly id: string
  readonly name: string
  readonly ipam: Network['ipam']
  readonly internal: boolean
  /** False where it was made for IPv6 alone. */
  readonly ipv4: boolean
  readonly mtu: number | null
  readonly egress: Network['egress']
  /** The subnet as far as it is known there: "10.33.5.0/24", a whole pool, or nothing. */
  readonly subnet: string | null
  /** The bridge's address where it was chosen there, "10.33.5.1". */
  readonly gateway: string | null
  /** The same two of IPv6: "fd0d:cafe:1:5::/64", "fd0d:cafe:1:5::1". */
  readonly subnet6: string | null
  readonly gateway6: string | null
  /** Addresses set aside there, of either family: "10.33.5.9". */
  readonly reserved: readonly string[]
  readonly endpoints: readonly KnownEndpoint[]
}

/** A container's attachment, while the container runs. */
export interface KnownEndpoint {
  readonly id: string
  readonly containerId: string
  /** "10.33.5.2/17"; null in a network without IPv4. */
  readonly address: string | null
  /** "fd0d:cafe:1:5::2/64"; null in a network without IPv6. */
  readonly address6: string | null
  readonly mac: string
}

/** Whoever asked for this host's networks, to be asked for them in turn; never within one of its own calls. */
export interface KnownNetworks {
  /** All networks of ours. @throws when it cannot be asked now */
  list(): Promise<readonly KnownNetwork[]>
  /** Path of a running container's network namespace; null when it does not run. @throws like list() */
  sandboxOf(containerId: string): Promise<string | null>
}
