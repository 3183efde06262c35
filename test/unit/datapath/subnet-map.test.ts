import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { buildSubnetMap } from '../../../src/datapath/build-subnet-map.ts'
import { NO_ENTRY, SubnetMap } from '../../../src/datapath/subnet-map.ts'
import * as layout from '../../../src/datapath/subnet-map-layout.ts'
import type { RemoteSubnet } from '../../../src/datapath/tables.ts'
import { type Cidr, prefixOf } from '../../../src/net/cidr.ts'
import { type Cidr6, isCidr6, prefixOf6 } from '../../../src/net/cidr6.ts'
import { ipv6Bytes } from '../../../src/net/ipv6.ts'
import { formatMac } from '../../../src/net/mac.ts'
import type { Hammer, Taken } from '../../support/hammer-map.ts'

const MANY = 65_536
const VTEP = '02:00:00:00:00:0a'

/** The same in every run. */
class Random {
  #state = 1

  /** An unsigned number of 32 bits. */
  next(): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return this.#state >>> 0
  }

  next128(): bigint {
    return Array.from({ length: 4 }).reduce((sum: bigint) => (sum << 32n) | BigInt(this.next()), 0n)
  }
}

const random = new Random()
const many = <T>(make: (index: number) => T): T[] => Array.from({ length: MANY }, (_, i) => make(i))

const SHAPES: Readonly<Record<string, readonly (Cidr | Cidr6)[]>> = {
  'every /24 of 10.0.0.0/8': many((index) => ({ base: 0x0a00_0000 + index * 256, length: 24 })),
  'random /24s': many(() => prefixOf(random.next(), 24)),
  'random prefixes from /16 to /32': many((index) => prefixOf(random.next(), 16 + (index % 17))),
  'every /64 of fd00::/48': many((index) => ({
    address: (0xfd00n << 112n) + (BigInt(index) << 64n),
    length: 64,
  })),
  'random prefixes from /48 to /128': many((index) =>
    prefixOf6(random.next128(), 48 + (index % 81)),
  ),
  'both families': many((index) =>
    index % 2 ? prefixOf(random.next(), 24) : prefixOf6(random.next128(), 64),
  ),
}

function remoteOf(subnet: Cidr | Cidr6, index: number): RemoteSubnet {
  return {
    subnet,
    vni: 7,
    publicIp: index % 2 ? 0xac10_0000 + (index % 4096) : (0xfd01n << 112n) + BigInt(index % 4096),
    vtepMac: formatMac([2, 0, 0, 0, index >>> 8, index & 255]),
    mtu: 1450,
  }
}

function build(subnets: readonly (Cidr | Cidr6)[]): SharedArrayBuffer {
  return buildSubnetMap({ vtepMac: VTEP, local: [], remote: subnets.map(remoteOf) })
}

const THEORY = readFileSync(
  new URL('../../../src/datapath/THEORY.md', import.meta.url),
  'utf8',
).split('\n')

/** The numbers in the row of THEORY.md about what takes how many bytes at most. */
function stated(what: string): number[] {
  const row = THEORY.find((line) => line.startsWith(`| ${what} `))
  assert.ok(row, what)
  return row.split('|')[2]!.match(/\d+/g)!.map(Number)
}

/** Bytes of a map of these subnets and so many peers, at most, as THEORY.md states them. */
function statedBytes(subnets: readonly (Cidr | Cidr6)[], peers: number): number {
  const [kilobytes] = stated('the map of nothing')
  const [ofIpv4, ofNode] = stated('a subnet of IPv4')
  const [ofIpv6] = stated('a subnet of IPv6')
  const [ofPeer] = stated('a peer')
  const ofSubnet = (subnet: Cidr | Cidr6): number =>
    isCidr6(subnet) ? ofIpv6! : ofIpv4! + ofNode! * Math.ceil(Math.max(0, subnet.length - 16) / 4)
  const ofAll = subnets.reduce((sum, subnet) => sum + ofSubnet(subnet), 0)
  return kilobytes! * 1024 + ofAll + peers * ofPeer!
}

test('a map of nothing is as small as stated', () => {
  const buffer = buildSubnetMap({ vtepMac: VTEP, local: [], remote: [] })
  assert.ok(buffer.byteLength <= statedBytes([], 0))
})

