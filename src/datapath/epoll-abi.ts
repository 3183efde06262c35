/** Numbers and layouts of epoll(7) (include/uapi/linux/eventpoll.h), 64-bit little-endian Linux. */
export const EPOLL_CLOEXEC = 0o2000000
export const EPOLL_CTL_ADD = 1
export const EPOLLIN = 0x01

/**
 * struct epoll_event: 32 bits of events, 64 of the watcher's own data. Packed on x86-64 alone:
 *
 *   x86-64   0        4        12
 *            | events | data   |
 *   others   0        4        8        16
 *            | events |        | data   |
 */
export const EPOLL_EVENT_LENGTH = process.arch === 'x64' ? 12 : 16
export const EPOLL_EVENT_DATA = process.arch === 'x64' ? 4 : 8
