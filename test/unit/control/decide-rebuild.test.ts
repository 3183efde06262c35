import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decideRebuild,
  judgeNetworks,
  MOST_AT_ONCE,
  type Rebuilder,
  type RebuildPlan,
} from '../../../src/control/decide-rebuild.ts'
import type { KnownNetwork } from '../../../src/control/known-networks.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { keyspace } from '../store/view-support.ts'
import {
  bridges,
  BY,
  clusterOf,
  holder,
  host,
  lease,
  ME,
  OTHER,
  THIRD,
  writesOf,
} from './control-support.ts'

const HERE = BY.publicIp
const ELSEWHERE = parseIpv4('172.18.10.98')

const known = (id: string): KnownNetwork => ({
  id,
  name: `net-${id}`,
  ipam: 'overlay-ts',
  internal: false,
  ipv4: true,
  mtu: null,
  egress: 'docker',
  subnet: null,
  gateway: null,
  subnet6: null,
  gateway6: null,
  reserved: [],
  endpoints: [],
})

const by = (journaled: readonly string[] = []): Rebuilder & typeof BY => ({
  ...BY,
  isJournaled: (id) => journaled.includes(id),
})

/** "found", "waiting", "lost", or "left alone". */
function verdictOf({ found, waiting, lost }: RebuildPlan, id: string): string {
  if (found.some((each) => each.known.id === id)) return 'found'
  if (waiting.has(id)) return 'waiting'
  return lost.has(id) ? 'lost' : 'left alone'
}

/** All there is to tell cases apart by, and what becomes of each. */
interface Case {
  readonly journaled: boolean
  /** Whose the lease is that names the network. */
  readonly owner: 'nobody' | 'me' | 'another identity'
  readonly address: 'this' | 'another'
  readonly alive: boolean
}

function naiveVerdict({ journaled, owner, address, alive }: Case): string {
  switch (owner) {
    case 'nobody':
      return journaled ? 'left alone' : 'lost'
    case 'me':
      return journaled ? 'left alone' : 'found'
    case 'another identity':
      if (address === 'this') return alive ? 'waiting' : 'found'
      return journaled ? 'left alone' : 'lost'
  }
}

const yesNo = [true, false]
const CASES: Case[] = yesNo.flatMap((journaled) =>
  (['nobody', 'me', 'another identity'] as const).flatMap((owner) =>
    (['this', 'another'] as const).flatMap((address) =>
      yesNo.map((alive): Case => ({ journaled, owner, address, alive })),
    ),
  ),
)

for (const each of CASES) {
  const verdict = naiveVerdict(each)
  test(`${JSON.stringify(each)} is ${verdict}`, () => {
    const { journaled, owner, address, alive } = each
    const publicIp = address === 'this' ? HERE : ELSEWHERE
    const hostId = owner === 'me' ? ME : OTHER
    const view = clusterOf({
      ...(owner !== 'nobody' && {
        'subnets/10.47.128.0-24': lease({ hostId, publicIp, networkId: 'n' }),
      }),
      // Another network's lease, and one of before a network came.
      'subnets/10.47.129.0-24': lease({ hostId, publicIp, networkId: 'm' }),
      'subnets/10.47.130.0-24': lease({ hostId, publicIp }),
      ...(alive && { [`hosts/${hostId}`]: host('host-96', '172.18.10.96') }),
    })
    const plan = judgeNetworks(view, [known('n')], by(journaled ? ['n'] : []))
    assert.equal(verdictOf(plan, 'n'), verdict)
  })
}

