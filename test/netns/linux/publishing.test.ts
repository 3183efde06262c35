import { enterOwnNetns, Netns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { after, before, test } from 'node:test'
import { applyHostState } from '../../../src/linux/apply.ts'
import {
  EMPTY_HOST_STATE,
  type HostState,
  type PublishedPort,
} from '../../../src/linux/host-state.ts'
import { readIsolationCounters } from '../../../src/linux/isolation.ts'
import { eventually, waitFor } from '../../support/wait.ts'
import { Container } from './container.ts'
import { exampleBridge } from './example-host.ts'

//   a way out                       no way out        foreign          the world
//   x1, x1b ── ov-b1                y1 ── ov-b2       g1 ── docker0    w ── up0
//              10.33.5.0/24         10.34.5.0/24      172.17.0.0/16         172.18.10.0/24
const HOST = '172.18.10.96'
const WORLD = '172.18.10.98'
const PUBLISHED: readonly PublishedPort[] = [
  { protocol: 'tcp', hostIp: null, hostPort: 8080, address: '10.33.5.2', port: 80 },
  { protocol: 'udp', hostIp: null, hostPort: 8053, address: '10.33.5.2', port: 53 },
  { protocol: 'tcp', hostIp: '127.0.0.1', hostPort: 8081, address: '10.33.5.2', port: 80 },
]
const WANT: HostState = {
  ...EMPTY_HOST_STATE,
  bridges: [exampleBridge('1', '10.33.5.1/24'), exampleBridge('2', '10.34.5.1/24')],
  waysOut: [
    {
      bridge: 'ov-b1',
      subnet: '10.33.5.0/24',
      uplinks: ['up0'],
      tunnelPort: 8472,
      published: PUBLISHED,
    },
  ],
}

const stack = new AsyncDisposableStack()
const services: ChildProcess[] = []
let want: HostState
let x1: Container, x1b: Container, y1: Container
let g1: Netns, world: Netns

before(async () => {
  await sh('sysctl -qw net.bridge.bridge-nf-call-iptables=1')
  await sh('iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN')
  await sh('iptables -A FORWARD -j DOCKER-USER')
  await sh('ip link add name docker0 type bridge; ip link set docker0 up')
  await sh('ip address add 172.17.0.1/16 dev docker0')
  await sh('iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT')
  await sh('iptables -A FORWARD -o docker0 -m conntrack --ctstate ESTABLISHED -j ACCEPT')
  world = await plug('up0', `${WORLD}/24`)
  await sh(`ip address add ${HOST}/24 dev up0`)
  g1 = await plug('vg1', '172.17.0.2/16')
  await sh('ip link set vg1 master docker0')
  await g1.run('ip', 'route', 'add', 'default', 'via', '172.17.0.1')
  await applyHostState(WANT)
  const add = async (bridge: string, address: string, gateway: string): Promise<Container> =>
    stack.use(await Container.create(bridge, address, gateway))
  x1 = await add('ov-b1', '10.33.5.2/24', '10.33.5.1')
  x1b = await add('ov-b1', '10.33.5.3/24', '10.33.5.1')
  y1 = await add('ov-b2', '10.34.5.2/24', '10.34.5.1')
  const ports = [x1, x1b, y1].map(({ port }) => ({ ...port, hairpin: port === x1.port }))
  want = { ...WANT, ports }
  await applyHostState(want)
  for (const netns of [x1.netns, world]) serve(netns)
  for (const ip of [x1.ip, WORLD]) {
    const line = `${client('TCP4', `${ip}:80`)} && ${client('UDP4', `${ip}:53`)}`
    await eventually(async () => assert.match(await sh(line), /\d/), { what: 'the services' })
  }
})

after(async () => {
  for (const service of services) service.kill('SIGKILL')
  await stack.disposeAsync()
  await applyHostState(EMPTY_HOST_STATE)
})

/** A machine behind a cable of the host. */
async function plug(end: string, address: string): Promise<Netns> {
  const netns = stack.use(await Netns.create(end))
  await sh(`ip link add ${end} up type veth peer name eth0 netns ${netns.name}`)
  await netns.run('ip', 'address', 'add', address, 'dev', 'eth0')
  await netns.run('ip', 'link', 'set', 'eth0', 'up')
  return netns
}

/** TCP 80 and UDP 53 answer with the address that they were asked from. */
function serve(netns: Netns): void {
  // A shell that did not read the question could be gone before it was passed on, and socat with it.
  const answer = 'SYSTEM:read _; echo $SOCAT_PEERADDR'
  services.push(netns.spawn('socat', 'TCP4-LISTEN:80,fork,reuseaddr', answer))
  services.push(netns.spawn('socat', '-t', '5', 'UDP4-RECVFROM:53,fork', answer))
}

const client = (protocol: 'TCP4' | 'UDP4', to: string): string =>
  `echo | socat -t 1 -T 1 - ${protocol}:${to},${protocol === 'UDP4' ? 'null-eof' : 'connect-timeout=1'}`

/** What the service saw, "" when it did not answer. */
async function ask(from: Netns | null, protocol: 'TCP4' | 'UDP4', to: string): Promise<string> {
  const line = client(protocol, to)
  const answer = from === null ? sh(line) : from.run('sh', '-c', line)
  return answer.then(
    (text) => text.trim(),
    () => '',
  )
}

/** The same of a service that answers; a busy machine may take longer than one question waits. */
const told = (from: Netns | null, protocol: 'TCP4' | 'UDP4', to: string): Promise<string> =>
  waitFor(() => ask(from, protocol, to), { what: `${to} to answer`, timeout: 60_000 })

test('a container goes out as its host, and nobody out there goes in', async () => {
  assert.equal(await told(x1.netns, 'TCP4', `${WORLD}:80`), HOST)
  assert.equal(await told(x1.netns, 'UDP4', `${WORLD}:53`), HOST)
  assert(await x1.ping(WORLD))
  await world.run('ip', 'route', 'add', '10.33.5.0/24', 'via', HOST)
  assert.equal(await ask(world, 'TCP4', `${x1.ip}:80`), '')
  assert.equal(await world.succeeds('busybox', 'ping', '-c1', '-W1', x1.ip), false)
  await world.run('ip', 'route', 'del', '10.33.5.0/24')
})

test('a published port is reached from outside, which keeps its address', async () => {
  assert.equal(await told(world, 'TCP4', `${HOST}:8080`), WORLD)
  assert.equal(await told(world, 'UDP4', `${HOST}:8053`), WORLD)
  assert.equal(await ask(world, 'TCP4', `${HOST}:8081`), '', 'published at 127.0.0.1 alone')
})

test('a published port is reached from the host, by any of its addresses', async () => {
  assert.equal(await told(null, 'TCP4', `${HOST}:8080`), HOST)
  assert.equal(await told(null, 'TCP4', '127.0.0.1:8080'), '10.33.5.1')
  assert.equal(await told(null, 'TCP4', '127.0.0.1:8081'), '10.33.5.1')
  assert.equal(await told(null, 'UDP4', '127.0.0.1:8053'), '10.33.5.1')
  assert.equal(await ask(null, 'TCP4', `${HOST}:8081`), '')
})

test('a published port is reached by every container of the host, by a neighbour and by itself too', async () => {
  assert.equal(await told(x1b.netns, 'TCP4', `${HOST}:8080`), '10.33.5.1')
  assert.equal(await told(x1b.netns, 'UDP4', `${HOST}:8053`), '10.33.5.1')
  assert.equal(await told(x1.netns, 'TCP4', `${HOST}:8080`), '10.33.5.1')
  assert.equal(await told(g1, 'TCP4', `${HOST}:8080`), '172.17.0.2')
  assert.equal(await told(y1.netns, 'TCP4', `${HOST}:8080`), y1.ip)
})

test('other bridges have no part in the way out, and it leads to none of them', async () => {
  assert.equal(await y1.ping(WORLD, 1), false)
  assert.equal(await x1.ping(y1.ip, 1), false)
  assert.equal(await y1.ping(x1.ip, 1), false)
  assert.equal(await ask(y1.netns, 'TCP4', `${x1.ip}:80`), '')
  assert.equal(await ask(g1, 'TCP4', `${x1.ip}:80`), '')
  assert.equal(await x1.ping('172.17.0.2', 1), false)
})

test("what a container sends to a tunnel's port does not go out behind its host's address", async () => {
  await world.run('nft', 'add table ip w')
  await world.run('nft', 'add chain ip w in { type filter hook input priority 0; }')
  await world.run('nft', 'add rule ip w in udp dport { 8472, 8473 } counter')
  const earlier = await readIsolationCounters()
  for (const port of ['8472', '8473']) {
    await x1.netns.run('sh', '-c', `echo x | socat -u - UDP4:${WORLD}:${port}`)
  }
  await eventually(
    async () => assert.match(await world.run('nft', 'list table ip w'), /packets 1 /),
    {
      what: 'the datagram to the other port',
    },
  )
  const later = await readIsolationCounters()
  assert(earlier && later && later.out_of_ours.packets > earlier.out_of_ours.packets)
})

test("what a container sends to the host's loopback address does not get there", async () => {
  await sh('nft add table ip seen')
  await sh('nft "add chain ip seen in { type filter hook input priority 0; }"')
  await sh('nft add rule ip seen in udp dport 9999 counter')
  await x1b.netns.run('sysctl', '-qw', 'net.ipv4.conf.eth0.route_localnet=1')
  for (const prefix of ['127.0.0.1', '127.0.0.0/8']) {
    await x1b.netns.run('ip', 'route', 'del', 'local', prefix, 'dev', 'lo', 'table', 'local')
  }
  await x1b.netns.run('ip', 'route', 'add', '127.0.0.0/8', 'via', '10.33.5.1', 'src', '10.33.5.3')
  assert(await x1b.ping('10.33.5.1'), 'it knows the way')
  const send = 'echo x | socat -u - UDP4:127.0.0.1:9999'
  await x1b.netns.run('sh', '-c', send)
  await sh(send)
  await eventually(async () => assert.match(await sh('nft list table ip seen'), /packets [1-9]/), {
    what: "the host's own datagram",
  })
  assert.match(await sh('nft list table ip seen'), /packets 1 /)
  await sh('nft delete table ip seen')
})

test('published ports come and go without a moment for the others, and with what was counted', async () => {
  const [way] = WANT.waysOut
  const kept = { ...want, waysOut: [{ ...way!, published: PUBLISHED.slice(0, 1) }] }
  const earlier = await readIsolationCounters()
  const changes = await applyHostState(kept)
  assert.deepEqual(
    changes.map(({ kind }) => kind),
    ['nft'],
  )
  assert.deepEqual(await applyHostState(kept), [])
  assert.equal(await ask(null, 'TCP4', '127.0.0.1:8081'), '')
  assert.equal(await told(world, 'TCP4', `${HOST}:8080`), WORLD)
  const later = await readIsolationCounters()
  assert(earlier && later && later.out_of_ours.packets >= earlier.out_of_ours.packets)
  assert(earlier.out_of_ours.packets > 0)
})

test('a rule, a chain or a table that somebody deletes comes back', async () => {
  for (const damage of [
    'nft flush chain inet overlay-ts published',
    'nft flush chain inet overlay-ts leaving',
    'nft delete table inet overlay-ts',
  ]) {
    await sh(damage)
    assert.notDeepEqual(await applyHostState(want), [], damage)
    assert.deepEqual(await applyHostState(want), [])
    assert.equal(await told(world, 'TCP4', `${HOST}:8080`), WORLD, damage)
    assert.equal(await told(x1.netns, 'TCP4', `${WORLD}:80`), HOST, damage)
  }
})

test('without a way out nothing is translated, and no rule is left of it', async () => {
  await applyHostState({ ...want, waysOut: [] })
  assert.equal(await ask(world, 'TCP4', `${HOST}:8080`), '')
  assert.equal(await x1.ping(WORLD, 1), false)
  assert.doesNotMatch(await sh('nft list table inet overlay-ts'), /nat|127\.0\.0\.0|ct /)
  assert.doesNotMatch(await sh('iptables-save'), /-A DOCKER-USER -[io] ov-b1 -m/)
})
