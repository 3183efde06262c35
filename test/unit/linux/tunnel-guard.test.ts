import assert from 'node:assert/strict'
import { test } from 'node:test'
import { guardChains, guardRules, guardSets } from '../../../src/linux/tunnel-guard.ts'
import { WEB } from './example-state.ts'

const guarded = (...addresses: string[]): typeof WEB => ({
  ...WEB,
  tunnelEnds: { addresses, port: 8472, uplinks: ['eth0', 'eth1'] },
})

test('other hosts have their tunnels guarded in the family that they are in', () => {
  assert.deepEqual(guardRules(guarded('172.18.10.98', 'fd00:18::99')), [
    'iifname != { "eth0", "eth1" } ip daddr @tunnel_ends udp dport 8472 jump by_a_host',
    'iifname != { "eth0", "eth1" } ip6 daddr @tunnel_ends6 udp dport 8472 jump by_a_host',
  ])
  assert.deepEqual(
    guardSets(guarded('172.18.10.98', 'fd00:18::99')).map(({ name, elements }) => [
      name,
      ...elements,
    ]),
    [
      ['tunnel_ends', '172.18.10.98'],
      ['tunnel_ends6', 'fd00:18::99'],
    ],
  )
})

test('what another host sends through this one passes, and nobody speaks to this one in its name', () => {
  assert.deepEqual(
    guardChains(guarded('172.18.10.98')).map(({ rules }) => rules),
    [
      ['ip saddr @tunnel_ends fib saddr . iif oif exists return', 'counter name "to_tunnels" drop'],
      [
        'iifname != { "eth0", "eth1" } ip saddr @tunnel_ends udp dport 8472 fib saddr . iif oif missing counter name "to_tunnels" drop',
      ],
    ],
  )
})

test('a host that knows of no other has no rule for them', () => {
  for (const state of [guarded(), WEB]) {
    assert.deepEqual([guardRules(state), guardChains(state), guardSets(state)], [[], [], []])
  }
})
