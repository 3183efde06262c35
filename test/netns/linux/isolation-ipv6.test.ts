import { enterOwnNetns, Netns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { applyHostState } from '../../../src/linux/apply.ts'
import { EMPTY_HOST_STATE, type HostState } from '../../../src/linux/host-state.ts'
import { readIsolationCounters, type IsolationCounter } from '../../../src/linux/isolation.ts'
import { waitFor } from '../../support/wait.ts'
import { Container, PATIENCE_S } from './container.ts'
import { exampleBridge, exampleFlows } from './example-host.ts'

//   overlay X               overlay Y         IPv4 alone      foreign, masqueraded
//   x1 ── ov-b1   x2 ── ov-b2    y1 ── ov-b3     z1 ── ov-b4     g1 ── docker_gwbridge
//         fd00:33:0:5::/64  fd00:33:0:6::/64  fd00:34:0:5::/64             fd00:18::/64
//   x1b ─ ov-b1
const WANT: HostState = {
  ...EMPTY_HOST_STATE,
  bridges: [
    exampleBridge('1', '10.33.5.1/24', true, 'fd00:33:0:5::1/64'),
    exampleBridge('2', '10.33.6.1/24', true, 'fd00:33:0:6::1/64'),
    exampleBridge('3', '10.34.5.1/24', true, 'fd00:34:0:5::1/64'),
    exampleBridge('4', '10.35.5.1/24'),
  ],
  sysctls: new Map([['net/ipv6/conf/all/forwarding', '1']]),
  allowed: [
    ...exampleFlows('ov-b1', '10.33.5.0/24', 'ov-b2', '10.33.6.0/24'),
    ...exampleFlows('ov-b1', 'fd00:33:0:5::/64', 'ov-b2', 'fd00:33:0:6::/64'),
  ],
}

const stack = new AsyncDisposableStack()
let x1: Container, x1b: Container, x2: Container, y1: Container, z1: Container
let g1: Netns

before(async () => {
  // As Docker with ip6tables has it: nothing is forwarded but what DOCKER-USER lets through.
  await sh('sysctl -qw net.bridge.bridge-nf-call-ip6tables=1')
  await sh(
    'ip6tables -P FORWARD DROP; ip6tables -N DOCKER-USER; ip6tables -A DOCKER-USER -j RETURN',
  )
  await sh('ip6tables -A FORWARD -j DOCKER-USER')
  await sh('ip link add name docker_gwbridge type bridge; ip link set docker_gwbridge up')
  await sh('ip address add fd00:18::1/64 dev docker_gwbridge nodad')
  await sh('ip6tables -A FORWARD -i docker_gwbridge -j ACCEPT')
  await sh('ip6tables -A FORWARD -o docker_gwbridge -j ACCEPT')
  await sh('ip6tables -t nat -A POSTROUTING -s fd00:18::/64 ! -o docker_gwbridge -j MASQUERADE')
  await applyHostState(WANT)
  const add = async (bridge: string, ip: string, ip6?: string): Promise<Container> => {
    const families = ip6 ? { address6: `${ip6}/64`, gateway6: ip6.replace(/[\da-f]+$/, '1') } : {}
    const gateway = ip.replace(/\d+$/, '1')
    return stack.use(await Container.create(bridge, `${ip}/24`, gateway, families))
  }
  x1 = await add('ov-b1', '10.33.5.2', 'fd00:33:0:5::2')
  x1b = await add('ov-b1', '10.33.5.3', 'fd00:33:0:5::3')
  x2 = await add('ov-b2', '10.33.6.2', 'fd00:33:0:6::2')
  y1 = await add('ov-b3', '10.34.5.2', 'fd00:34:0:5::2')
  z1 = await add('ov-b4', '10.35.5.2')
  g1 = stack.use(await Netns.create('g1'))
  await plugIntoGateway(g1, 'fd00:18::2')
  await g1.run('ip', '-6', 'route', 'add', 'default', 'via', 'fd00:18::1')
  await applyHostState(wanted())
})

after(async () => {
  await stack.disposeAsync()
  await applyHostState(EMPTY_HOST_STATE)
})

const wanted = (): HostState => ({ ...WANT, ports: [x1, x1b, x2, y1, z1].map(({ port }) => port) })

async function plugIntoGateway(netns: Netns, ip: string): Promise<void> {
  const end = `vg${ip.split(':').at(-1)}`
  await sh(
    `ip link add ${end} master docker_gwbridge up type veth peer name eth1 netns ${netns.name}`,
  )
  await netns.run('ip', 'address', 'add', `${ip}/64`, 'dev', 'eth1', 'nodad')
  await netns.run('ip', 'link', 'set', 'eth1', 'up')
}

async function assertDropped(name: IsolationCounter, ping: () => Promise<boolean>): Promise<void> {
  const earlier = await readIsolationCounters()
  assert(earlier)
  assert.equal(await ping(), false)
  // A packet that still waits for its neighbour is counted when that is found.
  await waitFor(
    async () => (await readIsolationCounters())![name].packets > earlier[name].packets,
    {
      what: `${name} to count something`,
    },
  )
}

const pings = (from: Netns, ip: string): Promise<boolean> =>
  from.succeeds('busybox', 'ping', '-c1', '-W1', ip)

test('containers of one overlay on two bridges reach each other and see whom', async () => {
  assert(await x1.ping(x2.ip6))
  assert.deepEqual(await x2.seen6(), [x1.ip6])
  assert(await x2.ping(x1.ip6))
  assert.deepEqual(await x1.seen6(), [x2.ip6])
})

test('containers on one bridge reach each other although bridged frames are filtered', async () => {
  assert(await x1.ping(x1b.ip6))
  assert.deepEqual(await x1b.seen6(), [x1.ip6])
})

test('what a container sends in fragments arrives, though the host tracks connections', async () => {
  for (const other of [x2, x1b]) {
    const ping = ['busybox', 'ping', '-c', '1', '-W', `${PATIENCE_S}`, '-s', '3000', other.ip6]
    assert(await x1.netns.succeeds(...ping), `to ${other.ip6}`)
    assert.deepEqual(await other.seen6(), [x1.ip6])
  }
})

test('containers of different overlays do not reach each other, either way', async () => {
  await assertDropped('between_ours', () => x1.ping(y1.ip6, 1))
  await assertDropped('between_ours', () => y1.ping(x1.ip6, 1))
  assert.deepEqual([await x1.seen6(), await y1.seen6()], [[], []])
})

test('a container of a foreign bridge does not get in, nor do ours get out to it', async () => {
  await assertDropped('into_ours', () => pings(g1, x1.ip6))
  await assertDropped('out_of_ours', () => x1.ping('fd00:18::2', 1))
  assert.deepEqual(await x1.seen6(), [])
})

test('a container does not enter another overlay as the host, by its masqueraded interface', async () => {
  await plugIntoGateway(y1.netns, 'fd00:18::3')
  await y1.netns.run('ip', '-6', 'route', 'replace', 'default', 'via', 'fd00:18::1')
  await assertDropped('into_ours', () => y1.ping(x1.ip6, 1))
  assert.deepEqual(await x1.seen6(), [])
  await y1.netns.run('ip', '-6', 'route', 'replace', 'default', 'via', 'fd00:34:0:5::1')
})

test('an address of another subnet does not get through, not even between allowed links', async () => {
  await x1.netns.run('ip', 'address', 'add', 'fd00:99::1/128', 'dev', 'lo')
  const ping = ['busybox', 'ping', '-c', '1', '-W', '1', '-I', 'fd00:99::1', x2.ip6]
  await assertDropped('between_ours', () => x1.netns.succeeds(...ping))
  assert.deepEqual(await x2.seen6(), [])
})

test('a network of IPv4 alone carries IPv4 and no IPv6, whatever its containers give themselves', async () => {
  await z1.netns.run('ip', 'address', 'add', 'fd00:35:0:5::2/64', 'dev', 'eth0', 'nodad')
  assert.equal(await z1.ping('fd00:33:0:5::1', 1), false)
  assert.equal(await pings(z1.netns, 'fd00:35:0:5::1'), false)
  assert.equal(await sh('ip -6 address show dev ov-b4'), '')
})

test('the host hears no router that a container plays', async () => {
  const links = ['ov-b1', 'ov-b2', 'ov-b3', 'ov-b4']
  const values = await sh(
    `cd /proc/sys/net/ipv6/conf; cat ${links.map((l) => `${l}/accept_ra`).join(' ')}`,
  )
  assert.equal(values, '0\n0\n0\n0\n')
})

test('after Docker has made its chain anew the next apply lets ours through again', async () => {
  assert.deepEqual(await applyHostState(wanted()), [])
  await sh('ip6tables -F DOCKER-USER; ip6tables -A DOCKER-USER -j RETURN')
  assert.equal(await x1.ping(x2.ip6, 1), false)
  const changes = await applyHostState(wanted())
  assert(changes.length > 0 && changes.every(({ command }) => command.startsWith('ip6tables')))
  assert(await x1.ping(x2.ip6))
  assert(await x1.ping(x1b.ip6))
})

test('IPv6 that is not allowed any more is dropped at once, and IPv4 goes on', async () => {
  const earlier = await readIsolationCounters()
  await applyHostState({ ...wanted(), allowed: WANT.allowed.slice(0, 2) })
  const later = await readIsolationCounters()
  assert(earlier && later && earlier.into_ours.packets > 0)
  assert.equal(later.into_ours.packets, earlier.into_ours.packets, 'counters survive')
  await assertDropped('between_ours', () => x1.ping(x2.ip6, 1))
  assert(await x1.ping(x2.ip))
})
