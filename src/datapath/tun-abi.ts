/**
 * Numbers and layouts of the kernel's TUN and TAP devices (include/uapi/linux/if_tun.h, if.h; open(2)),
 * 64-bit little-endian Linux.
 */
export const O_RDWR = 0o2
export const O_NONBLOCK = 0o4000
export const O_CLOEXEC = 0o2000000

export const TUNSETIFF = 0x4004_54ca
export const TUNSETOFFLOAD = 0x4004_54d0
export const TUNSETVNETHDRSZ = 0x4004_54d8
export const TUNSETQUEUE = 0x4004_54d9

export const IFF_TUN = 0x0001
export const IFF_TAP = 0x0002
export const IFF_MULTI_QUEUE = 0x0100
export const IFF_DETACH_QUEUE = 0x0400
export const IFF_NO_PI = 0x1000
export const IFF_VNET_HDR = 0x4000

/**
 * struct ifreq
 *   0      16      18
 *   | name | flags | …
 */
export const IFREQ_LENGTH = 40
export const IFREQ_FLAGS = 16
