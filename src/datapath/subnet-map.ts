import type { Ipv4 } from '../net/ipv4.ts'
import { type Ipv6, ipv6Bytes } from '../net/ipv6.ts'
import { hashOfWords, MAX_PROBES } from './bounded-hash.ts'
import { SOCKADDR_IN6_LENGTH } from './socket-abi.ts'
import * as at from './subnet-map-layout.ts'

/** Entry number of an address in no subnet. */
export const NO_ENTRY = 0

/** Peer number of an address that is no other host's, and of this host's own subnets. */
export const NO_PEER = 0

/**
 * A reader of the forwarding tables as buildSubnetMap lays them out. A block is never written again:
 * a change is a new block, which a worker takes up between two packets, so no reader ever sees half an
 * entry and no worker is stopped. Numbers of entries and peers mean something in their own block only.
 */
export class SubnetMap {
  /** MACs are read here at the offsets that macAt() and ownMacAt give. */
  readonly bytes: Uint8Array
  readonly ownMacAt = at.OWN_MAC
  /** How many; they are numbered from 1. */
  readonly peerCount: number
  readonly #words: Int32Array
  readonly #root: number
  readonly #nodes: number
  readonly #lengths: number
  readonly #endOfLengths: number
  /** Whether any prefix of IPv6 is longer than 64 bits; mostly none is, and half the address is enough. */
  readonly #isWide: boolean
  readonly #peers: number

  constructor(buffer: SharedArrayBuffer) {
    this.bytes = new Uint8Array(buffer)
    const words = new Int32Array(buffer)
    this.#words = words
    this.#root = words[at.ROOT]!
    this.#nodes = words[at.NODES]!
    this.#lengths = words[at.LENGTHS]!
    this.#endOfLengths = this.#lengths + words[at.LENGTH_COUNT]! * at.LENGTH_WORDS
    // The longest stands first.
    this.#isWide = words[at.LENGTH_COUNT]! > 0 && words[this.#lengths + at.MASK + 2] !== 0
    this.peerCount = words[at.PEER_COUNT]!
    this.#peers = words[at.PEERS]!
  }

  /** The entry of the longest prefix that holds the address, or NO_ENTRY. */
  lookup(ip: number): number {
    const words = this.#words
    let value = words[this.#root + (ip >>> 16)]!
    for (let shift = 12; value < 0; shift -= at.NODE_BITS) {
      value = words[this.#nodes + ~value * at.NODE_WORDS + ((ip >>> shift) & 15)]!
    }
    return value
  }

  /** The same for the IPv6 address in the 16 bytes at an offset: a search for each length in use. */
  lookup6(bytes: Uint8Array, offset: number): number {
    const words = this.#words
    const a = word(bytes, offset)
    const b = word(bytes, offset + 4)
    const c = this.#isWide ? word(bytes, offset + 8) : 0
    const d = this.#isWide ? word(bytes, offset + 12) : 0
    for (let length = this.#lengths; length < this.#endOfLengths; length += at.LENGTH_WORDS) {
      const entry = this.#find(
        length,
        a & words[length]!,
        b & words[length + 1]!,
        c & words[length + 2]!,
        d & words[length + 3]!,
      )
      if (entry !== NO_ENTRY) return entry
    }
    return NO_ENTRY
  }

  /** Whether the subnet is this host's own. */
  isLocal(entry: number): boolean {
    return this.peer(entry) === NO_PEER
  }

  vni(entry: number): number {
    return this.#words[at.ENTRIES + entry * at.ENTRY_WORDS + at.VNI]!
  }

  /** The host behind which the subnet is; NO_PEER for a local one. */
  peer(entry: number): number {
    return this.#words[at.ENTRIES + entry * at.ENTRY_WORDS + at.PEER]!
  }

  /** Peer MTU of a remote subnet. */
  mtu(entry: number): number {
    return this.#words[at.ENTRIES + entry * at.ENTRY_WORDS + at.MTU]!
  }

  /** Where in `bytes` the MAC of the subnet's VTEP stands. */
  macAt(entry: number): number {
    return (at.ENTRIES + entry * at.ENTRY_WORDS) * 4 + at.MAC
  }

  /** The peer whose outer address it is, or NO_PEER. */
  peerOf(ip: number): number {
    return this.#findPeer(ip | 0, 0, 0, 0, false)
  }

  /** The same for the IPv6 address in the 16 bytes at an offset. */
  peerOf6(bytes: Uint8Array, offset: number): number {
    return this.#findPeer(
      word(bytes, offset),
      word(bytes, offset + 4),
      word(bytes, offset + 8),
      word(bytes, offset + 12),
      true,
    )
  }

