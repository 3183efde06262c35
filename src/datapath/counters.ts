/**
 * Every counter of the forwarder, by group, each with the sentence that metrics and docs print. The
 * workers write them in shared memory, so that reading costs the packets nothing.
 *
 * Directions: tx is containers → underlay, rx is underlay → containers. In each direction what came in
 * is what went out plus the drops:
 *
 *   tun_packets = tx_packets + all tx_drop_*      (a super-packet counts as one packet)
 *   tx_frames   = tx_segments + tx_retried + all tx_lost_*
 *   rx_frames   = rx_packets + all rx_drop_*      (a frame is one VXLAN header and what follows it)
 */
export const COUNTER_GROUPS = {
  'TUN, from containers': {
    tun_reads: 'Reads of the TUN that returned a packet',
    tun_read_bytes: 'Bytes of IP packets read from the TUN',
    tun_packets: 'IP packets and super-packets read from the TUN',
  },
  'TUN, to containers': {
    tun_writes: 'Writes to the TUN',
    tun_write_bytes: 'Bytes of IP packets written to the TUN',
    tun_write_errors: 'Writes to the TUN that the kernel refused; what they held is lost',
    rx_coalesced: 'Segments that reached the TUN inside a super-packet',
    tx_icmp_too_big: 'ICMP answers to packets that were dropped as too big',
    tx_icmp_limited: 'ICMP answers not given because the flow has had enough of them',
  },
  'underlay, sent': {
    tx_packets: 'Packets and super-packets accepted for sending',
    tx_fragmented: 'Packets and super-packets cut into IPv4 fragments for a smaller peer MTU',
    tx_frames: 'VXLAN frames made of them',
    tx_sendmsg: 'sendmsg calls that the kernel accepted',
    tx_segments: 'VXLAN frames sent',
    tx_bytes: 'Bytes of VXLAN frames sent, outer IP and UDP headers not included',
    tx_gso_fallbacks: 'Batches that the kernel refused to segment, sent again one by one',
    tx_lost_backpressure: 'Frames lost because the socket would take no more (EAGAIN, ENOBUFS)',
    tx_retried: 'Frames that went out again, smaller, after the path had refused them as too big',
    tx_lost_too_big: 'Frames lost because the path refused them as too big',
    tx_lost_error: 'Frames lost because sending failed otherwise (no route, link down)',
  },
  'underlay, received': {
    rx_recvmsg: 'Datagrams received, each one of the wire or several that the kernel joined',
    rx_bytes: 'Bytes of VXLAN frames received, outer IP and UDP headers not included',
    rx_frames: 'VXLAN frames received',
    rx_packets: 'Frames whose packet was handed to the TUN',
    rx_partial_checksums: 'Packets whose sender left the inner checksum for a device to complete',
    rx_odd_ecn: 'Frames marked as able to bear congestion marks, around packets that are not',
    rx_queue_overflows: 'Datagrams the kernel dropped because the receive buffer was full',
  },
  'dropped, from containers': {
    tx_drop_malformed: 'The packet or its virtio header contradicts itself',
    tx_drop_multicast: 'Destination is multicast or broadcast, which does not cross hosts',
    tx_drop_source: 'Source is in none of this host’s subnets',
    tx_drop_no_route: 'Destination is in no known subnet',
    tx_drop_local: 'Destination is in a subnet of this host: its route should not lead to the TUN',
    tx_drop_overlay_unknown: 'The overlay of the source’s subnet is not known yet',
    tx_drop_overlay_mismatch: 'Source and destination are in different overlays',
    tx_drop_too_big: 'The packet is larger than the peer MTU and may not be cut',
  },
  'dropped, from the underlay': {
    rx_drop_truncated: 'The datagram was larger than the buffer, or its control data was cut',
    rx_drop_unknown_source: 'The outer source is not the address of any peer',
    rx_drop_short: 'Shorter than a VXLAN, an Ethernet and an IP header',
    rx_drop_no_vni_flag: 'The I flag is not set, so there is no valid VNI',
    rx_drop_reserved_bits: 'Reserved bits are set, which announce an extension',
    rx_drop_vni_unknown: 'No subnet of this host has the VNI',
    rx_drop_vni_mismatch: 'Inner source or destination belongs to another VNI than the frame’s',
    rx_drop_ethertype: 'Neither IPv4 nor IPv6 inside (ARP and VLAN tags have no place here)',
    rx_drop_mac_destination: 'The inner destination MAC is not this host’s',
    rx_drop_mac_source: 'The inner source MAC is not the peer’s',
    rx_drop_malformed: 'The inner packet’s version, header or lengths contradict what arrived',
    rx_drop_header_checksum: 'The inner IPv4 header checksum is wrong',
    rx_drop_checksum: 'The inner TCP or UDP checksum is wrong',
    rx_drop_invalid_address: 'An inner address is loopback, link-local, multicast or reserved',
    rx_drop_source: 'The inner source is not behind the peer that sent the frame',
    rx_drop_destination: 'The inner destination is in none of this host’s subnets',
    rx_drop_uncut: 'Several datagrams in one packet, which this host’s kernel cannot cut',
    rx_drop_ecn: 'Marked for congestion on the way, and its sender does not understand marks',
  },
} as const

type Groups = typeof COUNTER_GROUPS
type KeysOf<T> = T extends unknown ? keyof T : never

export type CounterName = KeysOf<Groups[keyof Groups]>

/** In the order of the groups; the place of a name is its place in shared memory. */
export const COUNTER_NAMES: readonly CounterName[] = Object.values(COUNTER_GROUPS).flatMap(
  (group) => Object.keys(group) as CounterName[],
)

/** Place of each counter. */
export const COUNTER: Readonly<Record<CounterName, number>> = Object.fromEntries(
  COUNTER_NAMES.map((name, place) => [name, place]),
) as Record<CounterName, number>

/** The counters of one worker: doubles, which are exact to 2^53 and written whole. */
export class Counters {
  readonly buffer: SharedArrayBuffer
  readonly #values: Float64Array

  constructor(buffer = new SharedArrayBuffer(COUNTER_NAMES.length * 8)) {
    this.buffer = buffer
    this.#values = new Float64Array(buffer)
  }

  /** Adds to the counter at a place of COUNTER. */
  add(place: number, amount = 1): void {
    this.#values[place]! += amount
  }

  get(place: number): number {
    return this.#values[place]!
  }
}

/** The sum over workers, by name. */
export function totalOf(workers: readonly Counters[]): Record<CounterName, number> {
  return Object.fromEntries(
    COUNTER_NAMES.map((name, place) => [
      name,
      workers.reduce((sum, counters) => sum + counters.get(place), 0),
    ]),
  ) as Record<CounterName, number>
}
