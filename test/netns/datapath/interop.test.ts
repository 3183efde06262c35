import assert from 'node:assert/strict'
import { test } from 'node:test'
import { coveringPairs } from '../../support/covering.ts'
import { lossOf } from './losses.ts'
import { SEGMENT_SIZES, type SegmentSize, type Site, Sites, type Traffic } from './sites.ts'
import { checksumErrors, NO_CHECKSUM_ERRORS, pings } from './two-hosts.ts'
import { WireCapture } from './wire-capture.ts'

const ON_A_CONTAINER = ['tx', 'tso', 'gso', 'gro', 'tx-udp-segmentation'] as const
const ON_THE_UNDERLAY = [
  ...ON_A_CONTAINER,
  'tx-udp_tnl-segmentation',
  'tx-udp_tnl-csum-segmentation',
] as const

/** One device of one site, and one feature of it. */
interface Factor {
  readonly site: Site
  readonly where: 'container' | 'underlay'
  readonly feature: string
}

function factorsOf(sites: readonly Site[]): Factor[] {
  return sites.flatMap((site) => [
    ...ON_A_CONTAINER.map((feature) => ({ site, where: 'container' as const, feature })),
    ...ON_THE_UNDERLAY.map((feature) => ({ site, where: 'underlay' as const, feature })),
  ])
}

/** All on, all off, each feature alone on and alone off everywhere, and a set that covers every pair. */
function settingsOf(factors: readonly Factor[]): boolean[][] {
  const everywhere = (value: (feature: string) => boolean): boolean[] =>
    factors.map(({ feature }) => value(feature))
  return [
    everywhere(() => true),
    everywhere(() => false),
    ...ON_THE_UNDERLAY.map((alone) => everywhere((feature) => feature === alone)),
    ...ON_THE_UNDERLAY.map((missing) => everywhere((feature) => feature !== missing)),
    ...coveringPairs(factors.length),
  ]
}

/** Sets the container's link, at both its ends, and the underlay's. */
async function apply(
  site: Site,
  factors: readonly Factor[],
  setting: readonly boolean[],
): Promise<void> {
  const words = (where: Factor['where']): string[] =>
    factors.flatMap((factor, index) =>
      factor.site === site && factor.where === where
        ? [factor.feature, setting[index] ? 'on' : 'off']
        : [],
    )
  await site.container.run('ethtool', '-K', 'eth0', ...words('container'))
  await site.host.run('ethtool', '-K', 'v0', ...words('container'))
  await site.host.run('ethtool', '-K', 'u0', ...words('underlay'))
}

/** "a container tx+ tso- …, a underlay …": a setting, for people. */
function describe(factors: readonly Factor[], setting: readonly boolean[]): string {
  let group = ''
  const words = factors.map(({ site, where, feature }, index) => {
    const previous = group
    group = `${site.name} ${where}`
    return `${group === previous ? '' : `| ${group} `}${feature}${setting[index] ? '+' : '-'}`
  })
  return words.join(' ')
}

const SMALL_DATAGRAMS = [1, 2, 3, 18, 33, 64, 512, 1001]
const ALL_DATAGRAMS = [...SMALL_DATAGRAMS, 1422, 1423, 5000]
const SUPER_DATAGRAM = [...Array.from({ length: 9 }, () => 1001), 500]
const BULK = 1_000_000

/** Everything a container may send another one, from each to each. */
async function tryAll(from: Site, to: Site, traffic: Traffic): Promise<void> {
  assert.ok(await pings(from.container, to.address()))
  assert.ok(await pings(from.container, to.address(), '-s', '20001'), 'a packet in fragments')
  const ends = { from: from.address(), to: to.address() }
  const ascending = (sizes: readonly number[]): number[] => sizes.toSorted((x, y) => x - y)
  const echoed = await traffic.echo({ ...ends, sizes: ALL_DATAGRAMS })
  assert.deepEqual(ascending(echoed), ALL_DATAGRAMS)
  const cut = await traffic.echo({ ...ends, sizes: SUPER_DATAGRAM, segment: SUPER_DATAGRAM[0]! })
  assert.deepEqual(cut, SUPER_DATAGRAM)
  for (const size of Object.keys(SEGMENT_SIZES) as SegmentSize[]) {
    const ways = { from: from.address(size), to: to.address(size), up: BULK, down: BULK }
    const { up, down } = await traffic.transfer(ways)
    assert.deepEqual({ up, down }, { up: 'same', down: 'same' }, `segments of ${size}`)
  }
}

test('whatever a link offloads, a kernel vxlan peer and we understand each other, to the last bit', async (t) => {
  await using sites = await Sites.create('a', 'b')
  await sites.wirePair()
  const forwarder = await sites.ours('a')
  await sites.kernel('b')
  const [a, b] = [sites.site('a'), sites.site('b')]
  const [inA, inB] = [await sites.traffic('a'), await sites.traffic('b')]
  await using ofA = new WireCapture()
  await using ofB = new WireCapture()
  const factors = factorsOf(sites.sites)

  for (const setting of settingsOf(factors)) {
    for (const site of [a, b]) await apply(site, factors, setting)
    const text = describe(factors, setting)
    const isComplete = (at: Site): boolean =>
      !setting[
        factors.findIndex(
          ({ site, where, feature }) => site === at && where === 'underlay' && feature === 'tx',
        )
      ]
    const captures = [isComplete(a) ? ofA : undefined, isComplete(b) ? ofB : undefined]
    await captures[0]?.start(a)
    await captures[1]?.start(b)
    try {
      await tryAll(a, b, inA)
      await tryAll(b, a, inB)
    } catch (error) {
      throw new Error(text, { cause: error })
    }
    for (const capture of captures) await capture?.stop()
    for (const netns of sites.sites.flatMap(({ host, container }) => [host, container])) {
      assert.deepEqual(await checksumErrors(netns), NO_CHECKSUM_ERRORS, text)
    }
    assert.deepEqual(lossOf(await forwarder.counters()), {}, text)
    t.diagnostic(text)
  }

  for (const capture of [ofA, ofB]) {
    const { faults, good } = await capture.judge()
    assert.deepEqual(faults.slice(0, 10), [])
    for (const [field, count] of Object.entries(good)) assert.ok(count > 10, `${field}: ${count}`)
  }
})
