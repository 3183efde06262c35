import { argv } from '../../../lab/argv.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'
import { messageOf } from '../../../src/errors.ts'

/** Others race for the same few subnets, but not for ever. */
const MOST_TRIES = 10

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

/**
 * The same in one of the forms, under the form's own name. Docker may choose a subnet that another host has claimed
 * just now; then the command is repeated as the refusal says.
 */
export async function createForm(host: DockerHost, form: NetworkForm): Promise<void> {
  await createRepeating(host, form, NETWORK_FORMS[form])
}

/** Makes a network of ours, and repeats the command whenever it is refused with these words. */
export async function createRepeating(
  host: DockerHost,
  name: string,
  words: readonly string[] = [],
): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await createNetwork(host, name, words)
    } catch (error) {
      if (tries === MOST_TRIES || !messageOf(error).includes('run the same command again'))
        throw error
    }
  }
}
