import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildSubnetMap } from '../../../src/datapath/build-subnet-map.ts'
import { PathMtu } from '../../../src/datapath/path-mtu.ts'
import { SubnetMap } from '../../../src/datapath/subnet-map.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { type Ipv4, parseIpv4 } from '../../../src/net/ipv4.ts'
import { type Ipv6, parseIpv6 } from '../../../src/net/ipv6.ts'

const NEAR = parseIpv4('10.9.9.2')
const FAR = parseIpv4('10.9.9.3')
const FAR6 = parseIpv6('fd00:9::3')
const MINUTE = 60_000

/** Each peer has the subnet 10.5.N.0/24. */
function mapOf(...peers: (Ipv4 | Ipv6)[]): SubnetMap {
  const remote = peers.map((publicIp, index) => ({
    subnet: parseCidr(`10.5.${index + 1}.0/24`),
    vni: 7,
    publicIp,
    vtepMac: '02:00:00:00:00:0b',
    mtu: 1450,
  }))
  return new SubnetMap(buildSubnetMap({ vtepMac: '02:00:00:00:00:0a', local: [], remote }))
}

class Paths {
  readonly asked: (Ipv4 | Ipv6)[] = []
  kernelSays = 1400
  now = 0
  map: SubnetMap
  readonly paths: PathMtu

  constructor(...peers: (Ipv4 | Ipv6)[]) {
    this.map = mapOf(...peers)
    const ask = (address: Ipv4 | Ipv6): number => {
      this.asked.push(address)
      return this.kernelSays
    }
    this.paths = new PathMtu(this.map, ask, () => this.now)
  }

  use(...peers: (Ipv4 | Ipv6)[]): void {
    this.map = mapOf(...peers)
    this.paths.use(this.map)
  }

  /** To the subnet at that place. */
  mtuOf(index: number): number {
    return this.paths.mtuOf(this.#entry(index))
  }

  /** @param refused length of the packet inside */
  tooBig(index: number, refused = 1450): void {
    this.paths.onTooBig(this.map.peer(this.#entry(index)), refused)
  }

  #entry(index: number): number {
    return this.map.lookup(parseIpv4(`10.5.${index + 1}.1`))
  }
}

test('a peer has the MTU of its subnet until a datagram is refused, then that of the path', () => {
  const host = new Paths(NEAR, FAR)
  assert.equal(host.mtuOf(1), 1450)
  host.tooBig(1)
  assert.deepEqual(host.asked, [FAR])
  assert.equal(host.mtuOf(1), 1400 - 50)
  assert.equal(host.mtuOf(0), 1450, 'another peer')
})

test('the overhead over IPv6 is twenty more', () => {
  const host = new Paths(NEAR, FAR6)
  host.tooBig(1)
  assert.deepEqual(host.asked, [FAR6])
  assert.equal(host.mtuOf(1), 1400 - 70)
})

test('an answer that does not explain the refusal is not believed: packets become smaller', () => {
  for (const wrong of [0, 1500, 9000, 65_536 /* loopback */]) {
    const host = new Paths(NEAR, FAR6)
    host.kernelSays = wrong
    host.tooBig(0, 1450)
    host.tooBig(1, 1430)
    assert.equal(host.mtuOf(0), 1280 - 50)
    assert.equal(host.mtuOf(1), 1280 - 70)
    host.now = 1000
    host.tooBig(0, 1230)
    host.tooBig(1, 1210)
    assert.equal(host.mtuOf(0), 552 - 50)
    assert.equal(host.mtuOf(1), 1280 - 70, 'every path of IPv6 carries that')
  }
})

test('an answer one byte below what was refused explains it', () => {
  const host = new Paths(NEAR)
  host.kernelSays = 1499
  host.tooBig(0, 1450)
  assert.equal(host.mtuOf(0), 1449)
})

test('what a router claims is believed down to 552, over IPv6 to 1280', () => {
  const host = new Paths(NEAR, FAR6)
  host.kernelSays = 68
  host.tooBig(0)
  host.tooBig(1)
  assert.equal(host.mtuOf(0), 552 - 50)
  assert.equal(host.mtuOf(1), 1280 - 70)
})

test('it is forgotten after ten minutes, and not before', () => {
  const host = new Paths(NEAR)
  host.tooBig(0)
  host.now = 10 * MINUTE - 1
  host.paths.tick()
  assert.equal(host.mtuOf(0), 1350)
  host.now = 10 * MINUTE
  host.paths.tick()
  assert.equal(host.mtuOf(0), 1450)
})

test('the time runs anew when the path refuses again', () => {
  const host = new Paths(NEAR)
  host.tooBig(0)
  host.now = 5 * MINUTE
  host.kernelSays = 1300
  host.tooBig(0)
  assert.equal(host.mtuOf(0), 1250)
  host.now = 12 * MINUTE
  host.paths.tick()
  assert.equal(host.mtuOf(0), 1250)
})

test('a path that has become wider is learned too', () => {
  const host = new Paths(NEAR)
  host.tooBig(0)
  host.now = MINUTE
  host.kernelSays = 1480
  host.tooBig(0)
  assert.equal(host.mtuOf(0), 1430)
})

test('it belongs to the address, whatever its number in a new map', () => {
  const host = new Paths(NEAR, FAR)
  host.tooBig(1)
  host.use(FAR, NEAR)
  assert.equal(host.mtuOf(0), 1350)
  assert.equal(host.mtuOf(1), 1450)
})

test('a peer that is gone and comes back is remembered, and touches nobody meanwhile', () => {
  const host = new Paths(NEAR, FAR6)
  host.tooBig(1)
  host.use(NEAR)
  assert.equal(host.mtuOf(0), 1450)
  host.use(NEAR, FAR, FAR6)
  assert.deepEqual(
    [0, 1, 2].map((index) => host.mtuOf(index)),
    [1450, 1450, 1330],
  )
})

test('a peer that goes on refusing is asked about ten times a second at most', () => {
  const host = new Paths(NEAR, FAR)
  for (host.now = 0; host.now < 1000; host.now++) host.tooBig(0)
  assert.equal(host.asked.length, 10)
  host.tooBig(1)
  assert.equal(host.asked.length, 11)
})

test('a peer of a new map may be asked about at once, whoever had its number before', () => {
  const host = new Paths(NEAR, FAR)
  host.tooBig(0)
  host.use(FAR, NEAR)
  host.tooBig(0)
  assert.deepEqual(host.asked, [NEAR, FAR])
})
