import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allocatedBy, heapTakenBy, type Repeat } from '../../../bench/micro/allocation.ts'
import { OPERATIONS } from '../../../bench/micro/operations.ts'
import { FAR, outgoing, smallPacket, TABLES } from '../../../bench/micro/packets.ts'
import { Replay } from '../../../bench/micro/replay.ts'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildSubnetMap } from '../../../src/datapath/build-subnet-map.ts'
import { Clock } from '../../../src/datapath/clock.ts'
import { Counters } from '../../../src/datapath/counters.ts'
import { addressOf } from '../../../src/datapath/libc.ts'
import { SendBatch } from '../../../src/datapath/outbox.ts'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import { PathMtu } from '../../../src/datapath/path-mtu.ts'
import { SubnetMap } from '../../../src/datapath/subnet-map.ts'
import { UnderlaySender } from '../../../src/datapath/underlay-sender.ts'
import { naivePacket, UDP, withVnet } from '../../support/naive-packets.ts'

/** Until the compiler has come round to the code, on a machine with other work too. */
const PATIENCE_MS = 30_000

async function allocates(repeat: Repeat): Promise<number> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const bytes = allocatedBy(repeat)
    if (bytes === 0 || Date.now() > deadline) return bytes
    // The compiler's other threads deliver what they made to an idle event loop.
    await sleep(1)
  }
}

/** Where the time goes that is read. */
const TIME = new Float64Array(1)

/** A time that needs more than 32 bits and is no whole number, as after months, and goes on by the call. */
function someClock(step: number): () => number {
  const time = Float64Array.of(0x3_0000_0000 + 0.5)
  return () => {
    time[0]! += step
    return time[0]!
  }
}

/** Sends one packet again and again; the path to its peer is narrow, as has just been found. */
function sendingOverNarrowPath(bytes: Uint8Array): Repeat {
  const replay = new Replay(TABLES, { now: someClock(10), pathMtu: 1400 })
  replay.paths.onTooBig(replay.map.peerOf(FAR), 1450)
  const kept = replay.keep(bytes)
  return (times) => {
    for (let i = 0; i < times; i++) replay.send(kept)
  }
}

/** Sends a batch of three again and again. @param errno what the kernel says to one send of them all, and to each */
function sendingBatches(errno: number, errnoOfEach: number): Repeat {
  const memory = new PacketMemory(262_144)
  const map = new SubnetMap(buildSubnetMap(TABLES))
  const now = someClock(0)
  const failure = { errno }
  const failing = (code: number, sent: number): number => {
    failure.errno = code
    return code === 0 ? sent : -1
  }
  const sender = new UnderlaySender(
    {
      memory,
      sockets: { isIpv6: false, receive: [9], send: [10], gso: true, gro: true },
      port: 8472,
      counters: new Counters(),
      paths: new PathMtu(map, () => 1400, now),
      now,
      calls: {
        sendmsg: () => failing(errno, 3000),
        sendmmsg: (_fd, _messages, count) => failing(errnoOfEach, count),
        errno: () => failure.errno,
      },
    },
    map,
  )
  const batch = new SendBatch(memory, 0, sender.maxDatagram)
  const peer = map.peerOf(FAR)
  return (times) => {
    for (let i = 0; i < times; i++) {
      batch.clear()
      batch.begin(peer, 0, 1000)
      for (let frame = 0; frame < 3; frame++) batch.add(1024, 70, 4096, 930)
      sender.send(batch)
    }
  }
}

/** Asserts nothing itself: a call that is made once a batch stays in the interpreter, where it takes heap. */
function readingTheTime(): Repeat {
  const clock = new Clock(new PacketMemory(65_536, addressOf))
  return (times) => {
    for (let i = 0; i < times; i++) {
      clock.now()
      TIME[0] = clock.milliseconds
    }
  }
}

const { EIO, EMSGSIZE } = constants.errno
const large = (version: 4 | 6): Uint8Array => {
  const packet = outgoing(version, { protocol: UDP, payload: new Uint8Array(1400) })
  return withVnet({}, naivePacket(packet))
}

/** What happens to packets in a worker when something is amiss, as often as anybody likes. */
const MISHAPS: readonly { readonly what: string; readonly repeat: Repeat }[] = [
  { what: 'read the time', repeat: readingTheTime() },
  ...([4, 6] as const).flatMap((version) => [
    {
      what: `answer what is too big, IPv${version}`,
      repeat: sendingOverNarrowPath(large(version)),
    },
    {
      what: `send on what fits a narrow path, IPv${version}`,
      repeat: sendingOverNarrowPath(smallPacket(version)),
    },
  ]),
  { what: 'send a batch to a peer that takes no segmented ones', repeat: sendingBatches(EIO, 0) },
  { what: 'send a batch that the path refuses', repeat: sendingBatches(EMSGSIZE, EMSGSIZE) },
]

for (const { what, repeat } of [...OPERATIONS, ...MISHAPS]) {
  test(`no heap is taken by: ${what}`, async () => {
    assert.equal(await allocates(repeat), 0)
  })
}

test('heap that is taken is seen, to the byte', () => {
  let kept: unknown
  const perObject = heapTakenBy((times) => {
    for (let i = 0; i < times; i++) kept = { i }
  })
  assert.ok(perObject >= 1000 * 16, `${perObject}`)
  assert.notEqual(kept, undefined)
})
