/**
 * Builds the managed Docker plugin, gives it to the local Docker, and pushes it to a registry:
 *
 *   npm run plugin:build [-- WORDS FOR docker build]
 *   npm run plugin:create -- REGISTRY/overlay-ts[:TAG]
 *   npm run plugin:push -- REGISTRY/overlay-ts[:TAG]
 *
 * Environment: NODE_IMAGE and DEBIAN_IMAGE replace the Dockerfile's base images, PLUGIN_DIR the folder that is built
 * (build/plugin); DOCKER_HOST and the like are the docker command's own. docs/plugin.md tells more.
 */
import { copyFile, mkdir, rm } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { messageOf, OverlayError } from '../src/errors.ts'
import { manifest } from './manifest.ts'
import { runProgram } from './program.ts'
import { pluginReference } from './reference.ts'

const ROOT = resolve(import.meta.dirname, '..')
const DIR = resolve(ROOT, process.env['PLUGIN_DIR'] ?? 'build/plugin')
const IMAGE = 'overlay-ts-rootfs'
const INSTALL = ': install Docker on this machine (https://docs.docker.com/engine/install/)'
const BASE_IMAGES = ['NODE_IMAGE', 'DEBIAN_IMAGE'] as const

const COMMANDS: Readonly<Record<string, (words: readonly string[]) => Promise<string>>> = {
  build,
  create,
  push,
}

/** @returns what to do next, as are the other commands' */
async function build(words: readonly string[]): Promise<string> {
  const bases = BASE_IMAGES.flatMap((name) => {
    const image = process.env[name]
    return image ? ['--build-arg', `${name}=${image}`] : []
  })
  await docker(['build', '--tag', IMAGE, ...bases, ...words, '.'], { shown: true })
  const rootfs = join(DIR, 'rootfs')
  await rm(DIR, { recursive: true, force: true })
  await mkdir(rootfs, { recursive: true })
  const archive = join(DIR, 'rootfs.tar')
  // A container that never runs, only for its files.
  const container = await docker(['create', IMAGE])
  try {
    await docker(['export', '--output', archive, container])
  } finally {
    await docker(['rm', container])
  }
  await runProgram(['tar', '-x', '-f', archive, '-C', rootfs])
  await rm(archive)
  await copyFile(join(ROOT, 'config.json'), join(DIR, 'config.json'))
  return `built ${shown(DIR)}; next: npm run plugin:create -- REGISTRY/overlay-ts`
}

async function create(words: readonly string[]): Promise<string> {
  const name = nameIn(words)
  if (!existsSync(join(DIR, 'config.json'))) {
    throw new OverlayError(
      'not_found',
      `there is no plugin in ${shown(DIR)}: build it first (npm run plugin:build)`,
    )
  }
  await docker(['plugin', 'create', name, DIR])
  return (
    `created ${name}; next: docker plugin enable ${name}, or for other machines ` +
    `npm run plugin:push -- ${name}`
  )
}

async function push(words: readonly string[]): Promise<string> {
  const name = nameIn(words)
  await docker(['plugin', 'push', name], { shown: true })
  const { network, mounts, linux } = manifest()
  const asked = [network.type, ...mounts.map(({ source }) => source), ...linux.capabilities]
  return (
    `pushed ${name}; next, on each machine: docker plugin install ${name} ETCD_ENDPOINTS=…\n` +
    `It will ask for: ${asked.join(', ')}`
  )
}

/** @throws OverlayError bad_input */
function nameIn(words: readonly string[]): string {
  const [name, ...more] = words
  if (name === undefined || more.length > 0) {
    throw new OverlayError('bad_input', 'wanted one name such as registry.example.com/overlay-ts')
  }
  return pluginReference(name)
}

async function docker(words: readonly string[], { shown = false } = {}): Promise<string> {
  return runProgram(['docker', ...words], { shown, install: INSTALL })
}

const shown = (path: string): string => relative(process.cwd(), path) || path

const [command = '', ...words] = process.argv.slice(2)
const chosen = COMMANDS[command]
try {
  if (chosen === undefined) {
    const known = Object.keys(COMMANDS).join(', ')
    throw new OverlayError('bad_input', `wanted one of ${known}, found "${command}"`)
  }
  console.log(await chosen(words))
} catch (error) {
  console.error(`plugin: ${messageOf(error)}`)
  process.exitCode = 1
}
