import type { Daemon } from '../../lab/daemon.ts'
import { bridgedNamespaces, type BridgedOptions, type BridgedSide } from './bridged-namespaces.ts'
import { Debian, pidsOn, stop } from './debian.ts'
import type { Candidate } from './subject.ts'

/** A daemon of a Debian package that carries IP packets between a TUN or TAP interface and UDP. */
export interface RoutedPeer {
  readonly name: string
  readonly about: string
  /** Of Debian; it tells the version. */
  readonly package: string
  readonly between: BridgedOptions
  /** Starts the daemons of both hosts, and routes each host's subnet to the other's. */
  readonly connect: (
    debian: Debian,
    sides: readonly [BridgedSide, BridgedSide],
  ) => Promise<readonly Daemon[]>
}

/** A namespace behind a bridge on each host; between the bridges' subnets the host routes through the peer's interface. */
export function routedPeer({
  name,
  about,
  package: origin,
  between,
  connect,
}: RoutedPeer): Candidate {
  return {
    name,
    kind: 'peer',
    about,
    version: async () => `${origin} ${(await Debian.get()).versionOf(origin)}`,
    async place(site) {
      const debian = await Debian.get()
      const { sides, remove } = await bridgedNamespaces(site, between)
      await using undo = new AsyncDisposableStack()
      undo.defer(remove)
      const daemons = await connect(debian, sides)
      for (const daemon of daemons) undo.defer(() => stop(daemon))
      const done = undo.move()
      return {
        client: sides[0].place,
        server: sides[1].place,
        processes: (host) => pidsOn(host, daemons),
        remove: () => done.disposeAsync(),
      }
    },
  }
}

/** Whether a host has an interface, up. */
export async function isUp({ host }: BridgedSide, device: string): Promise<boolean> {
  return (await host.exec('ip', 'link', 'show', device, 'up')) !== ''
}
