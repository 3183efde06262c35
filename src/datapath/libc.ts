import koffi from 'koffi'

/**
 * An address in this process, below 2^53. A number of that size that was just computed is an object on the
 * heap for each call it is passed to, and a megabyte in no time; a bigint made once is passed as it is.
 */
export type Pointer = number | bigint

/**
 * The system calls of the forwarder, the only place where this program leaves JavaScript. Memory is named
 * by its address, at a third of what a typed array costs per call: a bigint where the call is for packets,
 * a number elsewhere. Each answers as in its manual page: -1 and errno() on failure, and nothing here throws.
 */
const library = koffi.load(null)

type Call<Args extends unknown[]> = (...args: Args) => number

function bind<Args extends unknown[]>(declaration: string): Call<Args> {
  return library.func(declaration)
}

export const libc = {
  open: bind<[path: string, flags: number]>('int open(const char *, int)'),
  close: bind<[fd: number]>('int close(int)'),
  ioctl: bind<[fd: number, request: number, argument: number]>('int ioctl(int, size_t, size_t)'),
  read: bind<[fd: number, at: Pointer, length: number]>('int read(int, size_t, size_t)'),
  write: bind<[fd: number, at: number, length: number]>('int write(int, size_t, size_t)'),
  readv: bind<[fd: number, iovecs: Pointer, count: number]>('int readv(int, size_t, int)'),
  writev: bind<[fd: number, iovecs: Pointer, count: number]>('int writev(int, size_t, int)'),
  socket: bind<[domain: number, type: number, protocol: number]>('int socket(int, int, int)'),
  bind: bind<[fd: number, address: number, length: number]>('int bind(int, size_t, int)'),
  connect: bind<[fd: number, address: number, length: number]>('int connect(int, size_t, int)'),
  getsockopt: bind<[fd: number, level: number, name: number, value: number, length: number]>(
    'int getsockopt(int, int, int, size_t, size_t)',
  ),
  setsockopt: bind<[fd: number, level: number, name: number, value: number, length: number]>(
    'int setsockopt(int, int, int, size_t, int)',
  ),
  sendmsg: bind<[fd: number, message: Pointer, flags: number]>('int sendmsg(int, size_t, int)'),
  sendmmsg: bind<[fd: number, messages: Pointer, count: number, flags: number]>(
    'int sendmmsg(int, size_t, unsigned int, int)',
  ),
  recvmsg: bind<[fd: number, message: Pointer, flags: number]>('int recvmsg(int, size_t, int)'),
  recvmmsg: bind<[fd: number, messages: Pointer, count: number, flags: number, timeout: Pointer]>(
    'int recvmmsg(int, size_t, unsigned int, int, size_t)',
  ),
  poll: bind<[pollfds: Pointer, count: number, milliseconds: number]>('int poll(size_t, int, int)'),
  epoll_create1: bind<[flags: number]>('int epoll_create1(int)'),
  epoll_ctl: bind<[epoll: number, operation: number, fd: number, event: number]>(
    'int epoll_ctl(int, int, int, size_t)',
  ),
  epoll_wait: bind<[epoll: number, events: Pointer, count: number, milliseconds: number]>(
    'int epoll_wait(int, size_t, int, int)',
  ),
  clock_gettime: bind<[clock: number, timespec: Pointer]>('int clock_gettime(int, size_t)'),
  sched_yield: bind<[]>('int sched_yield()'),
  eventfd: bind<[initial: number, flags: number]>('int eventfd(int, int)'),
  if_nametoindex: bind<[name: string]>('uint32_t if_nametoindex(const char *)'),
}

/** Of the last call of this thread; ask before anything else is called. */
export function errno(): number {
  return koffi.errno()
}

/** Where bytes lie in this process; they must not be collected while the address is in use. */
export function addressOf(bytes: Uint8Array): number {
  return Number(koffi.address(bytes))
}
