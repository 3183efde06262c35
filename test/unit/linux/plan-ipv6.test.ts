import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HostState } from '../../../src/linux/host-state.ts'
import { loadScript, renderIsolation } from '../../../src/linux/isolation.ts'
import type { ObservedState } from '../../../src/linux/observe.ts'
import { planHost, stepText, type Sysctls } from '../../../src/linux/plan.ts'
import { DUAL_WEB, dockers, NOTHING, WEB } from './example-state.ts'
import { observedAs, sysctlsOf } from './pretend.ts'

function textOf(have: ObservedState, sysctls: Sysctls, want: HostState): string[] {
  return planHost(have, sysctls, want).map(stepText)
}

/** The settings of a host in force, but for some. */
const sysctlsBut = (want: HostState, others: Record<string, string>): Sysctls =>
  new Map([...sysctlsOf(want), ...Object.entries(others)])

const FORWARDING = 'net/ipv6/conf/all/forwarding'

test('the first network of both families', (t) => {
  const forward = { ipv4: dockers(['-j RETURN']), ipv6: dockers(['-j RETURN'], 'ip6tables') }
  const plan = textOf({ ...NOTHING, forward }, new Map([[FORWARDING, '1']]), DUAL_WEB)
  const file = new URL('../../golden/linux/dual-stack.txt', import.meta.url).pathname
  t.assert.fileSnapshot(`${plan.join('\n')}\n`, file, { serializers: [String] })
})

test('a host that has both families needs no step', () => {
  assert.deepEqual(textOf(observedAs(DUAL_WEB), sysctlsOf(DUAL_WEB), DUAL_WEB), [])
})

test('links that were too narrow for IPv6 get their MTU, then their settings, then their addresses', () => {
  const had = observedAs(DUAL_WEB)
  const narrow: ObservedState = {
    ...had,
    links: new Map(
      [...had.links].map(([name, link]) => [name, { ...link, mtu: 1230, addresses: [] }]),
    ),
  }
  // The kernel has no settings of IPv6 for them.
  const sysctls = new Map(
    [...sysctlsOf(DUAL_WEB)].map(([path, value]) => [path, /ipv6.*ov-/.test(path) ? null : value]),
  )
  const plan = textOf(narrow, sysctls, DUAL_WEB)
  const first = (part: string): number => plan.findIndex((line) => line.includes(part))
  for (const { name, mtu } of [DUAL_WEB.tun!, ...DUAL_WEB.bridges]) {
    const steps = [
      `ip link set dev ${name} mtu ${mtu}`,
      `sysctl -w net/ipv6/conf/${name}/accept_ra=0`,
      `sysctl -w net/ipv6/conf/${name}/disable_ipv6=0`,
      `ip address add ${name === 'ov-tun' ? 'fd00:33:0:5::/128' : 'fd00:33:0:5::1/64'} dev ${name}`,
    ].map(first)
    assert.ok(!steps.includes(-1), plan.join('\n'))
    assert.deepEqual(
      steps.toSorted((x, y) => x - y),
      steps,
    )
    assert.equal(plan.filter((line) => line.includes(`dev ${name} mtu`)).length, 1)
  }
})

test('links that hear routers are told to go on before the host becomes one, and no other link is', () => {
  const have = {
    ...observedAs(DUAL_WEB),
    listeners: ['eth0', 'deaf0', 'router0', 'told0', 'gone0'],
  }
  const sysctls = sysctlsBut(DUAL_WEB, {
    [FORWARDING]: '0',
    'net/ipv6/conf/eth0/accept_ra': '1',
    'net/ipv6/conf/eth0/forwarding': '0',
    'net/ipv6/conf/deaf0/accept_ra': '0',
    'net/ipv6/conf/deaf0/forwarding': '0',
    'net/ipv6/conf/router0/accept_ra': '1',
    'net/ipv6/conf/router0/forwarding': '1',
    'net/ipv6/conf/told0/accept_ra': '2',
    'net/ipv6/conf/told0/forwarding': '0',
  })
  assert.deepEqual(textOf(have, sysctls, DUAL_WEB), [
    'sysctl -w net/ipv6/conf/eth0/accept_ra=2',
    'sysctl -w net/ipv6/conf/all/forwarding=1',
  ])
  assert.deepEqual(
    textOf(have, new Map([...sysctls, [FORWARDING, '1']]), DUAL_WEB),
    [],
    'a router already',
  )
})

test('where forwarding cannot be had, no link is told anything', () => {
  const have = { ...observedAs(DUAL_WEB), listeners: ['eth0'] }
  const others = { 'net/ipv6/conf/eth0/accept_ra': '1', 'net/ipv6/conf/eth0/forwarding': '0' }
  const sysctls = new Map<string, string | null>(sysctlsBut(DUAL_WEB, others))
  assert.deepEqual(textOf(have, sysctls.set(FORWARDING, null), DUAL_WEB), [])
  const without = { ...DUAL_WEB, sysctls: new Map<string, string>() }
  assert.deepEqual(textOf(have, sysctls.set(FORWARDING, '0'), without), [])
})

