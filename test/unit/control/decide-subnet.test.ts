import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideSubnet, type Claimant } from '../../../src/control/decide-subnet.ts'
import type { SubnetWish } from '../../../src/control/subnet-wish.ts'
import { containsIp, formatCidr, overlaps, parseCidr } from '../../../src/net/cidr.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import type { ClusterView } from '../../../src/store/cluster-view.ts'
import { keyspace, viewOf } from '../store/view-support.ts'
import {
  claimant,
  clusterOf,
  holder,
  host,
  lease,
  ME,
  OTHER,
  overlay,
  pooledLease,
  writesOf,
} from './control-support.ts'

const POOLED: SubnetWish & { kind: 'pooled' } = {
  kind: 'pooled',
  overlay: 'web',
  vni: null,
  pool: null,
  poolLength: null,
  subnetLength: null,
  subnet: null,
}
const SHARED: SubnetWish & { kind: 'shared-pool' } = {
  kind: 'shared-pool',
  pool: parseCidr('10.40.0.0/16'),
  subnetLength: null,
  subnet: null,
}
const ROUTED: SubnetWish & { kind: 'routed' } = {
  kind: 'routed',
  overlay: null,
  vni: null,
  subnetLength: null,
}
const DOCKER: SubnetWish & { kind: 'docker' } = {
  kind: 'docker',
  subnet: parseCidr('172.20.0.0/16'),
  overlay: null,
  vni: null,
}

function decide(view: ClusterView, wish: SubnetWish, by: Partial<Claimant> = {}) {
  return decideSubnet(view, wish, claimant(by), keyspace)
}

