import { createHash, randomFillSync } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { SOL_UDP, UDP_SEGMENT } from '../../src/datapath/socket-abi.ts'
import { messageOf } from '../../src/errors.ts'
import { DatagramSocket } from './datagram-socket.ts'

/**
 * A program that stands in a container's namespace: it answers on TRAFFIC_PORT by TCP and UDP, and does
 * what it is told, one order and one answer a line, in JSON.
 *
 *   {"transfer": Transfer}   → Transferred
 *   {"echo": Echo}           → the sizes of the datagrams that came back unchanged
 *   "stop"                   → ends with status 0
 *
 * A TCP client says in eight bytes how much it will send and how much it wants. Both send at the same
 * time, each ends with the SHA-256 of what it sent, and the server with what it thinks of what it got.
 */
export const TRAFFIC_PORT = 47_001

/** Bytes each way between two addresses, at the same time. */
export interface Transfer {
  readonly from: string
  readonly to: string
  readonly up: number
  readonly down: number
}

/** Datagrams of these sizes, all at once; with `segment` as one that the kernel is to cut. */
export interface Echo {
  readonly from: string
  readonly to: string
  readonly sizes: readonly number[]
  readonly segment?: number
}

export type TrafficOrder = { readonly transfer: Transfer } | { readonly echo: Echo } | 'stop'

export interface Transferred {
  /** "same", or what is wrong with the bytes that arrived. */
  readonly up: string
  readonly down: string
  readonly milliseconds: number
}

const CHUNK = 1 << 18
const DIGEST = 32
const REQUEST = 8
const ECHO_WAIT_MS = 30_000

const noise = randomFillSync(Buffer.alloc(CHUNK))

/** No two chunks are the same, nor any two pieces of one. */
async function sendNoise(socket: Socket, length: number): Promise<void> {
  const hash = createHash('sha256')
  for (let done = 0; done < length; done += CHUNK) {
    const chunk = Buffer.from(noise.subarray(0, Math.min(CHUNK, length - done)))
    chunk.writeUIntBE(done / CHUNK, 0, Math.min(4, chunk.length))
    hash.update(chunk)
    if (!socket.write(chunk)) await once(socket, 'drain')
  }
  socket.write(hash.digest())
}

/** Takes a stream of a known length, the digest behind it, and keeps what follows. */
class Receipt {
  readonly verdict = Promise.withResolvers<string>()
  rest = ''
  readonly #hash = createHash('sha256')
  readonly #length: number
  #missing: number
  #digest = Buffer.alloc(0)

  constructor(length: number) {
    this.#length = length
    this.#missing = length
  }

  take(data: Buffer): void {
    const payload = data.subarray(0, this.#missing)
    const behind = data.subarray(payload.length)
    const digest = behind.subarray(0, DIGEST - this.#digest.length)
    this.rest += behind.subarray(digest.length).toString()
    if (payload.length > 0) this.#hash.update(payload)
    this.#missing -= payload.length
    if (digest.length === 0) return
    this.#digest = Buffer.concat([this.#digest, digest])
    if (this.#digest.length < DIGEST) return
    const same = this.#hash.digest().equals(this.#digest)
    this.verdict.resolve(same ? 'same' : `${this.#length} bytes arrived changed`)
  }
}

async function serve(socket: Socket): Promise<void> {
  const [first] = (await once(socket, 'data')) as [Buffer]
  const receipt = new Receipt(first.readUInt32BE(0))
  receipt.take(first.subarray(REQUEST))
  socket.on('data', (data: Buffer) => receipt.take(data))
  await sendNoise(socket, first.readUInt32BE(4))
  socket.end(await receipt.verdict.promise)
}

async function transfer({ from, to, up, down }: Transfer): Promise<Transferred> {
  const started = performance.now()
  const socket = connect({ host: to, port: TRAFFIC_PORT, localAddress: from, noDelay: true })
  await once(socket, 'connect')
  const request = Buffer.alloc(REQUEST)
  request.writeUInt32BE(up, 0)
  request.writeUInt32BE(down, 4)
  const receipt = new Receipt(down)
  const ended = once(socket, 'end')
  socket.on('data', (data: Buffer) => receipt.take(data))
  socket.write(request)
  await sendNoise(socket, up)
  await ended
  socket.destroy()
  const verdict = await Promise.race([receipt.verdict.promise, Promise.resolve('cut off')])
  return { up: receipt.rest, down: verdict, milliseconds: performance.now() - started }
}

function echo({ from, to, sizes, segment }: Echo): number[] {
  using socket = new DatagramSocket()
  socket.bind(from)
  socket.to(to, TRAFFIC_PORT)
  const whole = sizes.reduce((sum, size) => sum + size, 0)
  const sent = noise.subarray(0, whole)
  const pieces = new Map<string, number>()
  let at = 0
  for (const size of sizes) {
    const piece = sent.subarray(at, at + size)
    pieces.set(piece.toString('latin1'), size)
    if (segment === undefined) {
      socket.out.set(piece)
      socket.send(size)
    }
    at += size
  }
  if (segment !== undefined) {
    socket.set(SOL_UDP, UDP_SEGMENT, segment)
    socket.out.set(sent)
    socket.send(whole)
  }
  const answered: number[] = []
  while (answered.length < sizes.length) {
    const length = socket.receive(ECHO_WAIT_MS)
    if (length < 0) break
    const size = pieces.get(Buffer.from(socket.in.subarray(0, length)).toString('latin1'))
    answered.push(size ?? -length)
  }
  return answered
}

async function main(): Promise<void> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', (error) => console.error(messageOf(error)))
    serve(socket).catch((error: unknown) => console.error(messageOf(error)))
  })
  server.listen(TRAFFIC_PORT, '0.0.0.0')
  const echoes = createSocket({ type: 'udp4', recvBufferSize: 1 << 21 })
  echoes.on('message', (data, peer) => echoes.send(data, peer.port, peer.address))
  echoes.bind(TRAFFIC_PORT)
  await Promise.all([once(server, 'listening'), once(echoes, 'listening')])
  console.log(JSON.stringify('ready'))

  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line) as TrafficOrder
    if (order === 'stop') break
    const answer = 'transfer' in order ? await transfer(order.transfer) : echo(order.echo)
    console.log(JSON.stringify(answer))
  }
  process.exit(0)
}

// Started as a program, not imported for its types.
if (process.argv[1] === import.meta.filename) {
  await main().catch((error: unknown) => {
    console.error(messageOf(error))
    process.exit(1)
  })
}
