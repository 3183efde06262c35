import assert from 'node:assert/strict'
import { OrderProcess } from '../../../lab/order-process.ts'
import type { Netns } from '../../support/netns.ts'
import { programIn } from './two-hosts.ts'

const PROGRAM = new URL('run-datagrams.ts', import.meta.url).pathname
const PORT = '47003'

/** UDP to an overlay address of another host and back. Fails unless each datagram is answered, nearly all at once. */
export async function answersDatagrams(
  from: Netns,
  to: Netns,
  address: string,
  { size = 1250, count = 800 } = {},
): Promise<void> {
  const answering = programIn(to, process.execPath, PROGRAM, 'answer', address, PORT)
  await using _answering = await OrderProcess.start(answering)
  const what = [address, PORT, String(size), String(count)]
  const again = Number(await from.run(process.execPath, PROGRAM, 'ask', ...what))
  assert.ok(again < 0.2 * count, `${again} datagrams of ${count} had to be sent again`)
}
