import type { Ipv4 } from '../net/ipv4.ts'
import { type Ipv6, ipv6Bytes } from '../net/ipv6.ts'
import { IPV4_OVERHEAD, IPV6_OVERHEAD } from '../net/mtu.ts'
import type { SubnetMap } from './subnet-map.ts'

/**
 * Never believe in less: what Linux does not either (net.ipv4.route.min_pmtu), and what every IPv6 link
 * carries (RFC 8200 section 5). A forged ICMP message could else make packets as small as it likes.
 */
const LEAST = 552
const LEAST6 = 1280

/** As long as the kernel remembers (net.ipv4.route.mtu_expires, RFC 1191 section 6.3). */
export const PATH_MTU_MEMORY_MS = 10 * 60_000

/** A peer is not asked about again sooner, should an answer not help. */
const PAUSE_MS = 100

const UNLIMITED = 0xffff

/** @returns MTU of the path to an outer address as the kernel knows it now, 0 if it does not */
export type AskPathMtu = (address: Ipv4 | Ipv6) => number

/**
 * How large a packet may be that goes to a peer: the peer MTU of its subnet, or less, once the kernel
 * has refused a datagram because the path is smaller (its own link, or a router's ICMP message). What
 * was learned belongs to the peer's address, so it outlives the numbers of a map.
 */
export class PathMtu {
  readonly #ask: AskPathMtu
  readonly #now: () => number
  readonly #memoryMs: number
  readonly #learned = new Map<Ipv4 | Ipv6, { limit: number; until: number }>()
  readonly #asked = new Map<Ipv4 | Ipv6, number>()
  #map: SubnetMap
  /** By peer number: the largest inner packet. */
  #limits: Uint16Array
  #nextExpiry = Infinity

  /** @param now milliseconds of a clock that never goes back */
  constructor(map: SubnetMap, ask: AskPathMtu, now: () => number, memoryMs = PATH_MTU_MEMORY_MS) {
    this.#memoryMs = memoryMs
    this.#map = map
    this.#ask = ask
    this.#now = now
    this.#limits = this.#limitsByNumber()
  }

  /** Numbers peers by another map. */
  use(map: SubnetMap): void {
    this.#map = map
    this.#limits = this.#limitsByNumber()
  }

  /** The largest inner packet for a remote subnet, in bytes. */
  mtuOf(entry: number): number {
    const mtu = this.#map.mtu(entry)
    const limit = this.#limits[this.#map.peer(entry)]!
    return limit < mtu ? limit : mtu
  }

  /** The largest inner packet that the path to a peer is known to carry, in bytes. */
  limitOf(peer: number): number {
    return this.#limits[peer]!
  }

  /** The kernel refused a datagram to the peer for its size (EMSGSIZE): asks what is left of the path. */
  onTooBig(peer: number): void {
    const address = this.#map.addressOf(peer)
    const now = this.#now()
    if (now < (this.#asked.get(address) ?? -PAUSE_MS) + PAUSE_MS) return
    this.#asked.set(address, now)
    const mtu = this.#ask(address)
    if (mtu === 0) return
    const isIpv6 = this.#map.isIpv6(peer)
    const limit = Math.max(mtu, isIpv6 ? LEAST6 : LEAST) - (isIpv6 ? IPV6_OVERHEAD : IPV4_OVERHEAD)
    this.#learned.set(address, { limit: Math.min(limit, UNLIMITED), until: now + this.#memoryMs })
    this.#limits = this.#limitsByNumber()
  }

  /** Forgets what is too old. To be called now and then; it costs nothing while nothing is known. */
  tick(): void {
    if (this.#learned.size > 0 && this.#now() >= this.#nextExpiry) {
      this.#limits = this.#limitsByNumber()
    }
  }

  #limitsByNumber(): Uint16Array {
    const limits = new Uint16Array(this.#map.peerCount + 1).fill(UNLIMITED)
    const now = this.#now()
    this.#nextExpiry = Infinity
    for (const [address, { limit, until }] of this.#learned) {
      if (now >= until) {
        this.#learned.delete(address)
        this.#asked.delete(address)
        continue
      }
      this.#nextExpiry = Math.min(this.#nextExpiry, until)
      const peer =
        typeof address === 'bigint'
          ? this.#map.peerOf6(ipv6Bytes(address), 0)
          : this.#map.peerOf(address)
      limits[peer] = limit
    }
    return limits
  }
}
