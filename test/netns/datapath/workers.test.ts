import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { RECEIVE_SOCKETS, SEND_PORTS } from '../../../src/datapath/limits.ts'
import { endProgram } from '../../support/end-program.ts'
import type { Netns } from '../../support/netns.ts'
import type { FlowReport, FlowSetup } from '../../support/numbered-flows.ts'
import { eventually, waitFor } from '../../support/wait.ts'
import { carries } from './carries.ts'
import { ForwarderProcess, OWN, pings, programIn, TwoHosts } from './two-hosts.ts'

const WORKERS = 4
const NUMBERED_FLOWS = new URL('../../support/numbered-flows.ts', import.meta.url).pathname

/** One end of numbered flows in a process of its own. */
class FlowsProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterableIterator<string>
  #errors = ''

  constructor(host: Netns, setup: FlowSetup) {
    this.#child = programIn(host, process.execPath, NUMBERED_FLOWS, JSON.stringify(setup))
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
    this.#child.stderr!.on('data', (chunk) => (this.#errors += String(chunk)))
  }

  /** @throws Error with what it printed when it ends without one */
  async report(): Promise<FlowReport> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`the flows ended: ${this.#errors}`)
    return JSON.parse(value) as FlowReport
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProgram(this.#child)
  }
}

/** Descriptors of the process that are queues of the TUN. */
function tunDescriptors(pid: number): number[] {
  return readdirSync(`/proc/${pid}/fdinfo`)
    .filter((fd) => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8').includes('iff:\tov-tun'))
    .map(Number)
    .toSorted((one, other) => one - other)
}

async function receivers(host: Netns): Promise<number> {
  return (await host.run('ss', '-uanH', 'sport', '=', ':8472')).split('\n').filter(Boolean).length
}

/**
 * Receive packet steering on the underlay (Documentation/networking/scaling.rst). A veth hands a packet to
 * the queue of the processor that its sender runs on, so a worker that moves to another one overtakes what
 * it sent before. Steered by its hash, a flow has one queue, as it has on a network card.
 */
async function steerByFlow(host: Netns): Promise<void> {
  const processors = (2 ** Math.min(availableParallelism(), 32) - 1).toString(16)
  const steering = '/sys/class/net/u0/queues/rx-0/rps_cpus'
  await host.run('sh', '-c', `echo ${processors} >${steering}`)
}

test('with four workers every flow stays in order, both ways, and each worker takes its part', async () => {
  await using hosts = await TwoHosts.create()
  for (const host of [hosts.a, hosts.b]) await steerByFlow(host)
  await using a = await hosts.ours('a', WORKERS)
  await using b = await hosts.ours('b', WORKERS)
  assert.ok(await pings(hosts.a, OWN.b))
  const flows = { flows: 24, fragmented: 4, count: 4000 }
  await using atA = new FlowsProcess(hosts.a, { own: OWN.a, peer: OWN.b, ...flows })
  await using atB = new FlowsProcess(hosts.b, { own: OWN.b, peer: OWN.a, ...flows })
  const streams = carries(hosts.a, hosts.b, OWN.b, { megabytes: 200, streams: 6 })
  streams.catch(() => {}) // what came before is told first
  for (const { received, late } of [await atA.report(), await atB.report()]) {
    assert.deepEqual(
      late,
      late.map(() => 0),
    )
    assert.ok(
      received.every((count) => count > 0),
      `received ${received.join(' ')}`,
    )
  }
  await streams
  // A flow of one direction is spread by the TUN, one of both follows the other direction.
  await hosts.a.run(
    'bash',
    '-c',
    `for p in {1..64}; do echo x >/dev/udp/${OWN.b}/$((9000 + p)); done`,
  )
  await eventually(
    async () => {
      const [sharesA, sharesB] = [(await a.status()).workers, (await b.status()).workers]
      assert.equal(sharesA.length, WORKERS)
      assert.ok(
        sharesA.every(({ fromContainers }) => fromContainers > 0),
        JSON.stringify(sharesA),
      )
      // Eight outer flows over the sockets of four; those of one direction may by chance be all one's.
      assert.ok(
        [sharesA, sharesB].some(
          (shares) => shares.filter(({ fromUnderlay }) => fromUnderlay > 0).length >= 2,
        ),
        JSON.stringify([sharesA, sharesB]),
      )
    },
    { what: 'each worker to have read what is its part' },
  )
})

test('all workers of a host send from the same few ports', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a', WORKERS)
  assert.equal(await receivers(hosts.a), WORKERS * RECEIVE_SOCKETS)
  const sockets = (await hosts.a.run('ss', '-uanH')).split('\n').filter(Boolean)
  assert.equal(sockets.length, WORKERS * RECEIVE_SOCKETS + SEND_PORTS)
  await assert.rejects(
    ForwarderProcess.start(hosts.a, hosts.setup('a', WORKERS)),
    /UDP port 8472 of 10\.9\.9\.1 is in use by "\S+" \(process \d+\)/,
  )
  assert.equal((await a.status()).failure, null)
})

test('when a worker dies its flows go to the others at once, and the owner is told', async () => {
  await using hosts = await TwoHosts.create()
  await hosts.addTun('a')
  const setup = { ...hosts.setup('a', WORKERS), survives: true }
  await using a = await ForwarderProcess.startUp(hosts.a, setup)
  await using _b = await hosts.ours('b', WORKERS)
  assert.ok(await pings(hosts.a, OWN.b))
  const queues = tunDescriptors(a.pid)
  const ofEach = queues.length / WORKERS
  await a.close(queues[2 * ofEach - 1]!)
  // Nothing wakes it: after a second without a packet it reads all.
  await waitFor(async () => (await a.status()).failure !== null, {
    what: 'the death to be noticed',
  })
  assert.match((await a.status()).failure ?? '', /^the forwarder ended: .*EBADF/)
  assert.equal(await receivers(hosts.a), (WORKERS - 1) * RECEIVE_SOCKETS)
  assert.equal(tunDescriptors(a.pid).length, queues.length - ofEach)
  for (const options of [[], ['-R']]) {
    await carries(hosts.a, hosts.b, OWN.b, { megabytes: 100, streams: 8 }, ...options)
  }
  const shares = (await a.status()).workers
  assert.deepEqual(
    shares.map(({ heapBytes }) => heapBytes === null),
    [false, true, false, false],
  )
})
