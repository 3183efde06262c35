import type { Cidr } from '../net/cidr.ts'
import { type Cidr6, isCidr6, prefixOf6 } from '../net/cidr6.ts'
import type { Ipv4 } from '../net/ipv4.ts'
import { type Ipv6, ipv6Bytes } from '../net/ipv6.ts'
import { type Mac, macBytes } from '../net/mac.ts'
import { store32 } from '../packet/bytes.ts'
import { type HashTable, hashOfWords, layOut } from './bounded-hash.ts'
import * as abi from './socket-abi.ts'
import * as at from './subnet-map-layout.ts'
import type { ForwardingTables } from './tables.ts'

interface Entry<Prefix = Cidr | Cidr6> {
  readonly subnet: Prefix
  readonly vni: number
  readonly peer: number
  readonly vtepMac: Mac
  readonly mtu: number
}

const CACHE_LINE_WORDS = 16

type Words = readonly [number, number, number, number]

/** Lays the tables out for SubnetMap; subnet-map-layout.ts draws it. */
export function buildSubnetMap(tables: ForwardingTables): SharedArrayBuffer {
  const addressOf = new Map(tables.remote.map(({ publicIp }) => [keyOf(publicIp), publicIp]))
  const addresses = [...addressOf.values()]
  const peerOf = new Map([...addressOf.keys()].map((key, index) => [key, index + 1]))
  const entries: Entry[] = tables.remote.map(({ subnet, vni, publicIp, vtepMac, mtu }) => ({
    subnet,
    vni,
    peer: peerOf.get(keyOf(publicIp))!,
    vtepMac,
    mtu,
  }))
  // Of equal subnets the local one wins, being written later.
  for (const { subnet, vni } of tables.local) {
    entries.push({ subnet, vni, peer: 0, vtepMac: tables.vtepMac, mtu: 0 })
  }
  const ipv4 = entries.filter(isIpv4)
  const ipv6 = entries.filter(isIpv6)

  const header = new Int32Array(at.HEADER_WORDS)
  bytesOf(header).set(macBytes(tables.vtepMac), at.OWN_MAC)
  header[at.PEER_COUNT] = addresses.length
  const block = new Block(header)
  block.add(entryWords([...ipv4, ...ipv6]))
  header[at.PEERS] = block.add(peerWords(addresses))

  const keys = addresses.map(wordsOf)
  const numbers = keys.map((_, index) => index + 1)
  const peerTable = layOut(numbers, (index, seed) => hashOfWords(seed, ...keys[index]!))
  header[at.PEER_TABLE] = block.add(peerTable.slots)
  header[at.PEER_SLOTS] = peerTable.slots.length
  header[at.PEER_SEED] = peerTable.seed

  const vnis = [...new Set(tables.local.map((local) => local.vni))].filter((vni) => vni !== 0)
  const vniTable = layOut(vnis, (index, seed) => hashOfWords(seed, vnis[index]!, 0, 0, 0))
  header[at.VNI_TABLE] = block.add(vniTable.slots)
  header[at.VNI_SLOTS] = vniTable.slots.length
  header[at.VNI_SEED] = vniTable.seed

  const { root, nodes } = treeWords(ipv4)
  header[at.ROOT] = block.add(root)
  header[at.NODES] = block.add(nodes)

  // Longest first: the first that matches is the answer.
  const byLength = [...placesByLength(ipv6)].sort(([a], [b]) => b - a)
  const records = new Int32Array(byLength.length * at.LENGTH_WORDS)
  header[at.LENGTH_COUNT] = byLength.length
  header[at.LENGTHS] = block.add(records)
  for (const [index, [length, places]] of byLength.entries()) {
    const distinct = new Map(
      places.map((place) => {
        const { address } = ipv6[place]!.subnet
        return [keyOf(address), { entry: ipv4.length + 1 + place, prefix: wordsOf(address) }]
      }),
    )
    const { seed, slots } = prefixTable([...distinct.values()])
    const record = index * at.LENGTH_WORDS
    records.set(wordsOf(prefixOf6(2n ** 128n - 1n, length).address), record + at.MASK)
    records[record + at.TABLE] = block.add(slots)
    records[record + at.SLOTS] = slots.length / at.SLOT_WORDS
    records[record + at.SEED] = seed
  }
  return block.shared()
}

/**
 * For a Map. V8 hashes a bigint by its lowest 64 bits alone, which are zero in most prefixes: as keys,
 * 65,536 of them would take half a minute.
 */
function keyOf(address: Ipv4 | Ipv6): number | string {
  return typeof address === 'bigint' ? address.toString(36) : address
}

/** Parts of the block, one behind the other, each at the begin of a cache line. */
class Block {
  readonly #parts: Int32Array[] = []
  #words = 0

  constructor(header: Int32Array) {
    this.add(header)
  }

  /** @returns where the part begins, in words */
  add(part: Int32Array): number {
    const begin = this.#words
    this.#parts.push(part)
    this.#words += paddedLength(part)
    return begin
  }

