import type { Netns } from '../../support/netns.ts'
import { waitFor } from '../../support/wait.ts'

interface Link {
  /** MAC address. */
  readonly address: string
  readonly operstate: string
}

async function linkOf(netns: Netns, device: string): Promise<Link> {
  const [link] = JSON.parse(await netns.run('ip', '-j', 'link', 'show', 'dev', device)) as [Link]
  return link
}

export async function macOf(netns: Netns, device: string): Promise<string> {
  return (await linkOf(netns, device)).address
}

/**
 * Waits until a device takes packets that is up and has its other end, that of a link or the program behind a
 * TUN. The kernel learns of the carrier in a work queue (net/core/link_watch.c); until then a device drops,
 * uncounted, what is sent on it, and a bridge what comes in there.
 */
export async function untilUp(netns: Netns, ...devices: readonly string[]): Promise<void> {
  for (const device of devices) {
    await waitFor(async () => (await linkOf(netns, device)).operstate === 'UP', {
      what: `${device} to be up`,
      timeout: 60_000,
      every: 5,
    })
  }
}

/**
 * Tells a host the MAC of a neighbour for good. What waits for an answer to ARP is dropped uncounted if that
 * takes long, and a question about one who was known long ago takes a place in queues that are looked at.
 */
export async function acquaint(
  netns: Netns,
  device: string,
  neighbour: { readonly address: string; readonly mac: string },
): Promise<void> {
  const { address, mac } = neighbour
  const words = ['lladdr', mac, 'dev', device, 'nud', 'permanent']
  await netns.run('ip', 'neigh', 'replace', address, ...words)
}

/** The most bytes of TCP that a socket of a host holds that limitSockets() was called for. */
export const SOCKET_BUFFER = 2_000_000

/** Settles how much of a stream may be on its way: kernels let a socket hold from 6 to 32 MB. */
export async function limitSockets(host: Netns): Promise<void> {
  for (const name of ['tcp_rmem', 'tcp_wmem']) {
    await host.run('sysctl', '-qw', `net.ipv4.${name}=4096 131072 ${SOCKET_BUFFER}`)
  }
}
