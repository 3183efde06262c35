/** UDP payload of one IPv4 datagram: 65,535 less 20 of IP and 8 of UDP. Linux refuses more (EMSGSIZE). */
export const MAX_DATAGRAM = 65_507

/** The same over IPv6, whose own header does not count: 65,535 less 8. */
export const MAX_DATAGRAM6 = 65_527

/** Segments of one UDP_SEGMENT send or one USO packet (include/linux/udp.h, UDP_MAX_SEGMENTS). */
export const MAX_SEGMENTS = 64

/** Payload of a TCP segment: TCP_MIN_SND_MSS of include/net/tcp.h, 48, less 40 of options. */
export const LEAST_TCP_SEGMENT = 8

/** struct virtio_net_hdr and the largest packet that a TUN hands over. */
export const MAX_TUN_READ = 10 + 65_536

/**
 * Ours: queues of the TUN that each worker reads. The kernel puts a flow into one of them by its hash, so
 * that a flood fills, and overflows, the queues of its own flows.
 */
export const TUN_QUEUES = 8

/** Of one device (drivers/net/tun.c, MAX_TAP_QUEUES), those included that are only written to. */
export const MAX_TUN_QUEUES = 256

/** Ours: sockets of the VXLAN port that each worker reads, for the same reason. */
export const RECEIVE_SOCKETS = 8

/** Ours: send sockets, each with an outer source port of its own, that flows are spread over. */
export const SEND_PORTS = 8

/** Ours: packets of one direction before the other gets its turn. */
export const TURN_PACKETS = 64

/** Ours: bytes of one direction before the other gets its turn; stays within a core's own cache. */
export const TURN_BYTES = 256 * 1024

/** Ours: IP length at which a super-packet towards the TUN is written out. The hard limit is 65,535. */
export const MAX_COALESCED = 65_000

/** Ours: flows whose segments are being put together at one time. */
export const OPEN_RUNS = 16

/** VXLAN and inner Ethernet header in front of each packet of a batch. */
const FRAME_HEADERS = 8 + 14

/** IPv4 and TCP header with timestamps, what nearly every segment of bulk TCP has. */
const TCP_HEADERS = 20 + 20 + 12

/**
 * The super-packet size (IFLA_GSO_MAX_SIZE) with which a TCP sender's packets fill one UDP_SEGMENT
 * send each. With the kernel's 65,536 the last two segments would need a send of their own. Half a
 * segment is added, since TCP first takes room for headers off (MAX_TCP_HEADER, up to 320 bytes) and
 * then counts whole segments.
 * @param mtu of the sender's link, in bytes
 */
export function gsoMaxSize(mtu: number): number {
  const segment = mtu - TCP_HEADERS
  const count = Math.min(MAX_SEGMENTS, Math.floor(MAX_DATAGRAM / (mtu + FRAME_HEADERS)))
  return TCP_HEADERS + count * segment + Math.floor(segment / 2)
}
