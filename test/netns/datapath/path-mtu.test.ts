import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EMSGSIZE } from '../../../src/datapath/errno.ts'
import { EMPTY_HOST_STATE, TUN_NAME } from '../../../src/linux/host-state.ts'
import { loadScript, renderIsolation } from '../../../src/linux/isolation.ts'
import type { Netns } from '../../support/netns.ts'
import { eventually } from '../../support/wait.ts'
import { lossOf } from './losses.ts'
import { type Site, Sites, type Traffic } from './sites.ts'
import { checksumErrors, NO_CHECKSUM_ERRORS, pings } from './two-hosts.ts'

const SENDER = new URL('send-datagram.ts', import.meta.url).pathname
const NARROW = 1400
/** What is left of it for a packet inside. */
const NARROW_INSIDE = 1350
const HEADERS = 28
const DISCARD = 9

/** The link from the router to the second host, at both ends: host B's own, and far away from host A. */
async function setFarLink(router: Netns, b: Site, mtu: number): Promise<void> {
  await router.run('ip', 'link', 'set', 'to-b', 'mtu', String(mtu))
  await b.host.run('ip', 'link', 'set', 'u0', 'mtu', String(mtu))
}

/** Sends a packet that must not be cut. @returns 0 or errno */
async function send(from: Site, to: Site, length: number): Promise<number> {
  const ends = [from.address(), to.address(), String(DISCARD)]
  const size = String(length - HEADERS)
  return Number(await from.container.run(process.execPath, SENDER, ...ends, size))
}

/** What the container's kernel has been told of the path; null for nothing. */
async function learnedMtu(from: Site, to: Site): Promise<number | null> {
  const route = await from.container.run('ip', 'route', 'get', to.address(), 'from', from.address())
  const mtu = /\bmtu (\d+)/.exec(route)?.[1]
  return mtu === undefined ? null : Number(mtu)
}

/** The product's isolation of the site's bridge, and a firewall that drops what belongs to no connection. */
async function guard(site: Site, other: Site): Promise<void> {
  const [own, remote] = [site.subnet, other.subnet]
  const isolation = renderIsolation({
    ...EMPTY_HOST_STATE,
    bridges: [{ name: 'br0', mac: site.mac, mtu: 1450, addresses: [], proxyArp: false }],
    allowed: [
      { fromLink: 'br0', toLink: TUN_NAME, fromPrefix: own, toPrefix: remote },
      { fromLink: TUN_NAME, toLink: 'br0', fromPrefix: remote, toPrefix: own },
    ],
  })
  const rules = `${loadScript(isolation, null)}
    table inet strict {
      chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        ct state new iifname "br0" accept
        ct state new udp dport ${DISCARD} accept
      }
    }`
  await site.host.run('sh', '-c', `nft -f - <<'END'\n${rules}\nEND`)
}

async function transferBothWays(traffic: Traffic, from: Site, to: Site): Promise<void> {
  const ends = { from: from.address(), to: to.address() }
  const { up, down } = await traffic.transfer({ ...ends, up: 20_000_000, down: 20_000_000 })
  assert.deepEqual({ up, down }, { up: 'same', down: 'same' })
}

test('TCP keeps flowing when the path between hosts becomes narrow, here or far away', async () => {
  await using sites = await Sites.create('a', 'b')
  const router = await sites.wireRouter()
  const [ours, theirs] = [await sites.ours('a'), await sites.ours('b')]
  const [a, b] = [sites.site('a'), sites.site('b')]
  const inA = await sites.traffic('a')
  await sites.traffic('b')
  await transferBothWays(inA, a, b)
  for (const forwarder of [ours, theirs]) assert.deepEqual(lossOf(await forwarder.counters()), {})

  await setFarLink(router, b, NARROW)
  await transferBothWays(inA, a, b)
  // Whatever waited to be sent when the path was found narrow was sent in smaller parts.
  for (const forwarder of [ours, theirs]) {
    // The last acknowledgements may still be on their way.
    await eventually(
      async () => {
        const counters = await forwarder.counters()
        assert.ok(counters.tx_retried > 0)
        assert.equal(counters.tx_lost_too_big, 0)
        const sent = counters.tx_segments + counters.tx_retried
        const lost = counters.tx_lost_backpressure + counters.tx_lost_error
        assert.equal(counters.tx_frames, sent + lost)
      },
      { what: 'the sums to agree' },
    )
  }
  for (const { host, container } of sites.sites) {
    for (const netns of [host, container]) {
      assert.deepEqual(await checksumErrors(netns), NO_CHECKSUM_ERRORS)
    }
  }
})

