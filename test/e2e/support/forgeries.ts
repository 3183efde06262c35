import { ETCD_IP, GATEWAY } from '../../../lab/address.ts'
import type { CounterName } from '../../../src/datapath/counters.ts'

/** Hosts of the lab: who is sent the forgeries, whose name they bear, and one more. */
export const [TARGET, PEER, THIRD] = ['96', '98', '99'] as const

/** What a forger knows of the lab. */
export interface Facts {
  readonly stranger: string
  /** Container address by "overlay host". */
  readonly ip: Readonly<Record<string, string>>
  readonly vni: Readonly<Record<string, number>>
  /** VTEP MAC by host. */
  readonly mac: Readonly<Record<string, string>>
}

/** What a frame from the peer's container in `web` to the target's would say, and where this one differs. */
export interface Frame {
  readonly outerSource?: string
  readonly tos?: number
  readonly vni?: number
  readonly flags?: number
  readonly type?: number
  readonly toMac?: string
  readonly fromMac?: string
  readonly source?: string
  readonly destination?: string
  /** Changes the finished frame, VXLAN header first. */
  readonly spoil?: (frame: Buffer) => Uint8Array
}

/** Where things begin in a frame. */
const AT = { reserved: 1, lastReserved: 7, inner: 22, innerLength: 24, innerChecksum: 32, end: -1 }

const flip = (at: number) => (frame: Buffer) => frame.with(at < 0 ? frame.length + at : at, 0xa5)

type Forgery = readonly [what: string, counter: CounterName, frame: (facts: Facts) => Frame]

/** Frames of which one thing is wrong, and the counter that each must raise. */
export const FORGERIES: readonly Forgery[] = [
  [
    'from a stranger by its own address',
    'rx_drop_unknown_source',
    ({ stranger }) => ({ outerSource: stranger }),
  ],
  ['from the address of etcd', 'rx_drop_unknown_source', () => ({ outerSource: ETCD_IP })],
  ['from the address of the gateway', 'rx_drop_unknown_source', () => ({ outerSource: GATEWAY })],
  ['with a VNI of no overlay', 'rx_drop_vni_unknown', () => ({ vni: 4711 })],
  ['with VNI 0', 'rx_drop_vni_unknown', () => ({ vni: 0 })],
  [
    'with the VNI of an overlay that this host is not in',
    'rx_drop_vni_unknown',
    ({ vni }) => ({ vni: vni['far']! }),
  ],
  [
    "with the VNI of this host's other overlay",
    'rx_drop_vni_mismatch',
    ({ vni }) => ({ vni: vni['app']! }),
  ],
  [
    "to a container of this host's other overlay",
    'rx_drop_vni_mismatch',
    ({ ip }) => ({ destination: ip[`app ${TARGET}`]! }),
  ],
  [
    "to a container of this host's other overlay, with that overlay's VNI",
    'rx_drop_vni_mismatch',
    ({ ip, vni }) => ({ destination: ip[`app ${TARGET}`]!, vni: vni['app']! }),
  ],
  [
    'from a container behind another peer than the one it claims to come from',
    'rx_drop_source',
    ({ ip }) => ({ source: ip[`web ${THIRD}`]! }),
  ],
  [
    'from a container of an overlay this host is not in',
    'rx_drop_source',
    ({ ip }) => ({ source: ip[`far ${PEER}`]! }),
  ],
  [
    'from an address of this very host',
    'rx_drop_source',
    ({ ip }) => ({ source: ip[`web ${TARGET}`]! }),
  ],
  ['from an address outside of all overlays', 'rx_drop_source', () => ({ source: '8.8.8.8' })],
  [
    'to a container of another host',
    'rx_drop_destination',
    ({ ip }) => ({ destination: ip[`web ${THIRD}`]! }),
  ],
  ['to the Internet', 'rx_drop_destination', () => ({ destination: '8.8.8.8' })],
  ['to docker0', 'rx_drop_destination', () => ({ destination: '172.17.0.1' })],
  ['to the underlay', 'rx_drop_destination', () => ({ destination: ETCD_IP })],
  ['with a reserved flag', 'rx_drop_reserved_bits', () => ({ flags: 0x88 })],
  ['with the flag of a next protocol', 'rx_drop_reserved_bits', () => ({ flags: 0x0c })],
  ['with bits beside the flags', 'rx_drop_reserved_bits', () => ({ spoil: flip(AT.reserved) })],
  ['with bits behind the VNI', 'rx_drop_reserved_bits', () => ({ spoil: flip(AT.lastReserved) })],
  ['without the I flag', 'rx_drop_no_vni_flag', () => ({ flags: 0 })],
  [
    'to the inner MAC of another host',
    'rx_drop_mac_destination',
    ({ mac }) => ({ toMac: mac[THIRD]! }),
  ],
  ['to all inner MACs', 'rx_drop_mac_destination', () => ({ toMac: 'ff:ff:ff:ff:ff:ff' })],
  [
    'from the inner MAC of another peer',
    'rx_drop_mac_source',
    ({ mac }) => ({ fromMac: mac[THIRD]! }),
  ],
  ['with ARP inside', 'rx_drop_ethertype', () => ({ type: 0x0806 })],
  ['with a VLAN tag inside', 'rx_drop_ethertype', () => ({ type: 0x8100 })],
  ['that calls IPv4 inside IPv6', 'rx_drop_malformed', () => ({ type: 0x86dd })],
  ['from loopback', 'rx_drop_invalid_address', () => ({ source: '127.0.0.1' })],
  ['to loopback', 'rx_drop_invalid_address', () => ({ destination: '127.0.0.1' })],
  ['to a multicast group', 'rx_drop_invalid_address', () => ({ destination: '224.0.0.1' })],
  ['to everybody', 'rx_drop_invalid_address', () => ({ destination: '255.255.255.255' })],
  ['from a multicast group', 'rx_drop_invalid_address', () => ({ source: '239.1.2.3' })],
  ['from a link-local address', 'rx_drop_invalid_address', () => ({ source: '169.254.1.1' })],
  ['from nobody', 'rx_drop_invalid_address', () => ({ source: '0.0.0.0' })],
  ['of one byte', 'rx_drop_short', () => ({ spoil: (frame) => frame.subarray(0, 1) })],
  [
    'cut within the inner IP header',
    'rx_drop_short',
    () => ({ spoil: (frame) => frame.subarray(0, AT.inner + 19) }),
  ],
  [
    'cut by its last byte',
    'rx_drop_malformed',
    () => ({ spoil: (frame) => frame.subarray(0, AT.end) }),
  ],
  ['that claims to be longer', 'rx_drop_malformed', () => ({ spoil: flip(AT.innerLength) })],
  ['that is not IPv4 inside', 'rx_drop_malformed', () => ({ spoil: flip(AT.inner) })],
  [
    'with a wrong inner IP checksum',
    'rx_drop_header_checksum',
    () => ({ spoil: flip(AT.innerChecksum) }),
  ],
  ['with a wrong inner UDP checksum', 'rx_drop_checksum', () => ({ spoil: flip(AT.end) })],
  [
    'marked for congestion though its sender does not understand',
    'rx_drop_ecn',
    () => ({ tos: 3 }),
  ],
]
