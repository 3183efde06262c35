import type { DockerHost } from '../../lab/docker-host.ts'

/**
 * Removes the bridge network that Docker makes for the way out of containers whose own network has none,
 * and leaves behind; not while another container is on it.
 */
export async function removeGatewayNetwork(host: DockerHost): Promise<void> {
  await host.docker('network', 'rm', 'docker_gwbridge').catch(() => {})
}
