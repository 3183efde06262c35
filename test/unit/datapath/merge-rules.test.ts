/** One vector for each rule by which two frames from the underlay become one super-packet, or do not. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type NaivePacket, PLAIN, PLAIN6 } from '../../support/naive-packets.ts'
import { filled, SIZE, timestamps, VERSIONS, writesOf } from '../../support/naive-streams.ts'

type Change = Partial<NaivePacket>
type Pair = readonly [Change, Change]

const MERGED: Record<string, Pair> = {
  'nothing but the sequence number changes': [{}, {}],
  'the second is shorter': [{}, { payload: filled(1) }],
  'the second has PSH': [{}, { flags: 0x18 }],
  'both have ECE': [{ flags: 0x50 }, { flags: 0x50 }],
  'both are marked for congestion': [{ tos: 3 }, { tos: 3 }],
  'the sequence number wraps between them': [{ sequence: 2 ** 32 - SIZE }, { sequence: 0 }],
  'the sequence number wraps within the first': [{ sequence: 2 ** 32 - 9 }, {}],
  'both have forty bytes of options': [{ tcpOptions: filled(40) }, { tcpOptions: filled(40) }],
  'neither has options': [{ tcpOptions: filled(0) }, { tcpOptions: filled(0) }],
}

const APART: Record<string, Pair> = {
  'the source port differs': [{}, { sourcePort: 1 }],
  'the destination port differs': [{}, { destinationPort: 1 }],
  'the sequence number skips': [{}, { sequence: PLAIN.sequence + SIZE + 1 }],
  'the sequence number is before': [{}, { sequence: PLAIN.sequence }],
  'the acknowledgment differs': [{}, { acknowledgment: 5 }],
  'the window differs': [{}, { window: 5 }],
  'the urgent pointer differs': [{}, { urgent: 5 }],
  'the timestamps differ': [{}, { tcpOptions: timestamps(2) }],
  'the first byte of the options differs': [{}, { tcpOptions: timestamps(1).with(0, 0) }],
  'the last byte of the options differs': [{}, { tcpOptions: timestamps(1).with(11, 1) }],
  'there are fewer options': [{}, { tcpOptions: filled(0) }],
  'the type of service differs': [{}, { tos: 0x10 }],
  'the congestion mark differs': [{ tos: 2 }, { tos: 3 }],
  'the time to live differs': [{}, { ttl: 62 }],
  'the first has PSH': [{ flags: 0x18 }, {}],
  'the first is the shorter': [{ payload: filled(SIZE - 1) }, {}],
  'only the second has ECE': [{}, { flags: 0x50 }],
  'the second has FIN': [{}, { flags: 0x11 }],
  'the second has SYN': [{}, { flags: 0x12 }],
  'the second has RST': [{}, { flags: 0x14 }],
  'the second has URG': [{}, { flags: 0x30 }],
  'the second has CWR': [{}, { flags: 0x90 }],
  'the second has no ACK': [{}, { flags: 0 }],
  'the first has FIN': [{ flags: 0x11 }, {}],
  'the first has CWR': [{ flags: 0x90 }, {}],
  'the second has no payload': [{}, { payload: filled(0) }],
}

const MERGED_UDP: Record<string, Pair> = {
  'they are of one size': [{}, {}],
  'the second is shorter': [{}, { payload: filled(1) }],
  'they have one byte each': [{ payload: filled(1) }, { payload: filled(1) }],
}

const APART_UDP: Record<string, Pair> = {
  'the second is longer': [{}, { payload: filled(SIZE + 1) }],
  'the first is the shorter': [{ payload: filled(SIZE - 1) }, {}],
  'the source port differs': [{}, { sourcePort: 1 }],
  'the destination port differs': [{}, { destinationPort: 1 }],
  'the congestion mark differs': [{ tos: 2 }, { tos: 3 }],
  'the time to live differs': [{}, { ttl: 62 }],
  'the second is empty': [{}, { payload: filled(0) }],
  'both are empty': [{ payload: filled(0) }, { payload: filled(0) }],
}

const otherOption = Uint8Array.from([1, 1, 1, 0])
const MERGED_IPV4: Record<string, Pair> = {
  'identifications are unrelated': [{ id: 9 }, { id: 5 }],
}
const APART_IPV4: Record<string, Pair> = {
  'the source differs': [{}, { source: PLAIN.source + 1 }],
  'the destination differs': [{}, { destination: PLAIN.destination + 1 }],
  'don’t-fragment differs': [{}, { fragment: 0 }],
  'the reserved bit differs': [{}, { fragment: 0xc000 }],
  'the second has options': [{}, { ipOptions: otherOption }],
  'both have the same options': [{ ipOptions: otherOption }, { ipOptions: otherOption }],
}

const padding = [{ type: 60, rest: Uint8Array.from([0, 1, 4, 0, 0, 0, 0]) }]
const APART_IPV6: Record<string, Pair> = {
  'the source differs': [{}, { source: PLAIN6.source + 1n }],
  'the destination differs': [{}, { destination: PLAIN6.destination + 1n }],
  'another bit of the source differs': [{}, { source: PLAIN6.source + 2n ** 63n }],
  'the flow label differs': [{}, { flowLabel: 5 }],
  'the second has an extension header': [{}, { extensions: padding }],
  'both have the same extension header': [{ extensions: padding }, { extensions: padding }],
}

for (const { version, segment, datagram } of VERSIONS) {
  const [merged, apart] = segment === PLAIN ? [MERGED_IPV4, APART_IPV4] : [{}, APART_IPV6]

  describe(`over ${version}`, () => {
    for (const [what, base, together, separate] of [
      ['segments', segment, { ...MERGED, ...merged }, { ...APART, ...apart }],
      ['datagrams', datagram, { ...MERGED_UDP, ...merged }, { ...APART_UDP, ...apart }],
    ] as const) {
      for (const [name, changes] of Object.entries(together)) {
        test(`two ${what} are written as one when ${name}`, () => {
          assert.equal(writesOf(base, changes), 1)
        })
      }
      for (const [name, changes] of Object.entries(separate)) {
        test(`two ${what} are written apart when ${name}`, () => {
          assert.equal(writesOf(base, changes), 2)
        })
      }
    }
  })
}
