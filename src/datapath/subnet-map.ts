import { compareCidr } from '../net/cidr.ts'
import { macBytes } from '../net/mac.ts'
import type { ForwardingTables } from './tables.ts'

/**
 * The forwarding tables as one block of shared memory: written once by the main thread, then only
 * read. A change is a new block, which a worker takes up between two packets, so no reader ever sees
 * half an entry and no worker is stopped.
 *
 *   header | entries | peers | VNIs | root: 65,536 words by address bits 0–15 | nodes of 256 words
 *
 * A word of the root or of a node is 0 (nothing), the number of an entry, or NODE | number of a node
 * that decides by the next eight bits. Two steps find a /24, three a /32, whatever the table's size.
 */
const ENTRY_COUNT = 0
const PEER_SLOTS = 1
const VNI_SLOTS = 2
const OWN_MAC = 16 // bytes
const HEADER_WORDS = 8

const ENTRY_WORDS = 8
const VNI = 0
const PUBLIC_IP = 1
const MTU = 2
const MAC = 12 // bytes from the entry's begin

const ROOT_WORDS = 65_536
const NODE_WORDS = 256
const NODE = 0x8000_0000

/** Entry number of an address in no subnet. */
export const NO_ENTRY = 0

/** Lays the tables out. 65,536 subnets of /24 take 3 MB. */
export function buildSubnetMap(tables: ForwardingTables): SharedArrayBuffer {
  // Wider prefixes first, so that a longer one overwrites what it refines; of equals the local wins.
  const subnets = [
    ...tables.remote.map((remote) => ({ ...remote, local: false })),
    ...tables.local.map((local) => ({
      ...local,
      local: true,
      publicIp: 0,
      mtu: 0,
      vtepMac: tables.vtepMac,
    })),
  ].sort((a, b) => a.subnet.length - b.subnet.length || compareCidr(a.subnet, b.subnet))
  const peers = new Set(tables.remote.map((remote) => remote.publicIp))
  const vnis = new Set(tables.local.map((local) => local.vni))
  vnis.delete(0)
  const middle = new Set(
    subnets.filter((s) => s.subnet.length > 16).map((s) => s.subnet.base >>> 16),
  )
  const low = new Set(subnets.filter((s) => s.subnet.length > 24).map((s) => s.subnet.base >>> 8))

  const peerSlots = slotsFor(peers.size)
  const vniSlots = slotsFor(vnis.size)
  const entriesAt = HEADER_WORDS
  const peersAt = entriesAt + (subnets.length + 1) * ENTRY_WORDS
  const rootAt = peersAt + peerSlots + vniSlots
  const nodesAt = rootAt + ROOT_WORDS
  const size = nodesAt + (middle.size + low.size) * NODE_WORDS

  const buffer = new SharedArrayBuffer(size * 4)
  const words = new Uint32Array(buffer)
  const bytes = new Uint8Array(buffer)
  words[ENTRY_COUNT] = subnets.length
  words[PEER_SLOTS] = peerSlots
  words[VNI_SLOTS] = vniSlots
  bytes.set(macBytes(tables.vtepMac), OWN_MAC)
  for (const peer of peers) insertInto(words, peersAt, peerSlots, peer)
  for (const vni of vnis) insertInto(words, peersAt + peerSlots, vniSlots, vni)

  let nodes = 0
  /** The node below a word; made, and filled with what stood there, if there is none. */
  const nodeBelow = (word: number): number => {
    const value = words[word]!
    if (value >= NODE) return nodesAt + (value - NODE) * NODE_WORDS
    const at = nodesAt + nodes * NODE_WORDS
    words.fill(value, at, at + NODE_WORDS)
    words[word] = NODE + nodes++
    return at
  }
  subnets.forEach(({ subnet, vni, publicIp, mtu, vtepMac, local }, index) => {
    const number = index + 1
    const entry = entriesAt + number * ENTRY_WORDS
    words[entry + VNI] = vni
    words[entry + PUBLIC_IP] = publicIp
    words[entry + MTU] = local ? 0 : mtu
    bytes.set(macBytes(vtepMac), entry * 4 + MAC)

    const { base, length } = subnet
    let first = rootAt + (base >>> 16)
    let span = 16 - length
    if (length > 16) {
      first = nodeBelow(first) + ((base >>> 8) & 255)
      span = 24 - length
    }
    if (length > 24) {
      first = nodeBelow(first) + (base & 255)
      span = 32 - length
    }
    words.fill(number, first, first + 2 ** span)
  })
  return buffer
}

