import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideSubnet6 } from '../../../src/control/decide-subnet6.ts'
import type { Claimant6 } from '../../../src/control/free-prefix6.ts'
import type { HeldSubnet } from '../../../src/control/journal.ts'
import { ANY_SUBNET6, type Subnet6Wish } from '../../../src/control/subnet6-wish.ts'
import { ulaPool, ulaSubnet } from '../../../src/ipam/choose-subnet6.ts'
import { formatCidr6, parseCidr6 } from '../../../src/net/cidr6.ts'
import type { ClusterView } from '../../../src/store/cluster-view.ts'
import { keyspace } from '../store/view-support.ts'
import {
  BY,
  clusterOf,
  half,
  held,
  holder,
  host,
  lease,
  ME,
  OTHER,
  overlay,
  pooledLease,
  writesOf,
} from './control-support.ts'

const POOL = '10.33.0.0/17'
const WEB = held('10.33.5.0/24', { kind: 'pooled', pool: POOL, prefixLength: 17, networkId: null })
const ROUTED = held('10.47.128.0/24', { networkId: null })
const DOCKER = held('172.20.0.0/16', { kind: 'docker', networkId: null })
const mine = { hostId: ME, networkId: null }
const CLUSTER = {
  'overlays/web': overlay(4096, POOL, 'fd00:40::/48'),
  'subnets/10.33.5.0-24': pooledLease(POOL, mine),
}

const ours = (pool: string | null, subnet: string | null = null): Subnet6Wish => ({
  kind: 'ours',
  pool: pool === null ? null : parseCidr6(pool),
  subnet: subnet === null ? null : parseCidr6(subnet),
})

const dockers = (subnet: string): Subnet6Wish => ({
  kind: 'docker',
  subnet: parseCidr6(subnet),
  gateway: null,
})

function decide(
  view: ClusterView,
  mineOf: HeldSubnet,
  wish: Subnet6Wish = ANY_SUBNET6,
  by: Partial<Claimant6> = {},
) {
  return decideSubnet6(view, mineOf, wish, { ...BY, hazard: () => null, ...by }, keyspace)
}

const chosen = (...asked: Parameters<typeof decide>): string =>
  formatCidr6(decide(...asked).result.subnet)

