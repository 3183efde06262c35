import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Faults, NO_FAULTS } from '../../../lab/faults.ts'
import type { CounterName } from '../../../src/datapath/counters.ts'
import { eventually } from '../../support/wait.ts'
import { lossOf } from './losses.ts'
import { type SegmentSize, Sites } from './sites.ts'
import { checksumErrors, NO_CHECKSUM_ERRORS } from './two-hosts.ts'

const SAME = { up: 'same', down: 'same' }

async function noChecksumErrors(sites: Sites): Promise<void> {
  for (const { host, container } of sites.sites) {
    assert.deepEqual(await checksumErrors(host), NO_CHECKSUM_ERRORS)
    assert.deepEqual(await checksumErrors(container), NO_CHECKSUM_ERRORS)
  }
}

test('a gigabyte in segments of an odd size arrives as it was sent', async (t) => {
  await using sites = await Sites.create('a', 'b')
  await sites.wirePair()
  const forwarders = [await sites.ours('a'), await sites.ours('b')]
  const [a, b] = [sites.site('a'), sites.site('b')]
  const inA = await sites.traffic('a')
  await sites.traffic('b')

  const ends = { from: a.address('odd'), to: b.address('odd') }
  const { up, down, milliseconds } = await inA.transfer({ ...ends, up: 1e9, down: 1e6 })
  assert.deepEqual({ up, down }, SAME)
  await noChecksumErrors(sites)
  for (const forwarder of forwarders) {
    const { rx_drop_checksum, rx_drop_malformed } = await forwarder.counters()
    assert.deepEqual(
      { rx_drop_checksum, rx_drop_malformed },
      { rx_drop_checksum: 0, rx_drop_malformed: 0 },
    )
  }
  t.diagnostic(`${(8e6 / milliseconds).toFixed(1)} Mbit/s, hashing included`)
})

/** What a bad network may do, and how much of it TCP can work with. */
const BAD_NETWORKS: Readonly<Record<string, Partial<Faults>>> = {
  'loses 1 %': { loss: 0.01 },
  'reorders 1 %': { reorder: 0.01 },
  'duplicates 1 %': { duplicate: 0.01 },
  'delays by 10 ms': { delayMs: 10 },
  'does all of that': { loss: 0.01, reorder: 0.01, duplicate: 0.01, delayMs: 10 },
}
const BULK = 4_000_000

test('over a network that loses, reorders, duplicates and delays, not a byte changes', async (t) => {
  await using sites = await Sites.create('a', 'b')
  const relay = await sites.wireRelay()
  const [a, b] = [sites.site('a'), sites.site('b')]
  await sites.ours('a')
  await sites.ours('b')
  const inA = await sites.traffic('a')
  await sites.traffic('b')
  for (const [index, [what, faults]] of Object.entries(BAD_NETWORKS).entries()) {
    await relay.use({ ...NO_FAULTS, ...faults, seed: index })
    for (const size of ['mtu', 'odd'] as const) {
      const ends = { from: a.address(size), to: b.address(size) }
      const { up, down, milliseconds } = await inA.transfer({ ...ends, up: BULK, down: BULK })
      assert.deepEqual({ up, down }, SAME, what)
      t.diagnostic(`a network that ${what}: ${((16e-3 * BULK) / milliseconds).toFixed(0)} Mbit/s`)
    }
  }
  const { lost, duplicated, reordered } = await relay.counts()
  for (const count of [lost, duplicated, reordered]) assert.ok(count > 20, `${count}`)
  await noChecksumErrors(sites)
})

test('each flipped bit is noticed and counted, and no wrong byte is delivered', async (t) => {
  await using sites = await Sites.create('a', 'b')
  const relay = await sites.wireRelay()
  const forwarders = [await sites.ours('a'), await sites.ours('b')]
  const [a, b] = [sites.site('a'), sites.site('b')]
  const inA = await sites.traffic('a')
  await sites.traffic('b')
  await relay.use({ ...NO_FAULTS, corrupt: 0.01, seed: 42 })
  for (const size of ['mtu', 'odd', 'small'] satisfies SegmentSize[]) {
    const ends = { from: a.address(size), to: b.address(size) }
    const { up, down } = await inA.transfer({ ...ends, up: BULK, down: BULK })
    assert.deepEqual({ up, down }, SAME, size)
  }
  await noChecksumErrors(sites)

  await eventually(
    async () => {
      const { corrupted } = await relay.counts()
      const dropped: Partial<Record<CounterName, number>> = {}
      for (const forwarder of forwarders) {
        for (const [name, value] of Object.entries(lossOf(await forwarder.counters()))) {
          dropped[name as CounterName] = (dropped[name as CounterName] ?? 0) + value
        }
      }
      const sum = Object.values(dropped).reduce((total, value) => total + value, 0)
      assert.equal(sum, corrupted)
      assert.ok(dropped.rx_drop_checksum! > corrupted * 0.5, JSON.stringify(dropped))
      t.diagnostic(JSON.stringify(dropped))
    },
    { what: 'each corrupt frame to be counted' },
  )
})