test('IPv6 is added to a host, and taken from it again, without a touch on IPv4', () => {
  const added = textOf(observedAs(WEB), sysctlsOf(WEB), DUAL_WEB)
  assert.deepEqual(
    added.filter((line) => /^(ip|ip6tables) /.test(line)),
    [
      'ip address add fd00:33:0:5::/128 dev ov-tun nodad',
      'ip address add fd00:33:0:5::1/64 dev ov-b1111111111 nodad',
      'ip route add fd00:33::/48 dev ov-tun proto 79 src fd00:33:0:5:: metric 1024',
      'ip route add blackhole fd00:33::/48 proto 79 metric 4294967293',
      'ip6tables -I DOCKER-USER 1 -i ov-b1111111111 -o ov-b1111111111 -m comment --comment overlay-ts -j ACCEPT',
      'ip6tables -I DOCKER-USER 2 -i ov-b1111111111 -o ov-tun -m comment --comment overlay-ts -j ACCEPT',
      'ip6tables -I DOCKER-USER 3 -i ov-tun -o ov-b1111111111 -m comment --comment overlay-ts -j ACCEPT',
    ],
  )
  const taken = textOf(observedAs(DUAL_WEB), sysctlsOf(DUAL_WEB), WEB)
  assert.deepEqual(
    taken.filter((line) => /^(ip|ip6tables|sysctl) /.test(line)),
    [
      'sysctl -w net/ipv6/conf/ov-tun/disable_ipv6=1',
      'sysctl -w net/ipv6/conf/ov-b1111111111/disable_ipv6=1',
      'ip address del fd00:33:0:5::1/64 dev ov-b1111111111',
      'ip route del fd00:33::/48 dev ov-tun proto 79 src fd00:33:0:5:: metric 1024',
      'ip route del blackhole fd00:33::/48 proto 79 metric 4294967293',
      'ip6tables -D DOCKER-USER -i ov-b1111111111 -o ov-b1111111111 -m comment --comment overlay-ts -j ACCEPT',
      'ip6tables -D DOCKER-USER -i ov-b1111111111 -o ov-tun -m comment --comment overlay-ts -j ACCEPT',
      'ip6tables -D DOCKER-USER -i ov-tun -o ov-b1111111111 -m comment --comment overlay-ts -j ACCEPT',
      'ip address del fd00:33:0:5::/128 dev ov-tun',
    ],
  )
})

test('while links are spared, IPv6 is not switched off on one that has it', () => {
  const want = { ...WEB, spared: ['ov-b2222222222'] }
  const plan = textOf(observedAs(DUAL_WEB), sysctlsOf(DUAL_WEB), {
    ...want,
    bridges: DUAL_WEB.bridges,
  })
  assert.deepEqual(
    plan.filter((line) => /disable_ipv6|^ip .* del /.test(line)),
    [],
  )
  const fresh = textOf(NOTHING, new Map(), want)
  assert(fresh.includes('sysctl -w net/ipv6/conf/ov-tun/disable_ipv6=1'))
})

test('a deleted on-link route of a bridge is made as the kernel makes it', () => {
  const have = observedAs(DUAL_WEB)
  const onLink = new Set([...have.onLink].filter((route) => !route.startsWith('fd00')))
  assert.deepEqual(textOf({ ...have, onLink }, sysctlsOf(DUAL_WEB), DUAL_WEB), [
    'ip route add fd00:33:0:5::/64 dev ov-b1111111111 proto kernel metric 256',
  ])
})

test('a route that is narrower, or lost its source address, is replaced in place', () => {
  const have = observedAs(DUAL_WEB)
  const routes = have.routes.map((route) => {
    return route.to === 'fd00:33::/48' && route.dev ? { ...route, src: '', mtu: '1400' } : route
  })
  assert.deepEqual(textOf({ ...have, routes }, sysctlsOf(DUAL_WEB), DUAL_WEB), [
    'ip route replace fd00:33::/48 dev ov-tun proto 79 src fd00:33:0:5:: metric 1024',
  ])
})

test('the set of IPv6 comes and goes in place, and a host without has neither it nor its rule', () => {
  const [ipv4, both] = [renderIsolation(WEB), renderIsolation(DUAL_WEB)]
  assert.deepEqual(ipv4.sets, ['same_bridge', 'allowed'])
  assert.doesNotMatch(ipv4.body, /ip6|ipv6/)
  assert.deepEqual(both.sets, ['same_bridge', 'allowed', 'allowed6'])
  const gone = loadScript(ipv4, both)
  assert.match(gone, /^delete set inet overlay-ts allowed6$/m)
  assert.match(gone, /^delete chain inet overlay-ts fragments$/m)
  assert.doesNotMatch(gone, /delete table/)
  assert.doesNotMatch(loadScript(both, ipv4), /delete (table|chain)|delete set .* allowed6/)
})
