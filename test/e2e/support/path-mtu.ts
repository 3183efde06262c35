import type { Container } from '../../../lab/container.ts'
import { inside } from './inside.ts'

/**
 * Sends one datagram of `size` bytes (with its headers) that routers may not cut. The socket stays open
 * for a moment, since the kernel heeds the answer "fragmentation needed" only while it does.
 */
export async function sendUncut(from: Container, to: string, size: number): Promise<void> {
  const zeros = `head -c ${size - 28} /dev/zero`
  await inside(from, [`{ ${zeros}; sleep 0.5; } | socat -u -b 9000 - UDP4:${to}:9,mtudiscover=2`])
}

/** The MTU that the container has been told of on its way to an address, null when it was told none. */
export async function learnedMtu(from: Container, to: string): Promise<number | null> {
  const found = /\bmtu (\d+)/.exec(await inside(from, [`ip route get ${to}`]))
  return found === null ? null : Number(found[1])
}