/** The sentence that the wish is refused with. */
function refusal(view: ClusterView, wish: SubnetWish, by: Partial<Claimant> = {}): string {
  try {
    decide(view, wish, by)
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`
  }
  return 'granted'
}

test('a new pooled overlay gets the first block, the first identifier and a subnet that is not its first', () => {
  assert.deepEqual(writesOf(decide(clusterOf(), POOLED)), [
    'put overlays/web {"VNI":4096,"Pool":"10.32.0.0/17","SubnetLen":24}',
    'put subnets/10.32.1.0-24 {"PublicIP":"172.18.10.96","PublicIPv6":null,"BackendType":"vxlan",' +
      '"BackendData":{"VNI":4096,"VtepMAC":"02:11:22:33:44:55"},' +
      `"HostID":"${ME}","Overlay":"web","Kind":"pooled","Pool":"10.32.0.0/17","MTU":1450,"NetworkID":null} lease 7`,
    `put holders/10.32.1.0-24 {"HostID":"${ME}"}`,
  ])
})

test('a pooled overlay that exists is joined: its pool, its identifier, no record of it written', () => {
  const view = clusterOf({
    'overlays/web': overlay(4200, '10.50.0.0/16'),
    'subnets/10.50.1.0-24': pooledLease('10.50.0.0/16', { vni: 4200 }),
  })
  const { result, operations } = decide(view, POOLED)
  assert.equal(formatCidr(result.subnet), '10.50.2.0/24')
  assert.equal(result.vni, 4200)
  assert.equal(operations.length, 2)
})

test('subnets that are kept for a host that is away are not given to another', () => {
  const view = clusterOf({
    'overlays/web': overlay(4096, '10.32.0.0/17'),
    'holders/10.32.1.0-24': holder(OTHER),
    'holders/10.32.2.0-23': holder(OTHER),
  })
  assert.equal(formatCidr(decide(view, POOLED).result.subnet), '10.32.4.0/24')
})

test('--ip-range is the subnet itself, and refused outside the pool, when held or on-link here', () => {
  const view = clusterOf({
    'overlays/web': overlay(4096, '10.32.0.0/17'),
    'subnets/10.32.5.0-24': pooledLease('10.32.0.0/17'),
    [`hosts/${OTHER}`]: host('b', '172.18.10.98'),
    'holders/10.32.6.0-24': holder(OTHER),
  })
  const exactly = (text: string): SubnetWish => ({ ...POOLED, subnet: parseCidr(text) })
  assert.equal(formatCidr(decide(view, exactly('10.32.9.0/25')).result.subnet), '10.32.9.0/25')
  assert.match(refusal(view, exactly('10.40.9.0/24')), /is not inside the pool 10\.32\.0\.0\/17/)
  assert.match(refusal(view, exactly('10.32.9.0/31')), /too small/)
  assert.match(refusal(view, exactly('10.32.5.128/25')), /held by host b \(10\.32\.5\.0\/24\)/)
  assert.match(refusal(view, exactly('10.32.6.0/24')), /host b \(10\.32\.6\.0\/24, switched off/)
  const clash = (): string => '10.32.9.0/24 overlaps eth1'
  assert.match(
    refusal(view, exactly('10.32.9.0/24'), { clash }),
    /subnet: 10\.32\.9\.0\/24 overlaps eth1; choose another range, or leave it out$/,
  )
})

test('a name of another kind or pool is refused with the command that joins what exists', () => {
  const view = clusterOf({
    'overlays/web': overlay(4096),
    'overlays/app': overlay(4097, '10.33.0.0/17'),
  })
  assert.match(
    refusal(view, POOLED),
    /^conflict: overlay web is routed.*docker network create -d overlay-ts -o overlay=web web$/,
  )
  const otherPool = { ...POOLED, overlay: 'app', pool: parseCidr('10.40.0.0/16') }
  assert.match(
    refusal(view, otherPool),
    /^conflict: overlay app has the pool 10\.33\.0\.0\/17, not 10\.40\.0\.0\/16.*--ipam-opt overlay=app app$/,
  )
  for (const wish of [
    { ...ROUTED, overlay: 'app' },
    { ...DOCKER, overlay: 'app' },
  ]) {
    assert.match(refusal(view, wish), /^conflict: overlay app is pooled \(10\.33\.0\.0\/17\)/)
  }
})

test('a pool that may be of the same command is refused with the words that a network has one', () => {
  const refused = (changes: Parameters<typeof pooledLease>[1]): string => {
    const view = clusterOf({
      'overlays/web': overlay(4096, '10.61.0.0/16'),
      'subnets/10.61.1.0-24': pooledLease('10.61.0.0/16', { overlay: 'web', ...changes }),
    })
    return refusal(view, { ...POOLED, pool: parseCidr('10.62.0.0/16') })
  }
  assert.match(
    refused({ hostId: ME, networkId: null }),
    /not 10\.62\.0\.0\/16; a network has one --subnet of each family: give one if the command has more, else join it with: docker/,
  )
  for (const other of [
    { hostId: OTHER, networkId: null },
    { hostId: ME, networkId: 'n'.repeat(64) },
    { hostId: ME, networkId: null, overlay: 'app' },
  ]) {
    assert.match(refused(other), /not 10\.62\.0\.0\/16; join it with: docker/)
  }
})

test('what is said to do where a pool has no subnet left, or no pool is left, is granted', () => {
  const full = {
    'overlays/web': overlay(4096, '10.40.0.0/22'),
    'subnets/10.40.1.0-24': pooledLease('10.40.0.0/22'),
    'subnets/10.40.2.0-24': pooledLease('10.40.0.0/22'),
  }
  assert.match(refusal(clusterOf(full), POOLED), /^exhausted: .*new overlay .*a larger --subnet, a/)
  const next = { ...POOLED, overlay: 'next' }
  for (const more of [{ pool: parseCidr('10.48.0.0/20') }, { poolLength: 20 }]) {
    assert.equal(refusal(clusterOf(full), { ...next, ...more }), 'granted')
  }
  const longer = { poolLength: 22, subnetLength: 26 }
  assert.equal(
    formatCidr(decide(clusterOf(full), { ...next, ...longer }).result.pool!).slice(-2),
    '22',
  )

  const pools = Array.from({ length: 31 }, (_, index) => {
    const pool = `10.${32 + (index >> 1)}.${(index % 2) * 128}.0/17`
    return [`overlays/o${index}`, overlay(4096 + index, pool)] as const
  })
  const view = clusterOf(Object.fromEntries(pools))
  assert.match(
    refusal(view, POOLED),
    /^exhausted: .*give one outside 10\.32\.0\.0\/12 with --subnet, or/,
  )
  assert.equal(refusal(view, { ...POOLED, pool: parseCidr('10.61.0.0/16') }), 'granted')
  const { 'overlays/o7': _, ...fewer } = Object.fromEntries(pools)
  assert.equal(refusal(clusterOf(fewer), POOLED), 'granted')
})

test('a new pool passes over other pools, leases, kept subnets and what this host needs itself', () => {
  const view = clusterOf({
    'overlays/app': overlay(4096, '10.32.0.0/17'),
    'subnets/10.32.130.0-24': lease({ overlay: 'plain', vni: 4097 }),
    'holders/10.33.7.0-24': holder(OTHER),
    // An overlay that is not named yet shows by its leases alone.
    'subnets/10.33.129.0-24': pooledLease('10.33.128.0/17', { overlay: null, vni: 0 }),
    [`hosts/${OTHER}`]: host('b', '10.34.0.9'),
  })
  const nameserver = parseIpv4('10.34.200.1')
  const hazard: Claimant['hazard'] = (prefix) =>
    containsIp(prefix, nameserver) ? 'the nameserver 10.34.200.1' : null
  const { result } = decide(view, POOLED, { hazard })
  assert.equal(formatCidr(result.pool!), '10.35.0.0/17')
  assert.equal(result.vni, 4098, 'an identifier that a lease uses is taken, too')
})

test('a given pool is refused over another pool, a lease, the block of unnamed subnets', () => {
  const view = clusterOf({
    'overlays/app': overlay(4096, '10.33.0.0/17'),
    'subnets/10.40.5.0-24': lease({ kind: 'docker' }),
    [`hosts/${OTHER}`]: host('b', '172.18.10.98'),
  })
  const pool = (text: string): SubnetWish => ({ ...POOLED, pool: parseCidr(text) })
  const shared = (text: string): SubnetWish => ({ ...SHARED, pool: parseCidr(text) })
  for (const wish of [pool, shared]) {
    assert.match(refusal(view, wish('10.33.64.0/18')), /overlaps overlay app \(10\.33\.0\.0\/17\)/)
    assert.match(refusal(view, wish('10.40.0.0/16')), /the subnet 10\.40\.5\.0\/24 of host b/)
    assert.match(refusal(view, wish('10.47.0.0/16')), /10\.47\.128\.0\/17, kept for networks/)
  }
})

test('a pool that would hide a tunnel end or what this host needs is refused, given or joined', () => {
  const view = clusterOf({
    'overlays/app': overlay(4096, '172.18.0.0/16'),
    [`hosts/${OTHER}`]: host('b', '172.18.10.98'),
  })
  const app = { ...POOLED, overlay: 'app' }
  assert.match(refusal(view, app), /172\.18\.0\.0\/16 cannot be used.*host b itself/)
  const pool = parseCidr('192.168.0.0/16')
  const hazard = (): string => 'the default gateway 192.168.1.1'
  for (const wish of [
    { ...POOLED, pool },
    { ...SHARED, pool },
  ]) {
    assert.match(refusal(view, wish, { hazard }), /it contains the default gateway 192\.168\.1\.1/)
    assert.equal(refusal(view, wish), 'granted')
  }
})

test('a shared pool without an owner is leased from at once and named later', () => {
  const { result, operations } = decide(clusterOf(), SHARED)
  assert.equal(formatCidr(result.subnet), '10.40.1.0/24')
  assert.deepEqual([result.overlay, result.vni, result.kind], [null, 0, 'pooled'])
  assert.equal(operations.length, 2, 'the overlay is not made before its name is known')
  const second = clusterOf({
    'subnets/10.40.1.0-24': pooledLease('10.40.0.0/16', { overlay: null, vni: 0 }),
  })
  assert.equal(formatCidr(decide(second, SHARED).result.subnet), '10.40.2.0/24')
})

test('an overlay that exists keeps its lengths, and refuses those that contradict them', () => {
  const view = clusterOf({ 'overlays/web': overlay(4096, '10.40.0.0/16') })
  const wished = (lengths: object): string => refusal(view, { ...POOLED, ...lengths })
  assert.equal(wished({ poolLength: 16, subnetLength: 24 }), 'granted')
  assert.match(
    wished({ poolLength: 20 }),
    /^conflict: overlay web exists already and has the pool 10\.40\.0\.0\/16, not one of the length 20; write --ipam-opt pool-len=16/,
  )
  const otherSubnet =
    /^conflict: overlay web exists already and gives each host a \/24, not a \/26; write subnet-len=24/
  assert.match(wished({ subnetLength: 26 }), otherSubnet)
  assert.match(refusal(view, { ...SHARED, subnetLength: 26 }), otherSubnet)
})

test('the command that made an overlay joins it, though its pool was too small for the length it asks for', () => {
  const small = { ...POOLED, pool: parseCidr('10.40.0.0/23'), subnetLength: 24 }
  const [made] = writesOf(decide(clusterOf(), small))
  assert.match(made!, /"SubnetLen":25/)
  const view = clusterOf({ 'overlays/web': made!.replace(/^[^{]*/, '') })
  assert.equal(refusal(view, small), 'granted')
})

test('a new overlay gets the VNI that was asked for unless somebody has it, and an existing one must have it', () => {
  const view = clusterOf({
    'overlays/app': overlay(4100),
    'overlays/pool': overlay(4101, '10.41.0.0/16'),
    'subnets/172.20.0.0-16': lease({ kind: 'docker', overlay: null, vni: 77 }),
  })
  const wishes = {
    pooled: POOLED,
    routed: ROUTED,
    docker: { ...DOCKER, subnet: parseCidr('172.21.0.0/16') },
  }
  for (const wish of Object.values(wishes)) {
    const asks = (vni: number, name = 'web'): SubnetWish => ({ ...wish, overlay: name, vni })
    assert.equal(decide(view, asks(5000)).result.vni, 5000)
    assert.match(writesOf(decide(view, asks(5000)))[0]!, /^put overlays\/web \{"VNI":5000,/)
    assert.match(
      refusal(view, asks(4100)),
      /^conflict: vni=4100 is taken by overlay app, so the new overlay web/,
    )
    assert.match(refusal(view, asks(77)), /vni=77 is taken by a subnet of another network/)
    assert.match(refusal(view, asks(1)), /vni=1 is taken by flannel/)
    const [name, vni] =
      wish.kind === 'pooled' ? (['pool', 4101] as const) : (['app', 4100] as const)
    assert.equal(decide(view, asks(vni, name)).result.vni, vni)
    assert.match(
      refusal(view, asks(5000, name)),
      new RegExp(`overlay ${name} exists already and has the VNI ${vni}, not 5000`),
    )
  }
})

test('a shared pool with an owner joins it, with its subnets of one length', () => {
  const view = clusterOf({ 'overlays/app': overlay(4100, '10.40.0.0/16') })
  const { result } = decide(view, SHARED)
  assert.deepEqual([result.overlay, result.vni], ['app', 4100])
  assert.equal(formatCidr(result.subnet), '10.40.1.0/24')
})

test('a subnet without a pool comes from the last block of the network', () => {
  const { result } = decide(clusterOf(), ROUTED)
  assert.equal(formatCidr(result.subnet), '10.47.128.0/24')
  assert.deepEqual([result.overlay, result.vni, result.pool], [null, 0, null])
  const named = decide(clusterOf(), { ...ROUTED, overlay: 'web', subnetLength: 26 })
  assert.equal(formatCidr(named.result.subnet), '10.47.128.0/26')
  assert.match(writesOf(named)[0]!, /^put overlays\/web \{"VNI":4096,"Pool":null/)
})

test('a subnet passes over what clashes on this host, and says so where nothing is left', () => {
  const routes = parseCidr('10.47.128.0/18')
  const clash: Claimant['clash'] = (candidate) =>
    overlaps(candidate, routes) ? `${formatCidr(candidate)} overlaps eth9` : null
  const { result } = decide(clusterOf(), ROUTED, { clash, random: () => 0 })
  assert.equal(formatCidr(result.subnet), '10.47.192.0/24')
  assert.match(refusal(clusterOf(), ROUTED, { clash: () => 'X overlaps eth9' }), /eth9/)
})

test('what Docker chose is claimed as it is', () => {
  const { result } = decide(clusterOf(), { ...DOCKER, overlay: 'web' })
  assert.equal(formatCidr(result.subnet), '172.20.0.0/16')
  assert.deepEqual([result.kind, result.overlay, result.vni], ['docker', 'web', 4096])
})

test("what Docker chose is refused over another's subnet, pool, tunnel end or what this host needs", () => {
  const again =
    /^conflict: 172\.20\.0\.0\/16, .*; without --subnet run the same command again .*, with --subnet give another, or let /
  const cases: Record<string, [Record<string, string>, RegExp]> = {
    lease: [{ 'subnets/172.20.0.0-16': lease({ kind: 'docker' }) }, /host b{32} \(172\.20/],
    holder: [{ 'holders/172.20.4.0-24': holder(OTHER) }, /switched off for now/],
    pool: [{ 'overlays/app': overlay(4096, '172.20.0.0/17') }, /overlay app \(172\.20\.0\.0\/17\)/],
    'unnamed pool': [
      { 'subnets/172.16.1.0-24': pooledLease('172.16.0.0/12', { overlay: null, vni: 0 }) },
      /a new overlay \(172\.16\.0\.0\/12\)/,
    ],
    vtep: [{ [`hosts/${OTHER}`]: host('b', '172.20.9.9') }, /host b itself/],
  }
  for (const [name, [values, sentence]] of Object.entries(cases)) {
    const said = refusal(clusterOf(values), DOCKER)
    assert.match(said, sentence, name)
    assert.match(said, again, name)
  }
  const hazard = (): string => 'the etcd endpoint 172.20.3.3'
  assert.match(refusal(clusterOf(), DOCKER, { hazard }), /overlaps the etcd endpoint 172\.20\.3\.3/)
})

test("sixteen of Docker's default subnets are shared out and the next is refused with a way on", () => {
  const sixteen = Object.fromEntries(
    Array.from({ length: 16 }, (_, index) => [
      index < 14 ? `subnets/172.${17 + index}.0.0-16` : `subnets/192.168.${(index - 14) * 16}.0-20`,
      lease({ kind: 'docker', vni: 4096 }),
    ]),
  )
  const wish = { ...DOCKER, subnet: parseCidr('192.168.64.0/20') }
  assert.match(refusal(clusterOf(sixteen), wish), /^exhausted: .*--ipam-driver overlay-ts NAME/)
  const { 'subnets/172.17.0.0-16': _, ...fifteen } = sixteen
  assert.equal(refusal(clusterOf(fifteen), wish), 'granted')
  const own = { ...DOCKER, subnet: parseCidr('10.99.0.0/24') }
  assert.equal(refusal(clusterOf(sixteen), own), 'granted', 'a subnet of the user is none of them')
})

test('without a configuration nothing is leased', () => {
  assert.match(refusal(viewOf({}), ROUTED), /^store_unavailable/)
})
