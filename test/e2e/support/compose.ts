import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from '../../../lab/argv.ts'
import { command } from '../../../lab/command.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'
import { IMAGE } from '../../../lab/image.ts'

export interface ComposeOptions {
  /** Separated by white space: "up -d web". */
  readonly words: string
  /** What the files of a folder may ask for, beside the lab's image as BASE. */
  readonly env?: Readonly<Record<string, string>>
}

/** Debian's docker-compose in a folder with a compose.yaml, as if typed on the host. @throws OverlayError with what it said */
export async function compose(
  host: DockerHost,
  folder: string,
  { words, env = {} }: ComposeOptions,
): Promise<string> {
  const file = join(folder, 'compose.yaml')
  return command(argv`docker-compose --ansi never -f ${file} ${words.split(/\s+/)}`, {
    env: {
      ...host.dockerEnv(),
      DOCKER_HOST: `unix://${host.socket}`,
      // By Docker itself, without BuildKit, which asks a registry for images that are here.
      COMPOSE_DOCKER_CLI_BUILD: '0',
      // It gives up on Docker after a minute unless told.
      COMPOSE_HTTP_TIMEOUT: '180',
      BASE: IMAGE,
      ...env,
    },
    timeout: 300_000,
  })
}

/** A project of a test's own, in the host's folder. @returns its folder, whose name is the project's */
export function writeProject(host: DockerHost, name: string, file: object): string {
  const folder = host.machine.path('projects', name)
  mkdirSync(folder, { recursive: true })
  // JSON is YAML.
  writeFileSync(join(folder, 'compose.yaml'), JSON.stringify(file))
  return folder
}
