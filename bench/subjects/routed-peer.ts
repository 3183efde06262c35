import { mkdirSync, rmSync } from 'node:fs'
import type { Daemon, DaemonSpec } from '../../lab/daemon.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { bridgedNamespaces, type BridgedOptions, type BridgedSide } from './bridged-namespaces.ts'
import { Debian, pidsOn, stop } from './debian.ts'
import type { Candidate } from './subject.ts'

/** Starts a program of the packages, which goes with the peer. */
export type StartDaemon = (host: DockerHost, spec: DaemonSpec) => Promise<void>

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
    start: StartDaemon,
  ) => Promise<void>
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
      for (const side of sides) {
        const folder = folderOf(side, between.short)
        mkdirSync(folder)
        undo.defer(() => rmSync(folder, { recursive: true }))
      }
      const daemons: Daemon[] = []
      await connect(debian, sides, async (host, spec) => {
        const daemon = await debian.start(host, spec)
        undo.defer(() => stop(daemon))
        daemons.push(daemon)
      })
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

/** Where a peer's files are on a host while it is placed: "wg" for the peer whose interfaces begin so. */
export function folderOf({ host }: BridgedSide, short: string): string {
  return host.machine.path(`bench-${short}`)
}

/** Whether a host has an interface, up. */
export async function isUp({ host }: BridgedSide, device: string): Promise<boolean> {
  return (await host.exec('ip', 'link', 'show', device, 'up')) !== ''
}
