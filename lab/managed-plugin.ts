import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { baseArchive, BASE_IMAGES, type BaseImage } from './base-images.ts'
import { cached } from './cache.ts'
import { command } from './command.ts'
import type { DockerHost } from './docker-host.ts'

const ROOT = resolve(import.meta.dirname, '..')

/** Everything that the plugin is made of, beside the base images. */
const SOURCES =
  '{Dockerfile,.dockerignore,.npmrc,config.json,package.json,package-lock.json,LICENSE,src/**,plugin/**}'

const BASE_NAMES = Object.keys(BASE_IMAGES) as BaseImage[]

/** What `npm run plugin:NAME -- WORDS` does, with a host's Docker. @returns what it printed */
export async function pluginScript(
  host: DockerHost,
  dir: string,
  ...words: readonly string[]
): Promise<string> {
  return command([process.execPath, join(ROOT, 'package', 'plugin.ts'), ...words], {
    env: {
      ...host.dockerEnv(),
      ...BASE_IMAGES,
      DOCKER_HOST: `unix://${host.socket}`,
      PLUGIN_DIR: dir,
    },
    timeout: 180_000,
  })
}

/** Runs the Dockerfile with a host's Docker, on base images made of this machine's files, and fills the folder. */
async function buildPlugin(host: DockerHost, dir: string): Promise<void> {
  await Promise.all(
    BASE_NAMES.map(async (name) => {
      await host.docker('import', await baseArchive(name), BASE_IMAGES[name])
    }),
  )
  await pluginScript(host, dir, 'build')
}

/**
 * A folder with config.json and rootfs of the managed plugin as the sources are now, for `docker plugin create`;
 * built with the host's Docker unless some lab did so before.
 */
export async function builtPlugin(host: DockerHost): Promise<string> {
  const version = createHash('sha256')
  for (const name of BASE_NAMES) version.update(await baseArchive(name))
  const files = globSync(SOURCES, { cwd: ROOT, withFileTypes: true }).filter((file) =>
    file.isFile(),
  )
  for (const path of files.map((file) => join(file.parentPath, file.name)).sort()) {
    version.update(`${path}\n`).update(readFileSync(path))
  }
  return cached(`plugin-${version.digest('hex').slice(0, 16)}`, (dir) => buildPlugin(host, dir))
}

export interface ManagedPluginOptions {
  /** The plugin's reference in Docker: "registry/overlay-ts:1". */
  readonly name?: string
  /** For `docker plugin set`: ["ETCD_ENDPOINTS=http://172.18.10.95:2379"]. */
  readonly settings?: readonly string[]
  /** Started at the end; true unless told. */
  readonly enabled?: boolean
}

/** The reference of the managed plugin on a lab's hosts unless a test says otherwise. */
export const MANAGED_PLUGIN = 'lab/overlay-ts:test'

/** Gives a host the managed plugin, without a registry. */
export async function createManagedPlugin(
  host: DockerHost,
  { name = MANAGED_PLUGIN, settings = [], enabled = true }: ManagedPluginOptions = {},
): Promise<void> {
  await pluginScript(host, await builtPlugin(host), 'create', name)
  if (settings.length > 0) await host.docker('plugin', 'set', name, ...settings)
  if (enabled) await host.docker('plugin', 'enable', name)
}
