import assert from 'node:assert/strict'
import type { Container } from '../../../lab/container.ts'
import { eventually } from '../../support/wait.ts'
import { inside } from './inside.ts'

/** What a UDP datagram without cutting is to socat, and what its headers take. IPV6_MTU_DISCOVER (ipv6(7)) has no name there. */
const UNCUT = {
  4: { headers: 28, address: (ip: string) => `UDP4:${ip}:9,mtudiscover=2` },
  6: { headers: 48, address: (ip: string) => `UDP6:[${ip}]:9,setsockopt-int=41:23:2` },
} as const

/**
 * Sends one datagram of `size` bytes (with its headers) that nobody may cut. The socket stays open for a
 * moment, since the kernel heeds the answer "fragmentation needed" or "packet too big" only while it does.
 */
export async function sendUncut(from: Container, to: string, size: number): Promise<void> {
  const { headers, address } = UNCUT[to.includes(':') ? 6 : 4]
  const zeros = `head -c ${size - headers} /dev/zero`
  await inside(from, [`{ ${zeros}; sleep 0.5; } | socat -u -b 9000 - ${address(to)}`])
}

/**
 * What iputils' `ping -M do` says, as a user types it, of one packet of `size` bytes (with its headers) over IPv4.
 * @throws OverlayError host_state where it is not answered, with what was said
 */
export async function pingUncut(from: Container, to: string, size: number): Promise<string> {
  return inside(from, [`ping -M do -n -c 1 -W 5 -s ${size - UNCUT[4].headers} ${to}`])
}

/** The MTU that the container has been told of on its way to an address, null when it was told none. */
export async function learnedMtu(from: Container, to: string): Promise<number | null> {
  const found = /\bmtu (\d+)/.exec(await inside(from, [`ip route get ${to}`]))
  return found === null ? null : Number(found[1])
}

/** Sends packets of one byte more than `mtu` until the container has been told of it; from then on its kernel sends none. */
export function untilToldMtu(from: Container, to: string, mtu: number): Promise<void> {
  return eventually(
    async () => {
      if ((await learnedMtu(from, to)) === null) await sendUncut(from, to, mtu + 1)
      assert.equal(await learnedMtu(from, to), mtu)
    },
    { what: 'the answer to what is too big', timeout: 30_000 },
  )
}