/** A reader of a built map. */
export class SubnetMap {
  /** MACs are read here at the offsets that macAt() and ownMacAt give. */
  readonly bytes: Uint8Array
  readonly ownMacAt = OWN_MAC
  readonly #words: Uint32Array
  readonly #peersAt: number
  readonly #peerSlots: number
  readonly #vnisAt: number
  readonly #vniSlots: number
  readonly #rootAt: number
  readonly #nodesAt: number

  constructor(buffer: SharedArrayBuffer) {
    this.bytes = new Uint8Array(buffer)
    const words = new Uint32Array(buffer)
    this.#words = words
    this.#peerSlots = words[PEER_SLOTS]!
    this.#vniSlots = words[VNI_SLOTS]!
    this.#peersAt = HEADER_WORDS + (words[ENTRY_COUNT]! + 1) * ENTRY_WORDS
    this.#vnisAt = this.#peersAt + this.#peerSlots
    this.#rootAt = this.#vnisAt + this.#vniSlots
    this.#nodesAt = this.#rootAt + ROOT_WORDS
  }

  /** The entry of the longest prefix that holds the address, or NO_ENTRY. */
  lookup(ip: number): number {
    const words = this.#words
    let value = words[this.#rootAt + (ip >>> 16)]!
    if (value < NODE) return value
    value = words[this.#nodesAt + (value - NODE) * NODE_WORDS + ((ip >>> 8) & 255)]!
    if (value < NODE) return value
    return words[this.#nodesAt + (value - NODE) * NODE_WORDS + (ip & 255)]!
  }

  isLocal(entry: number): boolean {
    return this.publicIp(entry) === 0
  }

  vni(entry: number): number {
    return this.#words[HEADER_WORDS + entry * ENTRY_WORDS + VNI]!
  }

  /** Of a remote subnet; 0 for a local one. */
  publicIp(entry: number): number {
    return this.#words[HEADER_WORDS + entry * ENTRY_WORDS + PUBLIC_IP]!
  }

  /** Peer MTU of a remote subnet. */
  mtu(entry: number): number {
    return this.#words[HEADER_WORDS + entry * ENTRY_WORDS + MTU]!
  }

  /** Where in `bytes` the MAC of the subnet's VTEP stands. */
  macAt(entry: number): number {
    return (HEADER_WORDS + entry * ENTRY_WORDS) * 4 + MAC
  }

  /** Whether any remote subnet is behind that address. */
  knowsPeer(ip: number): boolean {
    return isIn(this.#words, this.#peersAt, this.#peerSlots, ip)
  }

  /** Whether any local subnet has the VNI. */
  knowsVni(vni: number): boolean {
    return isIn(this.#words, this.#vnisAt, this.#vniSlots, vni)
  }
}

// A set of non-zero numbers: open addressing, at most half full.

function slotsFor(size: number): number {
  let slots = 8
  while (slots < size * 2) slots *= 2
  return slots
}

function slotOf(value: number, slots: number): number {
  return (Math.imul(value, 0x9e3779b1) >>> 8) & (slots - 1)
}

function insertInto(words: Uint32Array, at: number, slots: number, value: number): void {
  let slot = slotOf(value, slots)
  while (words[at + slot] !== 0) slot = (slot + 1) & (slots - 1)
  words[at + slot] = value
}

function isIn(words: Uint32Array, at: number, slots: number, value: number): boolean {
  let slot = slotOf(value, slots)
  for (;;) {
    const found = words[at + slot]!
    if (found === 0) return false
    if (found === value) return true
    slot = (slot + 1) & (slots - 1)
  }
}
