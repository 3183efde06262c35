import type { Ipv4 } from '../net/ipv4.ts'
import type { Ipv6 } from '../net/ipv6.ts'
import { IPV4_OVERHEAD, IPV6_OVERHEAD } from '../net/mtu.ts'
import { LEAST_MTU6 } from '../packet/ipv6.ts'
import type { SubnetMap } from './subnet-map.ts'

/**
 * Never believe in less over IPv4: what Linux does not either (net.ipv4.route.min_pmtu). A forged ICMP message could else make packets as small as it likes.
 */
const LEAST = 552

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
  #map: SubnetMap
  /** By peer number: the largest inner packet. */
  #limits: Uint16Array
  /** By peer number: when it may be asked about again. */
  #askableAt: Float64Array
  #nextExpiry = Infinity

  /** @param now milliseconds of a clock that never goes back */
  constructor(map: SubnetMap, ask: AskPathMtu, now: () => number, memoryMs = PATH_MTU_MEMORY_MS) {
    this.#memoryMs = memoryMs
    this.#map = map
    this.#ask = ask
    this.#now = now
    this.#limits = this.#limitsByNumber()
    this.#askableAt = new Float64Array(map.peerCount + 1)
  }

  /** Numbers peers by another map. */
  use(map: SubnetMap): void {
    this.#map = map
    this.#limits = this.#limitsByNumber()
    this.#askableAt = new Float64Array(map.peerCount + 1)
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

  /**
   * The kernel refused a datagram to the peer for its size (EMSGSIZE): asks what is left of the path. An
   * answer that does not explain the refusal is about another path (a route may depend on ports), or
   * there is none; then it is what nearly every path carries, and the least if that was refused.
   * @param refused length of the inner packet, in bytes
   */
  onTooBig(peer: number, refused: number): void {
    const now = this.#now()
    if (now < this.#askableAt[peer]!) return
    this.#askableAt[peer] = now + PAUSE_MS
    const address = this.#map.addressOf(peer)
    const [overhead, least] =
      typeof address === 'bigint' ? [IPV6_OVERHEAD, LEAST_MTU6] : [IPV4_OVERHEAD, LEAST]
    const answer = this.#ask(address)
    const explains = answer !== 0 && answer - overhead < refused
    const mtu = explains ? answer : LEAST_MTU6 - overhead < refused ? LEAST_MTU6 : least
    const limit = Math.min(Math.max(mtu, least) - overhead, UNLIMITED)
    this.#learned.set(address, { limit, until: now + this.#memoryMs })
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
        continue
      }
      this.#nextExpiry = Math.min(this.#nextExpiry, until)
      limits[this.#map.peerWith(address)] = limit
    }
    return limits
  }
}
