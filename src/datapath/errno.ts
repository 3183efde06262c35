import { constants } from 'node:os'

export const { EAGAIN, EBUSY, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, EPERM } = constants.errno
export const { EADDRINUSE, EADDRNOTAVAIL, ENOENT } = constants.errno

/** "EADDRINUSE", or "errno 524" for a number that has no name here. */
export function errnoName(number: number): string {
  const named = Object.entries(constants.errno).find(([, value]) => value === number)
  return named ? named[0] : `errno ${number}`
}
