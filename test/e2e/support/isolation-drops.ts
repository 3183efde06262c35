import type { DockerHost } from '../../../lab/docker-host.ts'
import type { IsolationCounter } from '../../../src/linux/isolation.ts'

/** Packets that the host's isolation table has dropped so far, by direction. */
export async function isolationDrops(host: DockerHost): Promise<Record<IsolationCounter, number>> {
  const { isolation } = JSON.parse(await host.admin('/v1/state')) as {
    isolation: Record<IsolationCounter, { packets: number }>
  }
  const counts = Object.entries(isolation).map(([name, { packets }]) => [name, packets] as const)
  return Object.fromEntries(counts) as Record<IsolationCounter, number>
}
