import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { waitFor } from '../../support/wait.ts'
import { DualHosts, OWN4, UNDERLAYS } from './dual-hosts.ts'
import { programIn } from './two-hosts.ts'

const SENDER = new URL('send-datagram.ts', import.meta.url).pathname
const DISCARD = '9'

/** DSCP and congestion mark of packets inside: none, AF11 with ECT(0), EF with ECT(1), CS7 with CE. */
const INSIDE = [0, 0x2a, 0xb9, 0xe3]

/** Sends a datagram of each type of service. @returns how tcpdump describes the outer headers on arrival */
async function outerHeaders(hosts: DualHosts): Promise<string[]> {
  const filter = ['udp', 'dst', 'port', '8472']
  const capture = programIn(
    hosts.host('b'),
    'tcpdump',
    '-lnvi',
    'u0',
    '--immediate-mode',
    ...filter,
  )
  const closed = once(capture, 'close')
  let said = ''
  capture.stderr!.on('data', (chunk) => (said += String(chunk)))
  try {
    await waitFor(() => said.includes('listening on'), { what: 'tcpdump' })
    const lines = createInterface({ input: capture.stdout! })[Symbol.asyncIterator]()
    const headers: string[] = []
    for (const tos of INSIDE) {
      const ends = [OWN4.a, OWN4.b, DISCARD, '100', String(tos)]
      assert.equal(Number(await hosts.host('a').run(process.execPath, SENDER, ...ends)), 0)
      // The outer header begins a line with the time; what is inside is indented.
      for (;;) {
        const line = (await lines.next()).value as string
        if (!/^\d/.test(line)) continue
        headers.push(line)
        break
      }
    }
    return headers
  } finally {
    capture.kill()
    await closed
  }
}

for (const underlay of UNDERLAYS) {
  describe(`the outer header of ${underlay.family}`, () => {
    for (const [dscp, expected] of [
      [0, INSIDE.map((tos) => tos & 3)],
      [46, INSIDE.map((tos) => 0xb8 | (tos & 3))],
      ['inherit', INSIDE],
    ] as const) {
      test(`lives 64 hops, is not cut, and has the mark and DSCP of choice ${dscp}`, async () => {
        await using hosts = await DualHosts.create(underlay)
        await hosts.ours('a', { dscp })
        const headers = await outerHeaders(hosts)
        const field = underlay.family === 'ipv4' ? /tos 0x(\w+)/ : /class 0x(\w+)/
        assert.deepEqual(
          headers.map((header) => Number.parseInt(field.exec(header)?.[1] ?? '0', 16)),
          expected,
        )
        for (const header of headers) {
          assert.match(header, underlay.family === 'ipv4' ? /ttl 64,/ : /hlim 64,/)
          if (underlay.family === 'ipv4') assert.match(header, /flags \[DF\]/)
        }
      })
    }
  })
}
