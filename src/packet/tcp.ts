/**
 * TCP (RFC 9293 section 3.1).
 *
 *   0               8               16                             31
 *   |          source port          |       destination port        |
 *   |                        sequence number                        |
 *   |                    acknowledgment number                      |
 *   | offset| rsvd  |C|E|U|A|P|R|S|F|            window             |
 *   |           checksum            |        urgent pointer         |
 *   |                options, to a multiple of four                 |
 */
export const TCP_LENGTH = 20

export const TCP_SEQUENCE = 4
export const TCP_ACKNOWLEDGMENT = 8
export const TCP_DATA_OFFSET = 12
export const TCP_FLAGS = 13
export const TCP_WINDOW = 14
export const TCP_CHECKSUM = 16
export const TCP_URGENT = 18

export const FIN = 0x01
export const SYN = 0x02
export const RST = 0x04
export const PSH = 0x08
export const ACK = 0x10
export const URG = 0x20
export const ECE = 0x40
export const CWR = 0x80

/** Header length in bytes, options included. */
export function tcpLengthOf(bytes: Uint8Array, at: number): number {
  return (bytes[at + TCP_DATA_OFFSET]! >>> 4) * 4
}
