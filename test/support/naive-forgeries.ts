import type { CounterName } from '../../src/datapath/counters.ts'
import { parseIpv4 } from '../../src/net/ipv4.ts'
import { naivePacket, PLAIN } from './naive-packets.ts'
import { MAC_A, naiveFrame } from './naive-ports.ts'

const PACKET = { ...PLAIN, payload: Uint8Array.from({ length: 100 }, (_, index) => index) }
const between = (source: string, destination: string): Uint8Array =>
  naivePacket({ ...PACKET, source: parseIpv4(source), destination: parseIpv4(destination) })
const changed = (bytes: Uint8Array, at: number, value: number): Uint8Array => bytes.with(at, value)

export interface Forgery {
  readonly frame: Uint8Array
  /** Outer source; host A unless told. */
  readonly source?: number
  /** Outer type of service. */
  readonly tos?: number
}

/** One datagram from host A to the VXLAN port of host B, for each reason to drop it. */
export const FORGED_FRAMES: Partial<Record<CounterName, Forgery>> = {
  rx_drop_unknown_source: { frame: naiveFrame(naivePacket(PACKET)), source: 1 },
  rx_drop_short: { frame: naiveFrame(new Uint8Array(19)) },
  rx_drop_no_vni_flag: { frame: naiveFrame(naivePacket(PACKET), { flags: 0 }) },
  rx_drop_reserved_bits: { frame: naiveFrame(naivePacket(PACKET), { flags: 0x88 }) },
  rx_drop_vni_unknown: { frame: naiveFrame(naivePacket(PACKET), { vni: 9 }) },
  rx_drop_vni_mismatch: { frame: naiveFrame(naivePacket(PACKET), { vni: 8 }) },
  rx_drop_ethertype: { frame: naiveFrame(naivePacket(PACKET), { type: 0x0806 }) },
  rx_drop_mac_destination: { frame: naiveFrame(naivePacket(PACKET), { to: MAC_A }) },
  rx_drop_mac_source: {
    frame: naiveFrame(naivePacket(PACKET), { from: '02:00:00:00:00:0c' }),
  },
  rx_drop_malformed: { frame: naiveFrame(changed(naivePacket(PACKET), 3, 1)) },
  rx_drop_header_checksum: { frame: naiveFrame(changed(naivePacket(PACKET), 8, 1)) },
  rx_drop_checksum: { frame: naiveFrame(changed(naivePacket(PACKET), 60, 0xff)) },
  rx_drop_invalid_address: { frame: naiveFrame(between('127.0.0.1', '10.5.2.3')) },
  rx_drop_source: { frame: naiveFrame(between('10.5.2.9', '10.5.2.3')) },
  rx_drop_destination: { frame: naiveFrame(between('10.5.1.2', '10.5.1.9')) },
  rx_drop_ecn: { frame: naiveFrame(naivePacket(PACKET)), tos: 3 },
}
