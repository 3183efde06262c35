import { enterOwnNetns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { applyHostState } from '../../../src/linux/apply.ts'
import { EMPTY_HOST_STATE } from '../../../src/linux/host-state.ts'
import { eventually, waitFor } from '../../support/wait.ts'
import { Container, PATIENCE_S } from './container.ts'
import { DUAL_NETWORK, exampleRoutes } from './example-host.ts'
import { TunEcho } from './tun-echo.ts'

let container: Container
let remote: TunEcho

before(async () => {
  await applyHostState(DUAL_NETWORK)
  const address6 = 'fd00:33:0:5::2/64'
  container = await Container.create('ov-b1', '10.33.5.2/17', undefined, { address6 })
  await container.netns.run('ip', 'route', 'add', 'fd00:33::/48', 'via', 'fd00:33:0:5::1')
  await applyHostState({ ...DUAL_NETWORK, ports: [container.port] })
  remote = new TunEcho('ov-tun')
})

after(async () => {
  remote[Symbol.dispose]()
  await container[Symbol.asyncDispose]()
  await applyHostState(EMPTY_HOST_STATE)
})

test('a container reaches a remote address of either family, which sees its own', async () => {
  remote.pings.length = 0
  assert(await container.ping('fd00:33:0:9::9'))
  assert(await container.ping('10.33.9.9'))
  assert.deepEqual(remote.pings, ['fd00:33:0:5::2 > fd00:33:0:9::9', '10.33.5.2 > 10.33.9.9'])
})

test('a container that has just come is found without a wait', async () => {
  await sh('ip -6 neigh flush dev ov-b1')
  assert(await container.ping('fd00:33:0:9::9'))
  const own = await sh('ip -6 -o address show dev ov-b1 scope link')
  assert.match(own, /inet6 fe80::ff:fe00:1\/64/)
  assert.doesNotMatch(own, /tentative/)
})

test('the TUN that is in use has no address of IPv6 but the one that is wanted', async () => {
  const addresses = await sh('ip -6 -o address show dev ov-tun')
  assert.match(addresses, /^\S+ ov-tun\s+inet6 fd00:33:0:5::\/128 .*\n$/)
})

test('the bridge says that it is a router', async () => {
  await container.netns.run('ip', '-6', 'neigh', 'flush', 'dev', 'eth0')
  assert(await container.ping('fd00:33:0:5::1'))
  assert.match(await container.netns.run('ip', '-6', 'neigh'), /^fd00:33:0:5::1 .* router /m)
})

test('the host reaches a remote address from the first of its subnet', async () => {
  remote.pings.length = 0
  await sh(`busybox ping -c 1 -W ${PATIENCE_S} fd00:33:0:9::9`)
  assert.deepEqual(remote.pings, ['fd00:33:0:5:: > fd00:33:0:9::9'])
})

test('in a second overlay the host is the first of its subnet there', async () => {
  const tun = DUAL_NETWORK.tun!
  await applyHostState({
    ...DUAL_NETWORK,
    tun: { ...tun, addresses: [...tun.addresses, 'fd00:34:0:5::/128'] },
    ports: [container.port],
    routes: [...DUAL_NETWORK.routes, ...exampleRoutes('fd00:34::/48', 'fd00:34:0:5::')],
  })
  // The kernel makes a new address one of the host's own a moment after it was added.
  await waitFor(() => sh('ip -6 route show table local | grep "^local fd00:34:0:5:: "'), {
    what: 'the second address of the host',
  })
  remote.pings.length = 0
  await sh(`busybox ping -c 1 -W ${PATIENCE_S} fd00:34:0:9::9`)
  assert.deepEqual(remote.pings, ['fd00:34:0:5:: > fd00:34:0:9::9'])
})

test('what is too big for the way is answered by the kernel, from the bridge', async () => {
  await applyHostState({
    ...DUAL_NETWORK,
    ports: [container.port],
    routes: [
      ...DUAL_NETWORK.routes,
      { type: 'unicast', to: 'fd00:33:0:8::/64', dev: 'ov-tun', src: 'fd00:33:0:5::', mtu: 1400 },
    ],
  })
  assert.equal(
    await container.netns.succeeds('busybox', 'ping', '-c1', '-W1', '-s', '1402', 'fd00:33:0:8::8'),
    false,
  )
  await eventually(
    async () => {
      const learned = await container.netns.run('ip', '-6', 'route', 'get', 'fd00:33:0:8::8')
      assert.match(learned, / mtu 1400/)
    },
    { what: 'the answer of the kernel' },
  )
  const fitting = ['ping', '-c', '1', '-W', `${PATIENCE_S}`, '-s', '1352', 'fd00:33:0:8::8']
  assert(await container.netns.succeeds('busybox', ...fitting))
})

test('what a container has cut for a narrow way stays so, though the host tracks connections', async () => {
  await applyHostState({ ...DUAL_NETWORK, ports: [container.port] })
  await sh('sysctl -qw net.bridge.bridge-nf-call-ip6tables=1')
  await sh('ip6tables -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT')
  const narrow = ['fd00:33:0:7::/64', 'via', 'fd00:33:0:5::1', 'mtu', '1280']
  await container.netns.run('ip', 'route', 'add', ...narrow)
  remote.sizes.length = 0
  await container.netns.succeeds('busybox', 'ping', '-c1', '-W1', '-s', '1400', 'fd00:33:0:7::7')
  await waitFor(() => remote.sizes.length >= 2, { what: 'both pieces' })
  assert.deepEqual(remote.sizes, [1280, 1400 + 8 - 1232 + 48])
})

test('without the TUN the pool is a blackhole and not the default route', async () => {
  await sh('ip link add name eth7 type bridge; ip address add 2001:db8::1/64 dev eth7 nodad')
  await sh('ip link set eth7 up; ip -6 route add default via 2001:db8::2')
  assert.match(await sh('ip route get fd00:77::1'), /dev eth7/)
  await sh('ip link set ov-tun down')
  assert.match(await sh('ip route get fd00:33:0:9::9 2>&1 || true'), /Invalid argument|blackhole/)
  await sh('ip link del eth7')
})
