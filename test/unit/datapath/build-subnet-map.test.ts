import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildSubnetMap } from '../../../src/datapath/build-subnet-map.ts'
import type { RemoteSubnet } from '../../../src/datapath/tables.ts'

const SUBNETS = 65_536
/** Ten times what it takes; laying out that grows with the square takes a hundred times as long. */
const SECONDS = 3

const sixteenBits = (index: number): bigint => BigInt(index) << 64n

function processorSeconds(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

for (const [family, subnetOf, hostOf] of [
  [
    'IPv4',
    (index: number) => ({ base: 0x0a00_0000 + index * 256, length: 24 }),
    (index: number) => 0xac10_0000 + index,
  ],
  [
    'IPv6',
    (index: number) => ({ address: (0xfd00n << 112n) + sixteenBits(index), length: 64 }),
    // Alike in their lower half, as hosts that each have a prefix of their own are.
    (index: number) => (0x2001_0db8n << 96n) + sixteenBits(index) + 1n,
  ],
] as const) {
  test(`65,536 ${family} subnets behind as many hosts are laid out in a moment`, () => {
    const remote = Array.from({ length: SUBNETS }, (_, index): RemoteSubnet => ({
      subnet: subnetOf(index),
      vni: 7,
      publicIp: hostOf(index),
      vtepMac: '02:00:00:00:00:0a',
      mtu: 1450,
    }))
    const spent = processorSeconds(() => {
      buildSubnetMap({ vtepMac: '02:00:00:00:00:0b', local: [], remote })
    })
    assert.ok(spent < SECONDS, `${spent} s`)
  })
}
