import { readFileSync } from 'node:fs'
import { IP_TOS, IPPROTO_IP } from '../../../src/datapath/socket-abi.ts'
import { DatagramSocket } from '../../support/datagram-socket.ts'

/**
 * A program: sends UDP datagrams, to one address, over and over in turn and spread over a time. What and
 * how stands on standard input, in JSON.
 */
export interface FramesToSend {
  readonly to: string
  readonly port: number
  readonly frames: readonly FrameToSend[]
  /** Of each. */
  readonly copies: number
  readonly milliseconds: number
}

export interface FrameToSend {
  /** Source address. */
  readonly from: string
  readonly tos: number
  readonly hex: string
}

// Started as a program, not imported for its types.
if (process.argv[1] === import.meta.filename) {
  const { to, port, frames, copies, milliseconds } = JSON.parse(
    readFileSync(0, 'utf8'),
  ) as FramesToSend
  const senders = frames.map(({ from, tos, hex }) => {
    const socket = new DatagramSocket()
    socket.bind(from)
    socket.to(to, port)
    socket.set(IPPROTO_IP, IP_TOS, tos)
    const bytes = Buffer.from(hex, 'hex')
    socket.out.set(bytes)
    return { socket, length: bytes.length }
  })
  const started = performance.now()
  for (let copy = 0; copy < copies; copy++) {
    const due = started + (copy * milliseconds) / copies
    while (performance.now() < due) senders[0]!.socket.receive(1)
    for (const { socket, length } of senders) {
      const error = socket.send(length)
      if (error !== 0) throw new Error(`sending failed: errno ${error}`)
    }
  }
}