test('the lease of an earlier identity is written as ours, and only while that one is dead', () => {
  const former = { hostId: OTHER, publicIp: HERE, overlay: 'web', vni: 4096, mtu: 1400 }
  const view = clusterOf({
    'subnets/10.47.128.0-24': lease({ ...former, networkId: 'n' }),
    'subnets/10.47.129.0-24': lease({ ...former, networkId: 'gone' }),
    'holders/10.47.128.0-24': holder(OTHER),
    [`private/${OTHER}`]: bridges('172.17.0.0/16'),
  })
  const decision = decideRebuild(view, [known('n')], by(), keyspace)
  assert.deepEqual(writesOf(decision), [
    'put subnets/10.47.128.0-24 {"PublicIP":"172.18.10.96","PublicIPv6":null,"BackendType":"vxlan",' +
      `"BackendData":{"VNI":4096,"VtepMAC":"02:11:22:33:44:55"},"HostID":"${ME}","Overlay":"web",` +
      '"Kind":"routed","Pool":null,"MTU":1450,"NetworkID":"n"} lease 7',
    `put holders/10.47.128.0-24 ${holder(ME)}`,
    `delete private/${OTHER}`,
  ])
  assert.deepEqual(decision.compares, [{ key: keyspace.host(OTHER), is: 'absent' }])
  assert.deepEqual([...decision.result.former], [OTHER])
})

test('what is ours already is found without a write', () => {
  const view = clusterOf({
    'subnets/10.47.128.0-24': lease({ hostId: ME, publicIp: ELSEWHERE, networkId: 'n' }),
  })
  const decision = decideRebuild(view, [known('n')], by(), keyspace)
  assert.equal(verdictOf(decision.result, 'n'), 'found')
  assert.deepEqual([writesOf(decision), decision.compares], [[], []])
})

test('an identity that one lease proves is believed for its others, also of before a change of address', () => {
  const view = clusterOf({
    'subnets/10.47.128.0-24': lease({ hostId: OTHER, publicIp: HERE, networkId: 'n' }),
    'subnets/10.47.129.0-24': lease({ hostId: OTHER, publicIp: ELSEWHERE, networkId: 'm' }),
    'subnets/10.47.130.0-24': lease({ hostId: THIRD, publicIp: ELSEWHERE, networkId: 'o' }),
  })
  const plan = judgeNetworks(view, ['n', 'm', 'o'].map(known), by())
  assert.deepEqual(
    ['n', 'm', 'o'].map((id) => verdictOf(plan, id)),
    ['found', 'found', 'lost'],
  )
  assert.match(
    plan.lost.get('o') ?? '',
    /10\.47\.130\.0\/24 is leased to host c+ at 172\.18\.10\.98/,
  )
})

test('a copy of this machine is told who has its networks', () => {
  const copied = { 'subnets/10.47.128.0-24': lease({ publicIp: ELSEWHERE, networkId: 'n' }) }
  const alive = { [`hosts/${OTHER}`]: host('anna', '172.18.10.98') }
  const plan = judgeNetworks(clusterOf({ ...copied, ...alive }), [known('n')], by())
  assert.match(plan.lost.get('n') ?? '', /leased to host anna at 172\.18\.10\.98/)
})

test('more networks than one transaction holds wait for their turn', () => {
  const ids = Array.from({ length: MOST_AT_ONCE + 3 }, (_, n) => `n${n}`)
  const leases = ids.map((networkId, n) => [
    `subnets/10.47.${n}.0-24`,
    lease({ hostId: OTHER, publicIp: HERE, networkId }),
  ])
  const decision = decideRebuild(
    clusterOf(Object.fromEntries(leases) as Record<string, string>),
    ids.map(known),
    by(),
    keyspace,
  )
  assert.equal(decision.result.found.length, MOST_AT_ONCE)
  assert.equal(decision.result.waiting.size, 3)
  assert.ok(decision.operations.length <= 100)
})

test('a network of a swarm has a lease on every host; this host’s is found, whichever stands first', () => {
  const own = { hostId: OTHER, publicIp: HERE, networkId: 'n' }
  const foreign = { hostId: THIRD, publicIp: ELSEWHERE, networkId: 'n' }
  for (const [first, second] of [
    [own, foreign],
    [foreign, own],
  ] as const) {
    const view = clusterOf({
      'subnets/10.47.128.0-24': lease(first),
      'subnets/10.47.129.0-24': lease(second),
      [`hosts/${THIRD}`]: host('host-98', '172.18.10.98'),
    })
    const { found } = judgeNetworks(view, [known('n')], by())
    assert.deepEqual(
      found.map((each) => each.lease.publicIp),
      [HERE],
    )
  }
})