/** The sentence that the wish is refused with. */
function refusal(...asked: Parameters<typeof decide>): string {
  try {
    decide(...asked)
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`
  }
  return 'granted'
}

test('the lease moves to the key of both families, with the pool of the overlay, in one transaction', () => {
  const lines = writesOf(decide(clusterOf(CLUSTER), WEB))
  assert.deepEqual(
    lines.map((line) => line.split(' ').slice(0, 2).join(' ')),
    ['delete subnets/10.33.5.0-24', 'put subnets/10.33.5.0-24&fd00:40:0:5::-64'],
  )
  assert.match(lines[1]!, /"Pool":"10\.33\.0\.0\/17".*"Pool6":"fd00:40::\/48".* lease 7$/)
})

test('an overlay without an IPv6 pool gets the one that is given, or one that follows from its IPv4 pool', () => {
  const view = clusterOf({ ...CLUSTER, 'overlays/web': overlay(4096, POOL) })
  const given = writesOf(decide(view, WEB, ours('fd00:77::/32')))
  assert.equal(
    given[0],
    'put overlays/web {"VNI":4096,"Pool":"10.33.0.0/17","SubnetLen":24,"Pool6":"fd00:77::/32"}',
  )
  const { result } = decide(view, WEB)
  assert.deepEqual(result.pool, ulaPool(`/overlay-ts ${POOL}`))
  const elsewhere = held('10.33.9.0/24', { ...WEB, subnet: '10.33.9.0/24' })
  assert.deepEqual(decide(view, elsewhere).result.pool, result.pool, 'every host has it the same')
})

test('the subnet is that of the same number in its pool, else the next that nobody has', () => {
  const take = (number: number, changes = {}): Record<string, string> => ({
    [`subnets/10.33.${number}.0-24&fd00:40:0:${number + 1}::-64`]: pooledLease(POOL, {
      ipv6: half(`fd00:40:0:${number + 1}::/64`, 'fd00:40::/48'),
      ...changes,
    }),
  })
  assert.equal(chosen(clusterOf(CLUSTER), WEB), 'fd00:40:0:5::/64')
  assert.equal(chosen(clusterOf({ ...CLUSTER, ...take(4) }), WEB), 'fd00:40:0:6::/64')
  const away = { ...CLUSTER, ...take(4), 'holders/10.33.6.0-24': holder(OTHER) }
  assert.equal(chosen(clusterOf(away), WEB), 'fd00:40:0:7::/64', 'the sixth is kept for its host')
  const narrow = { ...CLUSTER, 'overlays/web': overlay(4096, POOL, 'fd00:40::/64') }
  assert.equal(chosen(clusterOf(narrow), WEB), 'fd00:40:0:0:5::/80')
})

test('an overlay that is not named yet shows its IPv6 pool by its leases', () => {
  const unnamed = { overlay: null, vni: 0 }
  const view = clusterOf({
    'subnets/10.33.5.0-24': pooledLease(POOL, { ...mine, ...unnamed }),
    'subnets/10.33.6.0-24&fd00:40:0:6::-64': pooledLease(POOL, {
      ...unnamed,
      ipv6: half('fd00:40:0:6::/64', 'fd00:40::/48'),
    }),
  })
  const nameless = { ...WEB, ...unnamed }
  assert.equal(chosen(view, nameless), 'fd00:40:0:5::/64')
  assert.match(
    refusal(view, nameless, ours('fd00:50::/48')),
    /^conflict: overlay of the pool 10\.33\.0\.0\/17 has the IPv6 pool fd00:40::\/48, not fd00:50::\/48; leave the IPv6 --subnet out/,
  )
})

test('another pool than the overlay has is refused with the command that joins it', () => {
  assert.equal(
    refusal(clusterOf(CLUSTER), WEB, ours('fd00:50::/48')),
    'conflict: overlay web has the IPv6 pool fd00:40::/48, not fd00:50::/48; join it with: docker network create -d overlay-ts --ipam-driver overlay-ts --ipam-opt overlay=web --ipv6 web',
  )
  assert.equal(refusal(clusterOf(CLUSTER), WEB, ours('fd00:40::/48')), 'granted')
})

test('a pool that may be of the same command is refused with the words that a network has one', () => {
  const given = { ...mine, ipv6: half('fd00:40:0:4::/64', 'fd00:40::/48') }
  const first = { 'subnets/10.33.4.0-24&fd00:40:0:4::-64': pooledLease(POOL, given) }
  const view = clusterOf({ ...CLUSTER, ...first })
  const said =
    /; a network has one --subnet of each family: give one if the command has more, else /
  const other = refusal(view, WEB, ours('fd00:50::/48'))
  assert.match(other, said)
  assert.match(other, /else join it with: docker .* --ipv6 web$/)
  const unnamed = refusal(view, ROUTED, ours('fd00:50::/48'))
  assert.match(unnamed, said)
  assert.match(unnamed, /else name the overlay with --ipam-opt overlay=NAME, or leave/)
})

test('a given pool is refused over another pool, a host’s subnet, a tunnel end, what this host needs, and out of its limits', () => {
  const view = clusterOf({
    'overlays/web': overlay(4096, POOL),
    'overlays/app': overlay(4097, '10.34.0.0/17', 'fd00:50::/48'),
    'subnets/10.33.5.0-24': pooledLease(POOL, mine),
    'subnets/172.21.0.0-16&fd00:95::-64': lease({ kind: 'docker', ipv6: half('fd00:95::/64') }),
    'subnets/10.36.1.0-24&fd00:66:0:1::-64': pooledLease('10.36.0.0/17', {
      overlay: null,
      vni: 0,
      ipv6: half('fd00:66:0:1::/64', 'fd00:66::/48'),
    }),
    [`hosts/${OTHER}`]: host('b', 'fd00:18::98'),
  })
  const asked = (pool: string): string => refusal(view, WEB, ours(pool))
  assert.match(
    asked('fd00:50:0:100::/56'),
    /overlaps overlay app \(fd00:50::\/48\); choose another/,
  )
  assert.match(asked('fd00:95::/48'), /overlaps host b \(fd00:95::\/64\)/)
  assert.match(asked('fd00:66::/56'), /overlaps a new overlay \(fd00:66::\/48\)/)
  assert.match(asked('fd00:18::/48'), /contains host b itself \(its address is fd00:18::98\)/)
  assert.match(asked('fd00::/8'), /^conflict|^bad_input/)
  assert.match(asked('fd00:77::/120'), /^bad_input: .*\/16 to \/112/)
  assert.match(asked('fe80::/48'), /^bad_input: .*link-local/)
  const hazard = (): string => 'the nameserver fd00:77::53'
  assert.match(
    refusal(view, WEB, ours('fd00:77::/48'), { hazard }),
    /fd00:77::\/48 cannot be used for containers: it contains the nameserver fd00:77::53/,
  )
})

test('--ip-range is the subnet itself, and refused outside the pool, when held, and when too small', () => {
  const view = clusterOf({
    ...CLUSTER,
    'subnets/10.33.6.0-24&fd00:40:0:6::-64': pooledLease(POOL, {
      ipv6: half('fd00:40:0:6::/64', 'fd00:40::/48'),
    }),
    [`hosts/${OTHER}`]: host('b', '172.18.10.98'),
  })
  const exactly = (range: string): string => refusal(view, WEB, ours('fd00:40::/48', range))
  assert.equal(
    chosen(view, WEB, ours('fd00:40::/48', 'fd00:40:0:ab00::/72')),
    'fd00:40:0:ab00::/72',
  )
  assert.match(exactly('fd00:41::/64'), /is not inside the pool fd00:40::\/48/)
  assert.match(exactly('fd00:40:0:9::/126'), /too small: a host needs a \/124/)
  assert.match(
    exactly('fd00:40:0:6:8000::/65'),
    /^conflict: --ip-range fd00:40:0:6:8000::\/65 cannot be this host's IPv6 subnet: it is held by host b \(fd00:40:0:6::\/64\); choose another range, or leave it out$/,
  )
})

test('a pool with nothing left is said to be exhausted, and what to do', () => {
  const view = clusterOf({
    'overlays/web': overlay(4096, POOL, 'fd00:40::/112'),
    'subnets/10.33.5.0-24': pooledLease(POOL, mine),
    'subnets/10.33.6.0-24&fd00:40::-113': pooledLease(POOL, {
      ipv6: half('fd00:40::/113', 'fd00:40::/112'),
    }),
    'subnets/10.33.7.0-24&fd00:40::8000-113': pooledLease(POOL, {
      ipv6: half('fd00:40::8000/113', 'fd00:40::/112'),
    }),
  })
  assert.match(refusal(view, WEB), /^exhausted: fd00:40::\/112 has no free \/124 subnet/)
})

test('without a pool the prefix follows from the IPv4 subnet, passing over what is taken', () => {
  const first = ulaSubnet('/overlay-ts 10.47.128.0/24')
  assert.equal(chosen(clusterOf(), ROUTED), formatCidr6(first))
  const taken = {
    [`subnets/10.47.129.0-24&${formatCidr6(first).replace('/', '-')}`]: lease({
      ipv6: { subnet: first, pool: null },
    }),
  }
  const second = formatCidr6(ulaSubnet('/overlay-ts 10.47.128.0/24 1'))
  assert.equal(chosen(clusterOf(taken), ROUTED), second)
  assert.match(
    refusal(clusterOf(), ROUTED, ours('fd00:40::/48')),
    /^bad_input: --subnet fd00:40::\/48 is a pool that the hosts of an overlay share.*--ipam-opt overlay=NAME/,
  )
})

test('what Docker chose is claimed as it is, and refused over a subnet, a pool or a special prefix', () => {
  const view = clusterOf({
    'overlays/app': overlay(4097, '10.34.0.0/17', 'fd00:50::/48'),
    'subnets/172.21.0.0-16&fd00:95::-64': lease({ kind: 'docker', ipv6: half('fd00:95::/64') }),
    [`hosts/${OTHER}`]: host('b', '172.18.10.98'),
  })
  assert.equal(chosen(view, DOCKER, dockers('fd00:96::/64')), 'fd00:96::/64')
  assert.match(
    refusal(view, DOCKER, dockers('fd00:95::/64')),
    /^conflict: the IPv6 subnet fd00:95::\/64, .* overlaps host b \(fd00:95::\/64\), and every host needs one of its own; give another/,
  )
  assert.match(refusal(view, DOCKER, dockers('fd00:50:0:1::/64')), /overlaps overlay app/)
  assert.match(refusal(view, DOCKER, dockers('fe80::/64')), /^bad_input: .*link-local/)
})

test('a subnet that another host has by now gets no half', () => {
  const view = clusterOf({ 'subnets/10.33.5.0-24': pooledLease(POOL) })
  assert.match(
    refusal(view, WEB),
    /^conflict: the subnet 10\.33\.5\.0\/24 belongs to host b{32} by now/,
  )
})

test('beside a flannel host, whose flannel would end at it, there is no lease of both families', () => {
  const view = clusterOf({ ...CLUSTER, 'subnets/10.44.1.0-24': lease({ hostId: null }) })
  assert.match(
    refusal(view, WEB),
    /^unsupported: .* shared with flannel hosts.* \(10\.44\.1\.0\/24/,
  )
})
