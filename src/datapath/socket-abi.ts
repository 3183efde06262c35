/**
 * Numbers and layouts of the kernel's socket interface, 64-bit little-endian Linux (x86-64, arm64).
 * From include/uapi/linux/{socket,in,udp}.h and asm-generic/socket.h.
 */
export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_DGRAM = 2
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000

export const SOL_SOCKET = 1
export const SO_SNDBUF = 7
export const SO_RCVBUF = 8
export const SO_REUSEPORT = 15
export const SO_SNDBUFFORCE = 32
export const SO_RCVBUFFORCE = 33
export const SO_MEMINFO = 55

export const IPPROTO_IP = 0
export const IP_TOS = 1
export const IP_MTU_DISCOVER = 10
export const IP_RECVTOS = 13
export const IP_MTU = 14
export const IP_PMTUDISC_DO = 2

export const IPPROTO_IPV6 = 41
export const IPV6_MTU_DISCOVER = 23
export const IPV6_MTU = 24
export const IPV6_V6ONLY = 26
export const IPV6_RECVTCLASS = 66
export const IPV6_TCLASS = 67

export const SOL_UDP = 17
export const UDP_SEGMENT = 103
export const UDP_GRO = 104

export const MSG_CTRUNC = 0x08
export const MSG_TRUNC = 0x20
export const MSG_DONTWAIT = 0x40

/**
 * struct sockaddr_in
 *   0        2      4           8              16
 *   | family | port | address   | zero         |
 */
export const SOCKADDR_IN_LENGTH = 16
export const SOCKADDR_PORT = 2
export const SOCKADDR_IP = 4

/**
 * struct sockaddr_in6
 *   0        2      4           8                        24         28
 *   | family | port | flow info | address                | scope id |
 */
export const SOCKADDR_IN6_LENGTH = 28
export const SOCKADDR_IP6 = 8

/**
 * struct msghdr
 *   0      8           16      24        32        40            48      56
 *   | name | name len  | iovec | iov len | control | control len | flags |
 */
export const MSGHDR_LENGTH = 56
export const MSG_NAME = 0
export const MSG_NAME_LENGTH = 8
export const MSG_IOV = 16
export const MSG_IOV_LENGTH = 24
export const MSG_CONTROL = 32
export const MSG_CONTROL_LENGTH = 40
export const MSG_FLAGS = 48

/** struct mmsghdr: a msghdr, and how much of it was sent or received. */
export const MMSGHDR_LENGTH = 64
export const MMSG_BYTES = 56

/**
 * struct cmsghdr; the next one begins at a multiple of eight
 *   0          8       12     16
 *   | length   | level | type | data
 */
export const CMSG_LEVEL = 8
export const CMSG_TYPE = 12
export const CMSG_DATA = 16

/**
 * struct pollfd
 *   0    4        6         8
 *   | fd | events | revents |
 */
export const POLLFD_LENGTH = 8
export const POLLIN = 0x01