test('a sender of packets that must not be cut learns exactly what fits, through firewalls', async () => {
  await using sites = await Sites.create('a', 'b')
  const router = await sites.wireRouter()
  const ours = await sites.ours('a')
  const theirs = await sites.ours('b')
  const [a, b] = [sites.site('a'), sites.site('b')]
  await guard(a, b)
  await guard(b, a)
  // Nobody listens, and answers that say so would be counted with what is sent.
  for (const { container } of [a, b]) {
    await container.run(
      'nft',
      `table ip silence {
        chain out {
          type filter hook output priority 0;
          icmp type destination-unreachable drop
        }
      }`,
    )
  }
  assert.equal(await send(a, b, 1450), 0)
  assert.equal(await learnedMtu(a, b), null)
  await setFarLink(router, b, NARROW)

  for (const [from, to, forwarder] of [
    [a, b, ours],
    [b, a, theirs],
  ] as const) {
    await eventually(async () => assert.equal(await send(from, to, 1450), EMSGSIZE), {
      what: 'the sender to learn',
    })
    assert.equal(await learnedMtu(from, to), NARROW_INSIDE)
    assert.equal(await send(from, to, NARROW_INSIDE + 1), EMSGSIZE)
    const before = (await forwarder.counters()).tx_segments
    assert.equal(await send(from, to, NARROW_INSIDE), 0)
    await eventually(
      async () => assert.equal((await forwarder.counters()).tx_segments, before + 1),
      { what: 'what fits to be sent' },
    )
    assert.ok((await forwarder.counters()).tx_icmp_too_big > 0)
  }
})

test('packets that may be cut arrive whole over a narrow path', async () => {
  await using sites = await Sites.create('a', 'b')
  const router = await sites.wireRouter()
  const [a, b] = [sites.site('a'), sites.site('b')]
  for (const { container } of [a, b]) {
    await container.run('sysctl', '-qw', 'net.ipv4.ip_no_pmtu_disc=1')
  }
  const [ours, theirs] = [await sites.ours('a'), await sites.ours('b')]
  const inA = await sites.traffic('a')
  await sites.traffic('b')
  await setFarLink(router, b, NARROW)
  // The first is lost: its forwarder learns by it.
  await eventually(async () => assert.ok(await pings(a.container, b.address(), '-s', '1422')), {
    what: 'the forwarders to learn',
  })

  const ends = { from: a.address(), to: b.address() }
  const sizes = [1, 1322, 1323, 1324, 1421, 1422, 1423, 5000, 20_001]
  const echoed = await inA.echo({ ...ends, sizes })
  assert.deepEqual(
    echoed.toSorted((x, y) => x - y),
    sizes,
  )
  const datagrams = [...Array.from({ length: 20 }, () => 1400), 700]
  assert.deepEqual(await inA.echo({ ...ends, sizes: datagrams, segment: 1400 }), datagrams)
  await transferBothWays(inA, a, b)
  for (const forwarder of [ours, theirs]) {
    const counters = await forwarder.counters()
    assert.ok(counters.tx_fragmented > 0)
    assert.deepEqual(lossOf(counters), {})
  }
})

test('a path that becomes wide again is used as such when what was learned is old', async () => {
  await using sites = await Sites.create('a', 'b')
  const router = await sites.wireRouter()
  const ours = await sites.ours('a', 1, { pathMtuMemoryMs: 2000 })
  await sites.ours('b')
  const [a, b] = [sites.site('a'), sites.site('b')]
  await setFarLink(router, b, NARROW)
  await eventually(async () => assert.equal(await send(a, b, 1450), EMSGSIZE), {
    what: 'the sender to learn',
  })
  await setFarLink(router, b, 1500)
  for (const netns of [a.host, a.container]) await netns.run('ip', 'route', 'flush', 'cache')
  const before = (await ours.counters()).tx_segments
  await eventually(
    async () => {
      // What the container is told in the meantime is forgotten as well.
      await a.container.run('ip', 'route', 'flush', 'cache')
      assert.equal(await send(a, b, 1450), 0)
      assert.ok((await ours.counters()).tx_segments > before)
    },
    { what: 'the forwarder to forget', timeout: 60_000 },
  )
})
