/**
 * UDP (RFC 768).
 *
 *   0               8               16                             31
 *   |          source port          |       destination port        |
 *   |            length             |           checksum            |
 *
 * A checksum of zero means "none" over IPv4, so a computed zero is sent as 0xffff.
 */
export const UDP_LENGTH = 8

export const UDP_TOTAL = 4
export const UDP_CHECKSUM = 6