  /** Whether the peer's outer address is IPv6. */
  isIpv6(peer: number): boolean {
    return this.#words[this.#peerAt(peer) + at.SOCKADDR_LENGTH] === SOCKADDR_IN6_LENGTH
  }

  /**
   * Writes the peer's struct sockaddr_in or sockaddr_in6, with port 0, from that word on.
   * @returns its length in bytes
   */
  copySockaddr(peer: number, to: Uint32Array, toWord: number): number {
    const words = this.#words
    const from = this.#peerAt(peer)
    const length = words[from + at.SOCKADDR_LENGTH]!
    for (let i = 0; i < length >>> 2; i++) to[toWord + i] = words[from + at.SOCKADDR + i]!
    return length
  }

  /** The number of the peer with that outer address, or NO_PEER: addressOf() the other way round. */
  peerWith(address: Ipv4 | Ipv6): number {
    return typeof address === 'bigint' ? this.peerOf6(ipv6Bytes(address), 0) : this.peerOf(address)
  }

  /** The peer's outer address as a value, for what is not done for every packet. */
  addressOf(peer: number): Ipv4 | Ipv6 {
    const from = this.#peerAt(peer) + at.ADDRESS
    const parts = this.#words.subarray(from, from + 4)
    if (!this.isIpv6(peer)) return parts[0]! >>> 0
    return parts.reduce((sum, part) => (sum << 32n) | BigInt(part >>> 0), 0n)
  }

  /** Whether any local subnet has the VNI. */
  knowsVni(vni: number): boolean {
    const words = this.#words
    const mask = words[at.VNI_SLOTS]! - 1
    const hash = hashOfWords(words[at.VNI_SEED]!, vni, 0, 0, 0)
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const found = words[words[at.VNI_TABLE]! + ((hash + probe) & mask)]!
      if (found === 0) return false
      if (found === vni) return true
    }
    return false
  }

  #peerAt(peer: number): number {
    return this.#peers + (peer - 1) * at.PEER_WORDS
  }

  #find(length: number, a: number, b: number, c: number, d: number): number {
    const words = this.#words
    const table = words[length + at.TABLE]!
    const mask = words[length + at.SLOTS]! - 1
    const hash = hashOfWords(words[length + at.SEED]!, a, b, c, d)
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const slot = table + ((hash + probe) & mask) * at.SLOT_WORDS
      const entry = words[slot + at.ENTRY]!
      if (entry === NO_ENTRY) return NO_ENTRY
      const prefix = slot + at.PREFIX
      if (
        words[prefix] === a &&
        words[prefix + 1] === b &&
        words[prefix + 2] === c &&
        words[prefix + 3] === d
      ) {
        return entry
      }
    }
    return NO_ENTRY
  }

  #findPeer(a: number, b: number, c: number, d: number, isIpv6: boolean): number {
    const words = this.#words
    const mask = words[at.PEER_SLOTS]! - 1
    const hash = hashOfWords(words[at.PEER_SEED]!, a, b, c, d)
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const peer = words[words[at.PEER_TABLE]! + ((hash + probe) & mask)]!
      if (peer === NO_PEER) return NO_PEER
      const address = this.#peerAt(peer) + at.ADDRESS
      if (
        words[address] === a &&
        words[address + 1] === b &&
        words[address + 2] === c &&
        words[address + 3] === d &&
        this.isIpv6(peer) === isIpv6
      ) {
        return peer
      }
    }
    return NO_PEER
  }
}

/** Four bytes in network order as a signed number, as the block holds them. */
function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}
