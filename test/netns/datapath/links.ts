import type { Netns } from '../../support/netns.ts'

export async function macOf(netns: Netns, device: string): Promise<string> {
  const shown = await netns.run('ip', '-j', 'link', 'show', 'dev', device)
  const [link] = JSON.parse(shown) as [{ readonly address: string }]
  return link.address
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