for (const [shape, subnets] of Object.entries(SHAPES)) {
  test(`65,536 subnets, ${shape}: laid out within a second, no larger than stated, all found`, () => {
    const began = process.cpuUsage()
    const buffer = build(subnets)
    const { user, system } = process.cpuUsage(began)
    assert.ok(user + system < 1e6, `${(user + system) / 1000} ms of processor time`)
    assert.ok(buffer.byteLength <= statedBytes(subnets, 8192), `${buffer.byteLength} bytes`)

    const map = new SubnetMap(buffer)
    // By text: V8 hashes a bigint by its lowest 64 bits, which are one here.
    const last = new Map(subnets.map((subnet, index) => [`${lastAddress(subnet)}`, index]))
    let exact = 0
    for (const [index, subnet] of subnets.entries()) {
      const address = lastAddress(subnet)
      const entry =
        typeof address === 'number' ? map.lookup(address) : map.lookup6(ipv6Bytes(address), 0)
      assert.notEqual(entry, NO_ENTRY)
      if (last.get(`${address}`) !== index) continue
      const mac = formatMac(map.bytes.slice(map.macAt(entry), map.macAt(entry) + 6))
      if (mac === remoteOf(subnet, index).vtepMac) exact++
    }
    // The rest ends where a longer one does.
    assert.ok(exact > MANY * 0.9, `${exact} of the longest prefixes`)
  })
}

function lastAddress(subnet: Cidr | Cidr6): number | bigint {
  if (isCidr6(subnet)) return subnet.address + 2n ** BigInt(128 - subnet.length) - 1n
  return subnet.base + 2 ** (32 - subnet.length) - 1
}

test('an IPv4 address is found in as many steps among 65,536 subnets as among two', () => {
  for (const [length, steps] of [
    [16, 1],
    [20, 2],
    [24, 3],
    [28, 4],
    [32, 5],
  ] as const) {
    for (const count of [2, 256, MANY]) {
      // Each in a /16 of its own, as far as there are so many.
      const subnets = Array.from({ length: count }, (_, index) =>
        prefixOf(Math.imul(index, 0x0001_0001) >>> 0, length),
      )
      const words = new Int32Array(build(subnets))
      const most = Math.max(...subnets.map(({ base }) => stepsTo(words, base)))
      assert.equal(most, steps, `/${length} of ${count}`)
    }
  }
})

/** Words that a search reads, by the drawing of subnet-map-layout.ts. */
function stepsTo(words: Int32Array, address: number): number {
  let value = words[words[layout.ROOT]! + (address >>> 16)]!
  let steps = 1
  for (let shift = 12; value < 0; shift -= 4, steps++) {
    value = words[words[layout.NODES]! + ~value * 16 + ((address >>> shift) & 15)]!
  }
  return steps
}

test('IPv6 costs a search for each prefix length in use, and nothing where there is none', () => {
  const lengthsOf = (subnets: readonly (Cidr | Cidr6)[]): number =>
    new Int32Array(build(subnets))[layout.LENGTH_COUNT]!
  assert.equal(lengthsOf(SHAPES['random /24s']!), 0)
  assert.equal(lengthsOf(SHAPES['every /64 of fd00::/48']!), 1)
  assert.equal(lengthsOf(SHAPES['random prefixes from /48 to /128']!), 81)
})

test('a thread that looks up without a pause never sees half an entry of any map', async () => {
  const subnets = [
    ...Array.from({ length: 2000 }, (_, index) => prefixOf(0x0a00_0000 + index * 256, 24)),
    ...Array.from({ length: 500 }, (_, index) => prefixOf(0x0b00_0000 + index * 7, 32)),
    ...Array.from({ length: 500 }, (_, index) =>
      prefixOf6((0xfdn << 120n) + (BigInt(index) << 64n), 64),
    ),
  ]
  const generationOf = (generation: number): SharedArrayBuffer =>
    buildSubnetMap({
      vtepMac: VTEP,
      local: [],
      remote: subnets.map((subnet) => ({
        subnet,
        vni: generation,
        publicIp: generation,
        vtepMac: formatMac([2, 0, 0, 0, 0, generation]),
        mtu: generation,
      })),
    })
  const addresses = subnets.map(lastAddress)
  const worker = new Worker(new URL('../../support/hammer-map.ts', import.meta.url), {
    workerData: {
      addresses4: addresses.filter((address) => typeof address === 'number'),
      addresses6: Uint8Array.from(
        addresses
          .filter((address) => typeof address === 'bigint')
          .flatMap((a) => [...ipv6Bytes(a)]),
      ),
      first: generationOf(1),
    } satisfies Hammer,
  })
  const ended = Promise.withResolvers<void>()
  const taken: Taken[] = []
  worker.on('message', (message: Taken) => void taken.push(message))
  worker.on('error', ended.reject)
  worker.on('exit', () => ended.resolve())
  const LAST = 100
  // Made beforehand, so that the thread does not outlive many of its maps unlooked at.
  const maps = Array.from({ length: LAST - 1 }, (_, index) => generationOf(index + 2))
  for (const map of maps) worker.postMessage(map, [])
  worker.postMessage('stop', [])
  await ended.promise
  assert.deepEqual(
    taken.map(({ generation }) => generation),
    Array.from({ length: LAST }, (_, index) => index + 1),
  )
  assert.ok(taken.at(-1)!.lookups >= LAST * addresses.length)
})
