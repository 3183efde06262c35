import { enterOwnNetns, Netns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { applyHostState } from '../../../src/linux/apply.ts'
import { EMPTY_HOST_STATE, type HostState } from '../../../src/linux/host-state.ts'
import { readIsolationCounters, type IsolationCounter } from '../../../src/linux/isolation.ts'
import { waitFor } from '../../support/wait.ts'
import { Container } from './container.ts'
import { exampleBridge, exampleFlows } from './example-host.ts'

//   overlay X               overlay Y         foreign, masqueraded like docker_gwbridge
//   x1 ── ov-b1   x2 ── ov-b2    y1 ── ov-b3      g1 ── docker_gwbridge
//         10.33.5.0/24   10.33.6.0/24    10.34.5.0/24        172.18.0.0/16
//   x1b ─ ov-b1
const WANT: HostState = {
  ...EMPTY_HOST_STATE,
  bridges: [
    exampleBridge('1', '10.33.5.1/24'),
    exampleBridge('2', '10.33.6.1/24'),
    exampleBridge('3', '10.34.5.1/24'),
  ],
  allowed: exampleFlows('ov-b1', '10.33.5.0/24', 'ov-b2', '10.33.6.0/24'),
}

const stack = new AsyncDisposableStack()
let x1: Container, x1b: Container, x2: Container, y1: Container
let g1: Netns

before(async () => {
  // Docker's own rules: forwarding is refused unless DOCKER-USER lets it through, and the bridge masks.
  await sh('sysctl -qw net.bridge.bridge-nf-call-iptables=1')
  await sh('iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN')
  await sh('iptables -A FORWARD -j DOCKER-USER')
  await sh('ip link add name docker_gwbridge type bridge; ip link set docker_gwbridge up')
  await sh('ip address add 172.18.0.1/16 dev docker_gwbridge')
  await sh('iptables -A FORWARD -i docker_gwbridge -j ACCEPT')
  await sh('iptables -A FORWARD -o docker_gwbridge -j ACCEPT')
  await sh('iptables -t nat -A POSTROUTING -s 172.18.0.0/16 ! -o docker_gwbridge -j MASQUERADE')
  await applyHostState(WANT)
  const add = async (bridge: string, address: string, gateway: string): Promise<Container> =>
    stack.use(await Container.create(bridge, address, gateway))
  x1 = await add('ov-b1', '10.33.5.2/24', '10.33.5.1')
  x1b = await add('ov-b1', '10.33.5.3/24', '10.33.5.1')
  x2 = await add('ov-b2', '10.33.6.2/24', '10.33.6.1')
  y1 = await add('ov-b3', '10.34.5.2/24', '10.34.5.1')
  g1 = stack.use(await Netns.create('g1'))
  await plugIntoGateway(g1, '172.18.0.2')
  await g1.run('ip', 'route', 'add', 'default', 'via', '172.18.0.1')
  await applyHostState({ ...WANT, ports: [x1, x1b, x2, y1].map(({ port }) => port) })
})

after(async () => {
  await stack.disposeAsync()
  await applyHostState(EMPTY_HOST_STATE)
})

async function plugIntoGateway(netns: Netns, ip: string): Promise<void> {
  const end = `vg${ip.split('.').at(-1)}`
  await sh(
    `ip link add ${end} master docker_gwbridge up type veth peer name eth1 netns ${netns.name}`,
  )
  await netns.run('ip', 'address', 'add', `${ip}/16`, 'dev', 'eth1')
  await netns.run('ip', 'link', 'set', 'eth1', 'up')
}

async function counted(name: IsolationCounter, action: () => Promise<boolean>): Promise<boolean> {
  const earlier = await readIsolationCounters()
  assert(earlier)
  const result = await action()
  // A packet that still waits for its neighbour is counted when that is found.
  await waitFor(
    async () => (await readIsolationCounters())![name].packets > earlier[name].packets,
    {
      what: `${name} to count something`,
    },
  )
  return result
}

test('containers of one overlay on two bridges reach each other and see whom', async () => {
  assert(await x1.ping(x2.ip))
  assert.deepEqual(await x2.seen(), [x1.ip])
  assert(await x2.ping(x1.ip))
  assert.deepEqual(await x1.seen(), [x2.ip])
})

test('containers on one bridge reach each other although bridged frames are filtered', async () => {
  assert(await x1.ping(x1b.ip))
  assert.deepEqual(await x1b.seen(), [x1.ip])
})

test('containers of different overlays do not reach each other, either way', async () => {
  assert.equal(await counted('between_ours', () => x1.ping(y1.ip, 1)), false)
  assert.equal(await counted('between_ours', () => y1.ping(x1.ip, 1)), false)
  assert.deepEqual([await x1.seen(), await y1.seen()], [[], []])
})

test('a container of a foreign bridge does not get in, nor do ours get out to it', async () => {
  assert.equal(
    await counted('into_ours', () => g1.succeeds('busybox', 'ping', '-c1', '-W1', x1.ip)),
    false,
  )
  assert.equal(await counted('out_of_ours', () => x1.ping('172.18.0.2', 1)), false)
  assert.deepEqual(await x1.seen(), [])
})

test('a container does not enter another overlay as the host, by its masqueraded interface', async () => {
  await plugIntoGateway(y1.netns, '172.18.0.3')
  await y1.netns.run('ip', 'route', 'replace', 'default', 'via', '172.18.0.1')
  assert.equal(await counted('into_ours', () => y1.ping(x1.ip, 1)), false)
  assert.deepEqual(await x1.seen(), [])
  await y1.netns.run('ip', 'route', 'replace', 'default', 'via', '10.34.5.1')
})

test('an address of another subnet does not get through, not even between allowed links', async () => {
  await x1.netns.run('ip', 'address', 'add', '10.99.0.1/32', 'dev', 'lo')
  const ping = ['busybox', 'ping', '-c', '1', '-W', '1', '-I', '10.99.0.1', x2.ip]
  assert.equal(await counted('between_ours', () => x1.netns.succeeds(...ping)), false)
  assert.deepEqual(await x2.seen(), [])
})

test('traffic that is none of ours is left to others', async () => {
  await using other = await Netns.create('o1')
  await sh('ip link add name br-other type bridge; ip link set br-other up')
  await sh('ip address add 172.19.0.1/16 dev br-other')
  await sh(`ip link add vo1 master br-other up type veth peer name eth0 netns ${other.name}`)
  await other.run('ip', 'address', 'add', '172.19.0.2/16', 'dev', 'eth0')
  await other.run('ip', 'link', 'set', 'eth0', 'up')
  await other.run('ip', 'route', 'add', 'default', 'via', '172.19.0.1')
  await waitFor(() => g1.succeeds('busybox', 'ping', '-c1', '-W1', '172.19.0.2'), {
    what: 'a container of another bridge to answer',
  })
  await sh('ip link del br-other')
})

test('after Docker has made its chain anew the next apply lets ours through again', async () => {
  const want = { ...WANT, ports: [x1, x1b, x2, y1].map(({ port }) => port) }
  assert.deepEqual(await applyHostState(want), [])
  await sh('iptables -F DOCKER-USER; iptables -A DOCKER-USER -j RETURN')
  assert.equal(await x1.ping(x2.ip, 1), false)
  assert.equal(await x1.ping(x1b.ip, 1), false)
  const changes = await applyHostState(want)
  assert(changes.length > 0 && changes.every(({ kind }) => kind === 'iptables'))
  assert(await x1.ping(x2.ip))
  assert(await x1.ping(x1b.ip))
})

test('counters survive a change of the rules', async () => {
  const earlier = await readIsolationCounters()
  await applyHostState({ ...WANT, allowed: [], ports: [x1, x1b, x2, y1].map(({ port }) => port) })
  const later = await readIsolationCounters()
  assert(earlier && later && earlier.into_ours.packets > 0)
  assert.equal(later.into_ours.packets, earlier.into_ours.packets)
  assert.equal(await counted('between_ours', () => x1.ping(x2.ip, 1)), false)
})
