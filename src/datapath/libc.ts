import koffi from 'koffi'

/**
 * The system calls of the forwarder, the only place where this program leaves JavaScript. Pointers are
 * addresses as plain numbers (below 2^53), which cost a third of a typed array per call. Each answers
 * as in its manual page: -1 and errno() on failure, and nothing here throws.
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
  read: bind<[fd: number, at: number, length: number]>('int read(int, size_t, size_t)'),
  write: bind<[fd: number, at: number, length: number]>('int write(int, size_t, size_t)'),
  writev: bind<[fd: number, iovecs: number, count: number]>('int writev(int, size_t, int)'),
  socket: bind<[domain: number, type: number, protocol: number]>('int socket(int, int, int)'),
  bind: bind<[fd: number, address: number, length: number]>('int bind(int, size_t, int)'),
  connect: bind<[fd: number, address: number, length: number]>('int connect(int, size_t, int)'),
  getsockopt: bind<[fd: number, level: number, name: number, value: number, length: number]>(
    'int getsockopt(int, int, int, size_t, size_t)',
  ),
  setsockopt: bind<[fd: number, level: number, name: number, value: number, length: number]>(
    'int setsockopt(int, int, int, size_t, int)',
  ),
  sendmsg: bind<[fd: number, message: number, flags: number]>('int sendmsg(int, size_t, int)'),
  sendmmsg: bind<[fd: number, messages: number, count: number, flags: number]>(
    'int sendmmsg(int, size_t, unsigned int, int)',
  ),
  recvmsg: bind<[fd: number, message: number, flags: number]>('int recvmsg(int, size_t, int)'),
  poll: bind<[pollfds: number, count: number, milliseconds: number]>('int poll(size_t, int, int)'),
  clock_gettime: bind<[clock: number, timespec: number]>('int clock_gettime(int, size_t)'),
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
