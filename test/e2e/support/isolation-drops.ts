import type { DockerHost } from '../../../lab/docker-host.ts'
import type { IsolationCounter } from '../../../src/linux/isolation.ts'

/** Packets that the host's isolation table has dropped so far, by direction. */
export async function isolationDrops(host: DockerHost): Promise<Record<IsolationCounter, number>> {
  const { isolation } = JSON.parse(await host.admin('/v1/state')) as {
    isolation: Record<IsolationCounter, { packets: number }>
  }
  const { into_ours, out_of_ours, between_ours, ipv6 } = isolation
  return {
    into_ours: into_ours.packets,
    out_of_ours: out_of_ours.packets,
    between_ours: between_ours.packets,
    ipv6: ipv6.packets,
  }
}