  shared(): SharedArrayBuffer {
    const buffer = new SharedArrayBuffer(this.#words * 4)
    const words = new Int32Array(buffer)
    let begin = 0
    for (const part of this.#parts) {
      words.set(part, begin)
      begin += paddedLength(part)
    }
    return buffer
  }
}

function paddedLength(part: Int32Array): number {
  return Math.ceil(part.length / CACHE_LINE_WORDS) * CACHE_LINE_WORDS
}

function entryWords(entries: readonly Entry[]): Int32Array {
  const words = new Int32Array((entries.length + 1) * at.ENTRY_WORDS)
  const bytes = bytesOf(words)
  for (const [index, { vni, peer, mtu, vtepMac }] of entries.entries()) {
    const word = (index + 1) * at.ENTRY_WORDS
    words[word + at.VNI] = vni
    words[word + at.PEER] = peer
    words[word + at.MTU] = mtu
    bytes.set(macBytes(vtepMac), word * 4 + at.MAC)
  }
  return words
}

function peerWords(addresses: readonly (Ipv4 | Ipv6)[]): Int32Array {
  const words = new Int32Array(addresses.length * at.PEER_WORDS)
  const bytes = bytesOf(words)
  for (const [index, address] of addresses.entries()) {
    const word = index * at.PEER_WORDS
    const sockaddr = (word + at.SOCKADDR) * 4
    const isIpv6 = typeof address === 'bigint'
    bytes[sockaddr] = isIpv6 ? abi.AF_INET6 : abi.AF_INET
    if (isIpv6) bytes.set(ipv6Bytes(address), sockaddr + abi.SOCKADDR_IP6)
    else store32(bytes, sockaddr + abi.SOCKADDR_IP, address)
    words[word + at.SOCKADDR_LENGTH] = isIpv6 ? abi.SOCKADDR_IN6_LENGTH : abi.SOCKADDR_IN_LENGTH
    words.set(wordsOf(address), word + at.ADDRESS)
  }
  return words
}

/** The subnets of one prefix length, to be found by their addresses. */
function prefixTable(subnets: readonly { entry: number; prefix: Words }[]): HashTable {
  const places = subnets.map((_, index) => index + 1)
  const table = layOut(places, (index, seed) => hashOfWords(seed, ...subnets[index]!.prefix))
  const slots = new Int32Array(table.slots.length * at.SLOT_WORDS)
  for (const [index, place] of table.slots.entries()) {
    if (place === 0) continue
    const { entry, prefix } = subnets[place - 1]!
    slots[index * at.SLOT_WORDS + at.ENTRY] = entry
    slots.set(prefix, index * at.SLOT_WORDS + at.PREFIX)
  }
  return { seed: table.seed, slots }
}

/** @param entries numbered from 1 in this order */
function treeWords(entries: readonly Entry<Cidr>[]): { root: Int32Array; nodes: Int32Array } {
  const root = new Int32Array(at.ROOT_WORDS)
  let nodes = new Int32Array(at.NODE_WORDS)
  let end = 0
  /** Where the node below a word begins; made, and filled with what stood there, if there is none. */
  const nodeBelow = (isRoot: boolean, word: number): number => {
    const value = isRoot ? root[word]! : nodes[word]!
    if (value < 0) return ~value * at.NODE_WORDS
    const begin = end
    end += at.NODE_WORDS
    if (end > nodes.length) nodes = grown(nodes)
    nodes.fill(value, begin, end)
    const above = isRoot ? root : nodes
    above[word] = ~(begin / at.NODE_WORDS)
    return begin
  }
  // Wider prefixes first, so that a longer one overwrites what it refines.
  for (const [length, places] of [...placesByLength(entries)].sort(([a], [b]) => a - b)) {
    for (const place of places) {
      const { base } = entries[place]!.subnet
      let word = base >>> (32 - at.ROOT_BITS)
      let bits = at.ROOT_BITS
      while (length > bits) {
        const node = nodeBelow(bits === at.ROOT_BITS, word)
        bits += at.NODE_BITS
        word = node + ((base >>> (32 - bits)) & (at.NODE_WORDS - 1))
      }
      const words = bits === at.ROOT_BITS ? root : nodes
      words.fill(place + 1, word, word + 2 ** (bits - length))
    }
  }
  return { root, nodes: nodes.subarray(0, end) }
}

function grown(words: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(words.length * 2)
  longer.set(words)
  return longer
}

/** Places in the list of the subnets of each prefix length, in their order. */
function placesByLength(entries: readonly Entry[]): Map<number, number[]> {
  return Map.groupBy(entries.keys(), (place) => entries[place]!.subnet.length)
}

/** An address as SubnetMap compares it: the first of four words for IPv4, all four for IPv6. */
function wordsOf(address: Ipv4 | Ipv6): Words {
  if (typeof address === 'number') return [address | 0, 0, 0, 0]
  const part = (shift: bigint): number => Number((address >> shift) & 0xffff_ffffn) | 0
  return [part(96n), part(64n), part(32n), part(0n)]
}

function bytesOf(words: Int32Array): Uint8Array {
  return new Uint8Array(words.buffer)
}

function isIpv4(entry: Entry): entry is Entry<Cidr> {
  return !isCidr6(entry.subnet)
}

function isIpv6(entry: Entry): entry is Entry<Cidr6> {
  return isCidr6(entry.subnet)
}
