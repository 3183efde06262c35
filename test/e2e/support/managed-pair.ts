import type { TestContext } from 'node:test'
import { argv } from '../../../lab/argv.ts'
import type { Container } from '../../../lab/container.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'
import { createManagedPlugin } from '../../../lab/managed-plugin.ts'
import { waitFor } from '../../support/wait.ts'
import { MANAGED_SETTINGS } from './managed-host.ts'
import { createNetwork, NETWORK_FORMS } from './network-forms.ts'

/** A pooled overlay, and a plain network whose subnet was chosen so that containers may choose addresses. */
export const PAIR_NETWORKS = ['web', 'chosen'] as const

/** Of a container on host 96. */
export const CHOSEN_IP = '10.50.96.77'

/** A host with the managed plugin and one with the plugin as a service, both with both networks. */
export async function makeManagedPair(managed: DockerHost, service: DockerHost): Promise<void> {
  await Promise.all([
    createManagedPlugin(managed, { settings: MANAGED_SETTINGS }),
    service.startPlugin(),
  ])
  for (const host of [managed, service]) {
    await createNetwork(host, 'web', NETWORK_FORMS.web)
    await createNetwork(host, 'chosen', argv`--subnet 10.50.${host.name}.0/24`)
  }
}

/**
 * Starts dockerd and waits until the container with the chosen address answers another one, on a host that went on.
 * Writes down how long either took.
 * @param from when it began, by performance.now()
 */
export async function startsAnswering(
  t: TestContext,
  event: string,
  { host, asker, from }: { host: DockerHost; asker: Container; from: number },
): Promise<void> {
  await host.startDocker()
  const started = performance.now()
  await waitFor(() => asker.reaches(CHOSEN_IP), {
    what: 'the container with a restart policy to answer',
    timeout: 60_000,
  })
  const [served, back] = [started, performance.now()].map((at) => (at - from) / 1000)
  t.diagnostic(
    `| ${event} | served after ${served!.toFixed(1)} s | answered after ${back!.toFixed(1)} s |`,
  )
}
