import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * A program that asks and answers by UDP, so few datagrams at a time that every queue on the way has room
 * for them, however slow the machine is.
 *
 *   answer ADDRESS PORT           says "ready"; then everything that comes goes back, until it is ended
 *   ask ADDRESS PORT SIZE COUNT   says how many had to be sent again, when each was answered unchanged
 */
const TOGETHER = 32

/** Without an answer for so long a datagram is lost. */
const PATIENCE_MS = 10_000
/** So often in a row is not chance. */
const TRIES = 3

const [role, address = '', port, ...numbers] = process.argv.slice(2)
const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
if (role === 'answer') await answer()
else console.log(JSON.stringify(await ask(Number(numbers[0]), Number(numbers[1]))))

async function answer(): Promise<void> {
  socket.on('message', (message, from) => socket.send(message, from.port, from.address))
  socket.bind(Number(port), address)
  await once(socket, 'listening')
  console.log(JSON.stringify('ready'))
}

async function ask(size: number, count: number): Promise<number> {
  let waiting = new Map<string, Buffer>()
  let answered = Promise.withResolvers<void>()
  socket.on('message', (message) => {
    if (waiting.delete(message.toString('latin1')) && waiting.size === 0) answered.resolve()
  })
  let again = 0
  for (let done = 0; done < count; done += TOGETHER) {
    answered = Promise.withResolvers()
    waiting = new Map(
      Array.from({ length: Math.min(TOGETHER, count - done) }, () => {
        const datagram = randomFillSync(Buffer.alloc(size))
        return [datagram.toString('latin1'), datagram] as const
      }),
    )
    for (let tries = 1; ; tries++) {
      for (const datagram of waiting.values()) socket.send(datagram, Number(port), address)
      await Promise.race([answered.promise, sleep(PATIENCE_MS, undefined, { ref: false })])
      if (waiting.size === 0) break
      again += waiting.size
      assert.ok(tries < TRIES, `${waiting.size} datagrams of ${size} bytes are not answered`)
    }
  }
  socket.close()
  return again
}
