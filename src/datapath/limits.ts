/** UDP payload of one IPv4 datagram: 65,535 less 20 of IP and 8 of UDP. Linux refuses more (EMSGSIZE). */
export const MAX_DATAGRAM = 65_507

/** Segments of one UDP_SEGMENT send or one USO packet (include/linux/udp.h, UDP_MAX_SEGMENTS). */
export const MAX_SEGMENTS = 64

/** struct virtio_net_hdr and the largest packet that a TUN hands over. */
export const MAX_TUN_READ = 10 + 65_536

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
