import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { eventually } from '../../support/wait.ts'
import { lossOf } from './losses.ts'
import { Sites, type Site, type Traffic } from './sites.ts'
import { checksumErrors, type ForwarderProcess, NO_CHECKSUM_ERRORS } from './two-hosts.ts'

const ENCAPSULATION = 22
const MTU = 1450
const UDP_HEADERS = 28

interface Received {
  readonly frames: number
  readonly bytes: number
  readonly calls: number
  readonly partial: number
}

/** Each test sees the trap happen before it believes that it was survived. */
describe('what a kernel vxlan device hands over that never met hardware', () => {
  let sites: Sites
  let forwarder: ForwarderProcess
  let [a, b] = [] as unknown as [Site, Site]
  let inB: Traffic

  before(async () => {
    sites = await Sites.create('a', 'b')
    await sites.wirePair()
    forwarder = await sites.ours('a')
    await sites.kernel('b')
    a = sites.site('a')
    b = sites.site('b')
    await sites.traffic('a')
    inB = await sites.traffic('b')
  })
  afterEach(async () => {
    assert.deepEqual(lossOf(await forwarder.counters()), {})
    for (const netns of [a.host, a.container, b.host, b.container]) {
      assert.deepEqual(await checksumErrors(netns), NO_CHECKSUM_ERRORS)
    }
  })
  after(async () => {
    await sites[Symbol.asyncDispose]()
  })

  /** Waits until the last acknowledgment of earlier connections has arrived. */
  async function untilSilent(): Promise<void> {
    for (const { container } of [a, b]) {
      await eventually(
        async () => {
          const lines = (await container.run('ss', '-tanH')).split('\n').filter(Boolean)
          assert.deepEqual(
            lines.filter((line) => !/^(LISTEN|TIME-WAIT)/.test(line)),
            [],
          )
        },
        { what: 'all connections to end', timeout: 60_000 },
      )
    }
  }

  /** What the forwarder receives from now on, to be asked for later. */
  async function receiving(): Promise<() => Promise<Received>> {
    await untilSilent()
    const earlier = await forwarder.counters()
    return async () => {
      const later = await forwarder.counters()
      return {
        frames: later.rx_frames - earlier.rx_frames,
        bytes: later.rx_bytes - earlier.rx_bytes,
        calls: later.rx_recvmsg - earlier.rx_recvmsg,
        partial: later.rx_partial_checksums - earlier.rx_partial_checksums,
      }
    }
  }

  test('a checksum of nothing but the pseudo header is completed', async () => {
    const sizes = [1, 18, 1001]
    const received = await receiving()
    const echoed = await inB.echo({ from: b.address(), to: a.address(), sizes })
    assert.deepEqual(echoed, sizes)
    const { frames, partial } = await received()
    assert.deepEqual({ frames, partial }, { frames: 3, partial: 3 })
  })

  test('a TCP super-packet whose segment size is lost is cut again, though its segments were small', async () => {
    // So that the bridge's port cuts what the container's link would take whole.
    await a.host.run('ethtool', '-K', 'v0', 'tso', 'off', 'gso', 'off')
    const received = await receiving()
    const ways = { from: b.address('small'), to: a.address('small'), up: 4_000_000, down: 0 }
    assert.equal((await inB.transfer(ways)).up, 'same')
    const { frames, bytes, calls, partial } = await received()
    assert.equal(frames, calls, 'nothing was joined by the kernel')
    assert.ok(bytes / frames > 2 * MTU, `${bytes / frames} bytes a frame`)
    assert.ok(partial > 0)
  })

  test('datagrams that come joined, with the size of the inner ones for the outer, are cut as they were sent', async () => {
    const sizes = [...Array.from({ length: 9 }, () => 1000), 500]
    const received = await receiving()
    const ends = { from: b.address(), to: a.address() }
    assert.deepEqual(await inB.echo({ ...ends, sizes, segment: 1000 }), sizes)
    const { frames, bytes, partial } = await received()
    const whole = ENCAPSULATION + UDP_HEADERS + 9500
    assert.deepEqual({ frames, bytes, partial }, { frames: 1, bytes: whole, partial: 1 })
  })

  test('sizes are right and checksums partial when only tunnel segmentation is off', async () => {
    const features = ['tx-udp_tnl-segmentation', 'tx-udp_tnl-csum-segmentation']
    await b.host.run('ethtool', '-K', 'u0', ...features.flatMap((name) => [name, 'off']))
    const received = await receiving()
    const ways = { from: b.address(), to: a.address(), up: 1_000_000, down: 0 }
    assert.equal((await inB.transfer(ways)).up, 'same')
    const { frames, bytes, partial } = await received()
    assert.ok(bytes / frames <= MTU + ENCAPSULATION)
    assert.ok(partial > 0)
  })
})
