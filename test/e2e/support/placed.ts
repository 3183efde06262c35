import type { Container } from '../../../lab/container.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'
import { assertReaches } from './answers.ts'

/** A container in a network of both families, with its address of each. */
export interface Placed {
  readonly network: string
  readonly host: DockerHost
  readonly container: Container
  readonly ip: string
  readonly ip6: string
}

/** Starts a container, called as its network unless told; further words stand before the image. */
export async function place(
  host: DockerHost,
  network: string,
  name = network,
  options: readonly string[] = [],
): Promise<Placed> {
  const container = await host.run(name, { network, options })
  const [ip, ip6] = await Promise.all([container.ip(network), container.ip6(network)])
  return { network, host, container, ip, ip6 }
}

/** Each reaches all others, over IPv4 and over IPv6, and is seen by its own address of that family. */
export async function assertConnected(members: readonly Placed[]): Promise<void> {
  await Promise.all(
    members.flatMap((asker) => {
      const others = members.filter((other) => other !== asker)
      return (['ip', 'ip6'] as const).map((family) =>
        assertReaches(
          asker.container,
          others.map((other) => other[family]),
          asker[family],
        ),
      )
    }),
  )
}
