import type { Container } from '../../lab/container.ts'
import { Place } from '../place.ts'

/** A container's network namespace, in which programs of this machine are run. */
export async function containerPlace(container: Container, network: string): Promise<Place> {
  const { host, name } = container
  const sandbox = await host.docker('inspect', '-f', '{{.NetworkSettings.SandboxKey}}', name)
  return new Place(await container.ip(network), `/proc/${host.machine.init}/root${sandbox}`)
}
