import { enterOwnNetns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { applyHostState } from '../../../src/linux/apply.ts'
import { EMPTY_HOST_STATE } from '../../../src/linux/host-state.ts'
import { onLinkRoutes } from '../../../src/linux/on-link-routes.ts'
import { readNameservers, readNameservers6 } from '../../../src/linux/nameservers.ts'
import { observeUnderlay, privateBridgePrefixes } from '../../../src/linux/underlay.ts'
import { formatCidr } from '../../../src/net/cidr.ts'
import { formatSubnet } from '../../../src/net/cidr6.ts'
import { formatIpv4, parseIpv4 } from '../../../src/net/ipv4.ts'
import { formatIp, parseIpv6 } from '../../../src/net/ipv6.ts'
import { ONE_NETWORK } from './example-host.ts'

before(async () => {
  await sh('ip link add name eth0 type bridge; ip link set eth0 mtu 1400 up')
  await sh('ip address add 172.31.10.96/24 dev eth0')
})

test('without a default route the sentence names IFACE', async () => {
  await assert.rejects(observeUnderlay(), /no default route.* set IFACE/)
})

test('a missing interface is named beside those that exist', async () => {
  await assert.rejects(observeUnderlay({ iface: 'eth5' }), /no interface eth5 .*one of lo, eth0/)
})

test('an interface without IPv4 is named', async () => {
  await sh('ip link add name eth1 type bridge')
  await assert.rejects(observeUnderlay({ iface: 'eth1' }), /eth1 has no IPv4 address/)
})

test('the interface of the default route is the underlay', async () => {
  await sh('ip route add default via 172.31.10.1; ip route add default via 172.31.10.2 metric 50')
  const underlay = await observeUnderlay()
  assert.equal(underlay.iface, 'eth0')
  assert.equal(underlay.mtu, 1400)
  assert.equal(formatIp(underlay.ip), '172.31.10.96')
  assert.equal(formatIp(underlay.publicIp), '172.31.10.96')
  assert.equal(formatSubnet(underlay.prefix), '172.31.10.0/24')
  assert.deepEqual(underlay.defaultGateways.map(formatIpv4), ['172.31.10.1', '172.31.10.2'])
})

test('HOST_IP is published, the own address is bound to', async () => {
  const underlay = await observeUnderlay({ hostIp: parseIpv4('203.0.113.5') })
  assert.equal(formatIp(underlay.publicIp), '203.0.113.5')
  assert.equal(formatIp(underlay.ip), '172.31.10.96')
})

const HOST_IP6 = parseIpv6('fd00:31::96')

test('an interface with IPv6 alone is told how to use it', async () => {
  await sh('ip link set eth1 up; ip address add fd00:31::1:96/64 dev eth1 nodad')
  await assert.rejects(observeUnderlay({ iface: 'eth1' }), {
    code: 'host_state',
    message: /eth1 has no IPv4 address; .* set HOST_IP to fd00:31::1:96 on this host/,
  })
})

test('HOST_IP of IPv6 needs a way there', async () => {
  await assert.rejects(observeUnderlay({ hostIp: HOST_IP6 }), /no default route.* set IFACE/)
  await assert.rejects(
    observeUnderlay({ hostIp: HOST_IP6, iface: 'eth0' }),
    /eth0 has no IPv6 address \(HOST_IP fd00:31::96 is only published\)/,
  )
})

test('HOST_IP of IPv6 is bound to on the interface that has it', async () => {
  // An older one beside it, which the kernel would not choose any more.
  await sh('ip address add fd00:31::7/64 dev eth0 nodad preferred_lft 0 valid_lft 3600')
  await sh('ip address add fd00:31::96/64 dev eth0 nodad')
  const underlay = await observeUnderlay({ hostIp: HOST_IP6 })
  assert.equal(underlay.iface, 'eth0')
  assert.equal(formatIp(underlay.ip), 'fd00:31::96')
  assert.equal(formatIp(underlay.publicIp), 'fd00:31::96')
  assert.equal(formatSubnet(underlay.prefix), 'fd00:31::/64')
  // What an overlay of IPv4 inside could hide is of IPv4 whatever the tunnels are.
  assert.deepEqual(underlay.defaultGateways.map(formatIpv4), ['172.31.10.1', '172.31.10.2'])
})

test('what of IPv6 this host needs is told, whatever its tunnels are', async () => {
  await sh('ip -6 route add default via fd00:31::fffe dev eth0')
  await sh('ip -6 route add default via fe80::1 dev eth0 metric 2000')
  const { ipv6 } = await observeUnderlay()
  assert.deepEqual(ipv6.addresses.map(formatIp).toSorted(), [
    'fd00:31::1:96',
    'fd00:31::7',
    'fd00:31::96',
  ])
  assert.deepEqual(ipv6.defaultGateways.map(formatIp), ['fd00:31::fffe'])
  await sh('ip -6 route del default via fd00:31::fffe; ip -6 route del default via fe80::1')
})

test("HOST_IP of IPv6 that is nobody's here is published, and the default route tells the interface", async () => {
  await sh('ip -6 route add default via fd00:31::fffe dev eth0')
  const underlay = await observeUnderlay({ hostIp: parseIpv6('2001:db8::96') })
  assert.equal(underlay.iface, 'eth0')
  assert.equal(formatIp(underlay.ip), 'fd00:31::96', 'not the deprecated one')
  assert.equal(formatIp(underlay.publicIp), '2001:db8::96')
})

test('HOST_IP of IPv6 that the kernel is still asking about is not bound to yet', async () => {
  // A bridge with an address of its own has no carrier without ports, so the question is never asked.
  await sh('ip link add name eth2 address 02:00:00:00:00:96 type bridge; ip link set eth2 up')
  await sh('ip address add fd00:32::96/64 dev eth2')
  await assert.rejects(observeUnderlay({ hostIp: parseIpv6('fd00:32::96') }), {
    code: 'host_state',
    message: /^HOST_IP fd00:32::96 cannot be used on eth2: the kernel is still asking/,
  })
  await sh('ip link del eth2; ip link del eth1')
})

test('on-link prefixes and private bridges are those of others', async () => {
  await sh('ip link add name docker0 type bridge; ip address add 172.17.0.1/16 dev docker0')
  await sh('ip link add name br-0123456789ab type bridge')
  await sh('ip address add 172.19.0.1/16 dev br-0123456789ab')
  await sh('ip link add name virbr0 type bridge; ip address add 192.168.122.1/24 dev virbr0')
  await sh('ip link set docker0 up; ip link set br-0123456789ab up')
  await applyHostState({
    ...ONE_NETWORK,
    routes: [
      ...ONE_NETWORK.routes,
      { type: 'unreachable', to: '172.20.0.0/16', scope: 'link', metric: 4294967294 },
    ],
  })
  const underlay = await observeUnderlay()
  assert.deepEqual(
    underlay.onLinkPrefixes.map(({ prefix, dev }) => `${formatCidr(prefix)} ${dev}`).sort(),
    ['172.17.0.0/16 docker0', '172.19.0.0/16 br-0123456789ab', '172.31.10.0/24 eth0'],
  )
  assert.deepEqual(privateBridgePrefixes(underlay).map(formatCidr).sort(), [
    '172.17.0.0/16',
    '172.19.0.0/16',
  ])
  const ours = (await onLinkRoutes()).filter((route) => route.ours)
  assert.deepEqual(ours.map(({ prefix, dev }) => `${formatCidr(prefix)} ${dev}`).sort(), [
    '10.33.5.0/24 ov-b1',
    '172.20.0.0/16 null',
  ])
  await applyHostState(EMPTY_HOST_STATE)
})

test('nameservers are those of resolv.conf, and behind the stub of systemd-resolved the real ones', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'ovt-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'resolv.conf')
  const run = join(folder, 'run')
  await mkdir(join(run, 'systemd/resolve'), { recursive: true })
  await writeFile(join(run, 'systemd/resolve/resolv.conf'), 'nameserver 10.33.0.53\n')
  await writeFile(
    file,
    '# nameserver 9.9.9.9\nsearch lan\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver fd00:53::53\n',
  )
  assert.deepEqual((await readNameservers(run, file)).map(formatIpv4), ['192.0.2.1'])
  assert.deepEqual((await readNameservers6(run, file)).map(formatIp), ['fd00:53::53'])
  await writeFile(file, 'nameserver 127.0.0.53\noptions edns0\n')
  assert.deepEqual((await readNameservers(run, file)).map(formatIpv4), ['10.33.0.53'])
  assert.deepEqual(await readNameservers(run, join(folder, 'none')), [])
})
