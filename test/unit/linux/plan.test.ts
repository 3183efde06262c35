import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { EMPTY_HOST_STATE, type HostState } from '../../../src/linux/host-state.ts'
import type { ObservedState } from '../../../src/linux/observe.ts'
import { planHost, stepText, type Sysctls } from '../../../src/linux/plan.ts'
import { NOTHING, veth, WEB, WEB_AND_APP } from './example-state.ts'
import { observedAs, sysctlsOf } from './pretend.ts'

const FRESH: Sysctls = new Map([
  ['net/ipv4/ip_forward', '0'],
  ['net/ipv4/neigh/default/gc_thresh1', '128'],
  ['net/ipv4/neigh/default/gc_thresh2', '512'],
  ['net/ipv4/neigh/default/gc_thresh3', '100000'],
])

function textOf(have: ObservedState, sysctls: Sysctls, want: HostState): string[] {
  return planHost(have, sysctls, want).map(stepText)
}

function matchesGolden(t: TestContext, name: string, plan: readonly string[]): void {
  const file = new URL(`../../golden/linux/${name}.txt`, import.meta.url).pathname
  t.assert.fileSnapshot(`${plan.join('\n')}\n`, file, { serializers: [String] })
}

test('the first network of a host loads the table before a link is up', (t) => {
  matchesGolden(t, 'first-network', textOf(NOTHING, FRESH, WEB))
})

test('a second overlay leaves the first one alone', (t) => {
  matchesGolden(t, 'second-overlay', textOf(observedAs(WEB), sysctlsOf(WEB), WEB_AND_APP))
})

test('a removed network takes its bridge, routes, addresses and rules with it', (t) => {
  const have = observedAs(WEB_AND_APP)
  matchesGolden(t, 'network-removed', textOf(have, sysctlsOf(WEB_AND_APP), WEB))
})

test('the last network takes the TUN and, at the very end, the table', (t) => {
  matchesGolden(t, 'tun-removed', textOf(observedAs(WEB), new Map(), EMPTY_HOST_STATE))
})

test('a host that has what is wanted needs no step', () => {
  for (const want of [WEB, WEB_AND_APP, EMPTY_HOST_STATE]) {
    assert.deepEqual(textOf(observedAs(want), sysctlsOf(want), want), [])
  }
})

test('a veth that no port claims is removed by its host end alone', () => {
  const have = observedAs(WEB)
  const links = new Map(have.links)
    .set('ov-hbbbbbbbbbb', veth('ov-hbbbbbbbbbb', null))
    .set('ov-cbbbbbbbbbb', veth('ov-cbbbbbbbbbb', null))
    .set('ov-caaaaaaaaaa', veth('ov-caaaaaaaaaa', null))
  assert.deepEqual(textOf({ ...have, links }, sysctlsOf(WEB), WEB), ['ip link del ov-hbbbbbbbbbb'])
})

test('a port that does not exist is not made, one that left its bridge is put back', () => {
  const have = observedAs(WEB)
  const without = new Map(have.links)
  without.delete('ov-haaaaaaaaaa')
  assert.deepEqual(textOf({ ...have, links: without }, sysctlsOf(WEB), WEB), [])
  const loose = new Map(have.links).set('ov-haaaaaaaaaa', veth('ov-haaaaaaaaaa', null))
  assert.deepEqual(textOf({ ...have, links: loose }, sysctlsOf(WEB), WEB), [
    'ip link set dev ov-haaaaaaaaaa master ov-b1111111111',
  ])
})

test('a changed route is replaced in place and a new one never overwrites', () => {
  const have = observedAs(WEB)
  const [first, ...rest] = WEB.routes
  assert(first)
  const want: HostState = {
    ...WEB,
    routes: [{ ...first, src: '10.33.5.1' }, ...rest, { type: 'blackhole', to: '10.9.0.0/16' }],
  }
  assert.deepEqual(textOf(have, sysctlsOf(WEB), want), [
    'ip route replace 10.33.0.0/17 dev ov-tun proto 79 scope global src 10.33.5.1',
    'ip route add blackhole 10.9.0.0/16 proto 79 scope global',
  ])
})

test('a TUN that was made without its flags is made anew, with its routes', () => {
  const have = observedAs(WEB)
  const tun = have.links.get('ov-tun')
  assert(tun)
  const links = new Map(have.links).set('ov-tun', { ...tun, usable: false })
  const steps = textOf({ ...have, links }, sysctlsOf(WEB), WEB)
  assert.deepEqual(steps.slice(0, 2), [
    'ip link del ov-tun',
    'ip tuntap add dev ov-tun mode tun multi_queue vnet_hdr',
  ])
  assert(steps.includes('ip route add 10.33.0.0/17 dev ov-tun proto 79 scope global src 10.33.5.0'))
})

test('what is spared stays with its routes and rules, whether anything else is wanted or not', () => {
  const have = observedAs(WEB_AND_APP)
  const app = WEB_AND_APP.bridges.find(({ name }) => !WEB.bridges.some((web) => web.name === name))!
  const spared = [app.name, 'ov-tun', 'ov-haaaaaaaaaa', ...WEB.bridges.map(({ name }) => name)]
  const idle = { ...EMPTY_HOST_STATE, spared }
  assert.deepEqual(textOf(have, sysctlsOf(WEB_AND_APP), idle), [])
  const changes = textOf(have, sysctlsOf(WEB_AND_APP), { ...WEB, spared: [app.name] })
  assert.deepEqual(
    changes.filter((line) => /^ip .*\bdel\b/.test(line)),
    [],
  )
  assert.deepEqual(
    changes.filter((line) => line.startsWith('iptables ')),
    [],
    'rules stand where they stood',
  )
  const stray = new Map(have.links).set('ov-hbbbbbbbbbb', veth('ov-hbbbbbbbbbb', null))
  assert.deepEqual(textOf({ ...have, links: stray }, sysctlsOf(WEB_AND_APP), idle), [
    'ip link del ov-hbbbbbbbbbb',
  ])
})
