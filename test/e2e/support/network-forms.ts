import { argv } from '../../../lab/argv.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'

/** Every way to make a network, by the network's name: the words after `docker network create -d overlay-ts`. */
export const NETWORK_FORMS = {
  web: argv`--ipam-driver overlay-ts --ipam-opt overlay=web`,
  shared: argv`--ipam-driver overlay-ts --subnet 10.40.0.0/16`,
  app: [],
  routed: argv`--ipam-driver overlay-ts`,
  bare: argv`--ipam-driver null -o overlay=n`,
} as const satisfies Record<string, readonly string[]>

export type NetworkForm = keyof typeof NETWORK_FORMS

export const FORMS = Object.keys(NETWORK_FORMS) as NetworkForm[]

/** Makes a network of ours; further words stand before its name. @throws OverlayError with what docker said */
export async function createNetwork(
  host: DockerHost,
  name: string,
  words: readonly string[] = [],
): Promise<void> {
  await host.docker('network', 'create', '-d', 'overlay-ts', ...words, name)
}

/** The same in one of the forms, under the form's own name. */
export async function createForm(host: DockerHost, form: NetworkForm): Promise<void> {
  await createNetwork(host, form, NETWORK_FORMS[form])
}
