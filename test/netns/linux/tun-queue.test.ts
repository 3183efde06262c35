import { enterOwnNetns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { beforeEach, test } from 'node:test'
import { promisify } from 'node:util'
import { addressOf, libc } from '../../../src/datapath/libc.ts'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import { attachTun } from '../../../src/datapath/tun.ts'
import { applyHostState } from '../../../src/linux/apply.ts'
import { EMPTY_HOST_STATE, type HostState } from '../../../src/linux/host-state.ts'
import { readTunQueue } from '../../../src/linux/tun-queue.ts'
import { ONE_NETWORK } from './example-host.ts'

beforeEach(async () => {
  await applyHostState(EMPTY_HOST_STATE)
})

const withQdisc = (qdisc: string, queueLength = 1000): HostState => ({
  ...ONE_NETWORK,
  tun: { ...ONE_NETWORK.tun!, qdisc, queueLength },
})

async function apply(want: HostState): Promise<{ commands: string[]; skipped: string[] }> {
  const skipped: string[] = []
  const changes = await applyHostState(want, { onSkipped: (sentence) => skipped.push(sentence) })
  return {
    commands: changes.map(({ command }) => command),
    skipped: skipped.filter((sentence) => sentence.includes('ov-tun are')),
  }
}

test('the queue of the TUN is as wanted, and put right when somebody changes it', async () => {
  const want = withQdisc('pfifo')
  assert.deepEqual((await apply(want)).skipped, [])
  assert.deepEqual(await readTunQueue(), { qdisc: 'pfifo', length: 1000, dropped: 0 })
  await sh('tc qdisc replace dev ov-tun root pfifo_head_drop; ip link set ov-tun txqueuelen 7')
  assert.deepEqual((await apply(want)).commands, [
    'ip link set dev ov-tun txqueuelen 1000',
    'tc qdisc replace dev ov-tun root pfifo',
  ])
  assert.equal((await readTunQueue())?.qdisc, 'pfifo')
  assert.deepEqual((await apply(want)).commands, [])
})

test('a queueing discipline that the kernel lacks is said once and not tried again', async () => {
  const want = withQdisc('fq_nonesuch')
  const first = await apply(want)
  assert.deepEqual(first.skipped, [
    'this host lacks the queueing discipline fq_nonesuch, so the packets that wait at ov-tun are served in the order of their arrival',
  ])
  assert.ok(!first.commands.some((command) => command.startsWith('tc ')))
  assert.deepEqual(await apply(want), { commands: [], skipped: [] })
})

test('the wanted one is set, or found to be lacking', async () => {
  const { skipped } = await apply(withQdisc('fq_codel'))
  const { qdisc } = (await readTunQueue()) ?? assert.fail('no TUN')
  if (skipped.length === 0) assert.equal(qdisc, 'fq_codel')
  else assert.match(skipped[0]!, /lacks the queueing discipline fq_codel/)
})

test('packets that do not fit into the queue are counted', async () => {
  await apply(withQdisc('pfifo', 100))
  const queue = attachTun('ov-tun', new PacketMemory(65_536, addressOf))
  const socket = createSocket('udp4')
  try {
    socket.bind(0, '10.33.5.0')
    await once(socket, 'listening')
    const send = promisify(socket.send.bind(socket)) as (...a: unknown[]) => Promise<number>
    for (let sent = 0; sent < 300; sent++) await send('x', 9, '10.33.6.2')
    assert.equal((await readTunQueue())?.dropped, 200)
  } finally {
    socket.close()
    libc.close(queue.fd)
  }
})

test('without a TUN there is no queue', async () => {
  assert.equal(await readTunQueue(), null)
})
